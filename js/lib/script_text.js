/** What readers of scripts and prompts share, as in `core/language/places.py` and `nesting.py`. */

/** Inside of a pattern's brackets: what counts as blank. */
export const BLANK = " \\t\\n\\r\\f\\v\\u00a0\\u3000\\ufeff";
const NUMBERS = "０１２３４５６７８９";
const IS_BLANK = new RegExp(`^[${BLANK}]$`);
const FULL_WIDTH = { "｛": "{", "｝": "}", "；": ";", "（": "(", "）": ")", "：": ":", "＠": "@", "＝": "=", "＊": "*" };
/** Stands for what is not drawn yet. */
export const STAND_IN = "\ufffc";

/** A mistake at an offset of the whole text; `key` and `values` make its sentence. */
export class TextError extends Error {
  constructor(offset, key, values = {}) {
    super(key);
    Object.assign(this, { offset, key, values });
  }
}

/** Full-width marks as ASCII; as long as the text was. */
export const halfMarks = (text) => text.replace(/[｛｝；（）：＠＝＊]/g, (mark) => FULL_WIDTH[mark]);

/** Full-width digits and point as ASCII; as long as the text was. */
export const halfDigits = (text) => text.replace(/[．０-９]/g, (mark) => (mark === "．" ? "." : NUMBERS.indexOf(mark)));

/** Two offsets without the blanks at either end between them. */
export function trim(text, start, end) {
  while (start < end && IS_BLANK.test(text[start])) start += 1;
  while (start < end && IS_BLANK.test(text[end - 1])) end -= 1;
  return [start, end];
}

export const strip = (text) => text.slice(...trim(text, 0, text.length));

/** A number as it is meant: full-width digits are digits. */
export const numberText = (written) => strip(written.normalize("NFKC"));

/** What stands there, for a sentence. */
export function short(written) {
  const points = [...written];
  return points.length > 21 ? `${points.slice(0, 20).join("")}…` : written;
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

/** The pairs that stand in no other one, in the order of the text. */
export function outermost(pairs) {
  let last = -1;
  return [...pairs].sort((a, b) => a.start - b.start).filter(({ start, end }) => start > last && ((last = end), true));
}

/** `text` with STAND_IN for all letters of `places` (`{start, end}` in order, none in another). */
export function cover(text, places) {
  const parts = [];
  let last = 0;
  for (const { start, end } of places) {
    parts.push(text.slice(last, start), STAND_IN.repeat(end + 1 - start));
    last = end + 1;
  }
  return [...parts, text.slice(last)].join("");
}

/** Throws TextError where pairs nest more than `most` deep; the text begins at `at` of the whole one. */
export function checkDepth(pairs, most, key, at = 0) {
  const ends = [];
  for (const { start, end } of [...pairs].sort((a, b) => a.start - b.start)) {
    while (ends.length && ends.at(-1) < start) ends.pop();
    ends.push(end);
    if (ends.length > most) throw new TextError(at + start, key, { most });
  }
}
