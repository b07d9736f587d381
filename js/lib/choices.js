/**
 * Choices and wildcards of a text in the browser. `core/language/choices.py` and `nesting.py` are the reference and hold
 * the rules; both pass `tests/vectors/choices.json`. What is drawn is the server's business.
 */
import { BLANK, checkDepth, cover, halfDigits, outermost, spans, STAND_IN, TextError } from "./script_text.js";

const MOST_AT_ONCE = 100;
const DEEPEST = 20;
const ESCAPE = /\\[{}();@*|[\]$:]/g;
const MANY = new RegExp(`[${BLANK}]*(?:(?<exact>[0-9]{1,9})|(?<low>[0-9]{0,9})-(?<high>[0-9]{0,9}))[${BLANK}]*\\$\\$`, "y");
const WEIGHT = new RegExp(`[${BLANK}]*(?<weight>[0-9]{1,9}(?:\\.[0-9]{0,9})?|\\.[0-9]{1,9})[${BLANK}]*::`, "y");
const IN_NAMES = `[^${BLANK}_{}()|<>;:,@$\\\\"'\\[\\]]|_(?!_)|\\\\(?![_{}();@*|\\[\\]$:\\\\])`;
const WILDCARD = new RegExp(`\\\\?__(?!_)(?:${IN_NAMES}){1,200}__`, "gu");

function matchAt(pattern, text, at, end) {
  pattern.lastIndex = at;
  const match = pattern.exec(text);
  return match && at + match[0].length <= end ? match : null;
}

/** The text without its escaped characters, full-width digits as digits; as long as it was. */
const maskOf = (text) => halfDigits(text).replace(ESCAPE, "\\\\");

function braces(mask) {
  const pairs = spans(mask, "{}", ["()", "[]"], "|");
  return new Map(pairs.filter((pair) => pair.separators.length || matchAt(MANY, mask, pair.start + 1, mask.length)).map((pair) => [pair.start, pair]));
}

/** The braces of a text that choose, by the offset of the opening one. */
export const choiceBraces = (text) => (text.includes("{") ? braces(maskOf(text)) : new Map());

/** `text` with STAND_IN in the place of each letter of its choices and wildcards; as long as it was. */
export function hideDrawn(text) {
  const hidden = cover(text, outermost(choiceBraces(text).values()));
  return hidden.replace(WILDCARD, (wild) => (wild[0] === "_" ? STAND_IN.repeat(wild.length) : wild));
}

/** A name with a backslash before what would be a wildcard in it. */
export const escapeWildcards = (name) => name.replace(WILDCARD, (wild) => (wild[0] === "_" ? `\\${wild}` : wild));

/** The choices of a text, nested ones too, as `{at, least, most, weights}`; offsets count from `at`. Throws TextError. */
export function readChoices(text, at = 0) {
  if (!text.includes("{")) return [];
  const mask = maskOf(text);
  const pairs = [...braces(mask).values()];
  checkDepth(pairs, DEEPEST, "choices_too_deep", at);
  const read = pairs.map((pair) => choiceOf(mask, pair, at));
  const wrong = read.filter(({ fault }) => fault).sort((a, b) => a.known - b.known);
  if (wrong.length) throw wrong[0].fault;
  return read.map(({ choice }) => choice).sort((a, b) => a.at - b.at);
}

/** A choice, or its fault and where a reader from left to right finds it. */
function choiceOf(mask, { start, end, separators }, at) {
  const bounds = [start, ...separators, end];
  const begins = bounds.slice(0, -1).map((bound) => bound + 1);
  let [least, most] = [1, 1];
  const many = matchAt(MANY, mask, begins[0], bounds[1]);
  if (many) {
    begins[0] += many[0].length;
    const { exact, low, high } = many.groups;
    [least, most] = [Number(exact || low || 1), Number(exact || high || MOST_AT_ONCE)];
    if (!(least <= most && most <= MOST_AT_ONCE)) return { fault: new TextError(at + start, "choice_range", { most: MOST_AT_ONCE }), known: start };
    const joint = /^[^{]*?\$\$/.exec(mask.slice(begins[0], bounds[1]));
    if (joint) begins[0] += joint[0].length;
  }
  const weights = begins.map((begin, i) => Number(matchAt(WEIGHT, mask, begin, bounds[i + 1])?.groups.weight ?? 1)).filter(Boolean);
  if (!weights.length) return { fault: new TextError(at + start, "choice_weightless"), known: end };
  return { choice: { at: at + start, least, most, weights } };
}
