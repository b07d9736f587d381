/**
 * Python's sentences in another language: a text is found again among the templates of a table, with what stands in
 * its holes, and said by their translation.
 *
 * A table is `{ "There are {0} masks for {1} pictures.": translation }`, written as for Python's `str.format`;
 * `{0!r}` is a text in quotes as Python writes it. No pattern is searched with backtracking: each literal is looked
 * for once, from left to right, so that time grows with the length of the text.
 */
const LONGEST = 20_000;
/** So much of a sentence must be its template's own, lest a text of others is taken for one. */
const LEAST = 6;
const DEEPEST = 6;

/** The literals of a template and its holes between them, `[{ name, quoted }]`; one literal more than holes. */
function parse(template) {
  const literals = [""];
  const holes = [];
  for (const [piece, name, quoted] of template.matchAll(/\{\{|\}\}|\{(\d+)(!r)?\}|[^{}]+/g)) {
    if (name === undefined) literals[literals.length - 1] += piece === "{{" || piece === "}}" ? piece[0] : piece;
    else {
      holes.push({ name, quoted: Boolean(quoted) });
      literals.push("");
    }
  }
  return { literals, holes, size: literals.join("").length };
}

/** Where the text in quotes ends that begins at `start`; -1 where none does. */
function endOfQuoted(text, start) {
  const quote = text[start];
  if (quote !== "'" && quote !== '"') return -1;
  for (let at = start + 1; at < text.length; at++) {
    if (text[at] === "\\") at++;
    else if (text[at] === quote) return at + 1;
  }
  return -1;
}

/** What stands in the holes of a template, by their names, where `text` is made by it; null where it is not. */
function match({ literals, holes }, text) {
  const last = literals.length - 1;
  if (!last) return text === literals[0] ? {} : null;
  const end = text.length - literals[last].length;
  if (!text.startsWith(literals[0]) || !text.endsWith(literals[last]) || end < literals[0].length) return null;
  const values = {};
  let at = literals[0].length;
  for (const [i, { name, quoted }] of holes.entries()) {
    const literal = literals[i + 1];
    let next = quoted ? endOfQuoted(text, at) : -1;
    if (next >= 0 && i + 1 < last && !text.startsWith(literal, next)) return null;
    if (i + 1 === last) next = next >= 0 && next !== end ? -1 : end;
    else if (next < 0) next = text.indexOf(literal, at);
    if (next < at || next > end) return null;
    values[name] = text.slice(at, next);
    at = next + literal.length;
  }
  return values;
}

/** How many columns of a table a text takes: letters of Chinese and Korean take two. */
function columns(text) {
  return [...text].reduce((sum, letter) => sum + (/[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe4f\uff00-\uff60]/.test(letter) ? 2 : 1), 0);
}

/**
 * What says texts of Python in the language of `table`; a text without a translation stays as it is. `label` says how a
 * plan calls a step, in the first or the last column of a table.
 */
export function translator(table, label = (text) => text) {
  const words = new Map();
  const templates = [];
  for (const [english, translation] of Object.entries(table)) {
    const { holes, ...parsed } = parse(english);
    const said = parse(translation);
    if (holes.length) templates.push({ ...parsed, holes, said, quoted: new Set(holes.filter((each) => each.quoted).map((each) => each.name)) });
    else words.set(parsed.literals[0], said.literals[0]);
  }
  templates.sort((one, other) => other.size - one.size);
  const joints = [" and of ", " and ", " or ", ", "].filter((joint) => words.has(joint));

  /**
   * The translation of a whole text, null where there is none. Of templates with under `least` letters of their own none
   * is tried, nor, where `anchored`, one that begins with a hole: that would take any lines before it for its value.
   */
  function whole(text, least, depth, anchored = false) {
    const word = words.get(text);
    if (word !== undefined && text.length >= least) return word;
    for (const template of templates) {
      if (template.size < least) return null;
      if (anchored && !template.literals[0]) continue;
      const values = match(template, text);
      if (!values) continue;
      const { literals, holes } = template.said;
      const fill = ({ name }) => (template.quoted.has(name) ? values[name] : within(values[name], depth + 1));
      return literals.map((literal, i) => (i ? fill(holes[i - 1]) + literal : literal)).join("");
    }
    return null;
  }

  /** What stands in a hole: a sentence or a word of ours, several of them with joints, or anything. */
  function within(text, depth) {
    if (depth > DEEPEST) return text;
    const found = whole(text, 1, depth);
    if (found !== null) return found;
    const lines = text.split("\n");
    if (lines.length > 1) return lines.map((line) => whole(line, LEAST, depth) ?? line).join("\n");
    const title = titled(text, depth);
    if (title !== null) return title;
    for (const joint of joints) {
      const parts = text.split(joint);
      const said = parts.map((part) => (part === text ? null : whole(part, 1, depth) ?? titled(part, depth) ?? (/^[a-z][a-z_]*( \d+)?$/.test(part) ? part : null)));
      if (!said.includes(null)) return said.join(words.get(joint));
    }
    return counted(text, depth);
  }

  /** `an inpainting model (SD1, 9 input channels)`: a name of ours with details. */
  function titled(text, depth) {
    const at = text.endsWith(")") ? text.lastIndexOf(" (") : -1;
    const title = words.get(text.slice(0, at));
    if (at < 0 || title === undefined) return null;
    const details = text.slice(at + 2, -1).split(", ");
    return `${title} (${details.map((each) => whole(each, 1, depth) ?? each).join(", ")})`;
  }

  /** `4 noisy latent + 1 mask`: what channels hold. */
  function counted(text, depth) {
    const parts = text.split(" + ").map((part) => /^(\d+ )(.+)$/.exec(part));
    const said = parts.map((part) => part && whole(part[2], 1, depth));
    return said.includes(null) ? text : said.map((each, i) => parts[i][1] + each).join(" + ");
  }

  /** A line of a report; one that begins with a title begins with a capital there. */
  function line(row) {
    const text = row.trim();
    const said = sentence(text);
    return said === text ? row : row.replace(text, () => said);
  }

  function sentence(text) {
    const small = text.charAt(0).toLowerCase() + text.slice(1);
    const found = whole(text, LEAST, 0);
    if (found !== null || small === text) return found ?? text;
    const said = within(small, 0);
    return said === small ? text : said;
  }

  /** The headings of a table over its columns, to the right where the numbers are. */
  function headings(row) {
    const right = row.trimStart().startsWith("#");
    return row.replace(/( *)([^ ]+(?: [^ ]+)*)( *)/g, (_, before, name, after) => {
      const said = words.get(name);
      const room = " ".repeat(Math.max(0, columns(name) - columns(said)));
      return before + (right ? room + said : said + (after && room)) + after;
    });
  }

  /** A row of a table, what a plan calls its step in the room that it had. */
  function cells(row) {
    const [, first, room] = /^(\S.*?)( {2,}|$)/.exec(row) ?? ["", "", ""];
    const said = label(first);
    if (said !== first) return said + " ".repeat(Math.max(2, first.length + room.length - columns(said))) + row.slice(first.length + room.length);
    return row.replace(/^( *(?:[\d.]+ +){5})(.*)$/, (_, numbers, last) => numbers + label(last));
  }

  return (text) => {
    if (typeof text !== "string" || text.length > LONGEST) return text;
    const middle = text.trim();
    const put = (found) => text.replace(middle, () => found);
    const found = whole(middle, LEAST, 0, middle.includes("\n"));
    if (found !== null) return put(found);
    const lines = text.split("\n");
    const names = lines[0].trim().split(/ {2,}/);
    if (names.length < 2 || !names.every((name) => words.has(name))) {
      const said = lines.map(line).join("\n");
      return said === text ? put(whole(middle, LEAST, 0) ?? middle) : said;
    }
    const end = [...lines, ""].indexOf("");
    return lines.map((row, i) => (i ? (i < end && !row.startsWith("... ") ? cells(row) : line(row)) : headings(row))).join("\n");
  };
}
