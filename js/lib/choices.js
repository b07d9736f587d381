/**
 * Choices and wildcards of a text in the browser. `core/language/choices.py` and `nesting.py` are the reference and hold
 * the rules; both pass `tests/vectors/choices.json`. What is drawn is the server's business.
 */

const MOST_AT_ONCE = 100;
const DEEPEST = 20;
const BLANK = " \\t\\n\\r\\f\\v\\u00a0\\u3000\\ufeff";
const NUMBERS = "０１２３４５６７８９";
const ESCAPE = /\\[{}();@*|[\]$:]/g;
const MANY = new RegExp(`[${BLANK}]*(?:(?<exact>[0-9]{1,9})|(?<low>[0-9]{0,9})-(?<high>[0-9]{0,9}))[${BLANK}]*\\$\\$`, "y");
const WEIGHT = new RegExp(`[${BLANK}]*(?<weight>[0-9]{1,9}(?:\\.[0-9]{0,9})?|\\.[0-9]{1,9})[${BLANK}]*::`, "y");
const WILDCARD = new RegExp(`(?<escape>\\\\)?__(?!_)(?<name>(?:[^${BLANK}_{}()|<>;:,@$\\\\"'\\[\\]]|_(?!_)){1,200})__`, "uy");
const MARK = /\{|\\?__/g;
const IS_BLANK = new RegExp(`^[${BLANK}]$`);

/** A mistake at an offset of the whole text, with its `key` and the `values` that go with it. */
export class ChoiceError extends Error {
  constructor(offset, key, values = {}) {
    super(key);
    Object.assign(this, { offset, key, values });
  }
}

/** Pairs of the brackets `outer`, in the order of their ends, as `{start, end, separators}`; see nesting.py. */
export function spans(mask, outer, hides, separators) {
  const pairs = [outer, ...hides];
  const opens = new Set(pairs.map(([open]) => open));
  const closes = new Map(pairs.map(([open, close]) => [close, open]));
  const found = [];
  const waiting = [];
  let apart = [];
  let outers = 0;
  const marks = new RegExp(`[${[...pairs, separators].join("").replace(/[\][{}()|\\:]/g, "\\$&")}]`, "g");
  for (const { 0: mark, index: at } of mask.matchAll(marks)) {
    if (opens.has(mark)) {
      waiting.push({ mark, at, before: apart.length });
      if (mark === outer[0]) outers += 1;
    } else if (mark === outer[1] && outers) {
      while (waiting.at(-1).mark !== outer[0]) waiting.pop();
      const { at: start, before } = waiting.pop();
      outers -= 1;
      found.push({ start, end: at, separators: apart.splice(before) });
    } else if (closes.has(mark) && mark !== outer[1] && waiting.at(-1)?.mark === closes.get(mark)) {
      apart.length = waiting.pop().before;
    } else if (separators.includes(mark) && outers) {
      apart.push(at);
    }
  }
  return found;
}

function matchAt(pattern, text, at, end) {
  pattern.lastIndex = at;
  const match = pattern.exec(text);
  return match && at + match[0].length <= end ? match : null;
}

/** The text without its escaped characters, full-width digits as digits; as long as it was. */
function maskOf(text) {
  const digits = text.replace(/[．０-９]/g, (mark) => (mark === "．" ? "." : NUMBERS.indexOf(mark)));
  return digits.replace(ESCAPE, "\\\\");
}

function braces(mask) {
  const pairs = spans(mask, "{}", ["()", "[]"], "|");
  return new Map(pairs.filter((pair) => pair.separators.length || matchAt(MANY, mask, pair.start + 1, mask.length)).map((pair) => [pair.start, pair]));
}

/** The braces of a text that choose, by the offset of the opening one. */
export const choiceBraces = (text) => (text.includes("{") ? braces(maskOf(text)) : new Map());

/**
 * `text` as an array of words, choices `{at, options: [{weight, parts}], least, most, joint}` and wildcards `{at, name}`;
 * offsets count from `at`. Throws ChoiceError.
 */
export function readChoices(text, at = 0) {
  if (!text.includes("{") && !text.includes("__")) return [text];
  const mask = maskOf(text);
  const source = { text, mask, braces: braces(mask), at };
  checkDepth(source);
  return partsOf(source, 0, text.length, false);
}

function checkDepth({ braces: pairs, at }) {
  const ends = [];
  for (const start of [...pairs.keys()].sort((a, b) => a - b)) {
    while (ends.length && ends.at(-1) < start) ends.pop();
    ends.push(pairs.get(start).end);
    if (ends.length > DEEPEST) throw new ChoiceError(at + start, "choices_too_deep", { most: DEEPEST });
  }
}

function partsOf(source, start, end, inside) {
  const { text, mask, at } = source;
  const found = [];
  let last = start;
  let where = start;
  const words = (to) => {
    const piece = text.slice(last, to);
    if (piece) found.push(inside ? piece.replaceAll("\\|", "|") : piece);
  };
  while (where < end) {
    MARK.lastIndex = where;
    const match = MARK.exec(mask);
    if (!match || match.index + match[0].length > end) break;
    where = match.index;
    const pair = match[0] === "{" ? source.braces.get(where) : null;
    const wild = match[0] === "{" ? null : matchAt(WILDCARD, text, where, end);
    if (pair) {
      words(where);
      found.push(choiceOf(source, pair));
      last = where = pair.end + 1;
    } else if (wild) {
      words(where);
      found.push(wild.groups.escape ? wild[0].slice(1) : { at: at + where, name: wild.groups.name });
      last = where += wild[0].length;
    } else {
      where += 1;
    }
  }
  words(end);
  return found;
}

function choiceOf(source, pair) {
  const { text, mask, at } = source;
  const bounds = [pair.start, ...pair.separators, pair.end];
  const begins = bounds.slice(0, -1).map((bound) => bound + 1);
  let [least, most, joint] = [1, 1, ", "];
  const many = matchAt(MANY, mask, begins[0], bounds[1]);
  if (many) {
    begins[0] += many[0].length;
    const { exact, low, high } = many.groups;
    [least, most] = [Number(exact || low || 1), Number(exact || high || MOST_AT_ONCE)];
    if (!(least <= most && most <= MOST_AT_ONCE)) throw new ChoiceError(at + pair.start, "choice_range", { most: MOST_AT_ONCE });
    const before = mask.slice(begins[0], bounds[1]);
    const again = before.indexOf("$$");
    const brace = before.indexOf("{");
    if (again >= 0 && (brace < 0 || again < brace)) {
      joint = text.slice(begins[0], begins[0] + again).replaceAll("\\|", "|");
      begins[0] += again + 2;
    }
  }
  const options = [];
  begins.forEach((begin, i) => {
    let [start, end] = [begin, bounds[i + 1]];
    const weight = matchAt(WEIGHT, mask, start, end);
    if (weight) start += weight[0].length;
    while (start < end && IS_BLANK.test(text[start])) start += 1;
    while (start < end && IS_BLANK.test(text[end - 1])) end -= 1;
    options.push({ weight: weight ? Number(weight.groups.weight) : 1, parts: partsOf(source, start, end, true) });
  });
  const drawn = options.filter(({ weight }) => weight);
  if (!drawn.length) throw new ChoiceError(at + pair.start, "choice_weightless");
  return { at: at + pair.start, options: drawn, least, most, joint };
}
