/** Which characters of a script are what, for the eye; steady while a text is half written. */
import { hideDrawn } from "./choices.js";
import { readPrompt } from "./prompts.js";
import { halfDigits, halfMarks, spans, STAND_IN, TextError, trim } from "./script_text.js";

/** Of a text in which STAND_IN is what is drawn, and full-width marks are ASCII. */
const TOKEN = new RegExp(
  `(?<escape>\\\\[{}();@*])|(?<choice>${STAND_IN}+)|(?<global>\\{(?:\\\\.|[^{}\\\\])*\\}?)|(?<separator>;)` +
    "|(?<weight>:\\s*[-+.\\d][\\d.eE]*\\s*(?=\\))|[()])" +
    '|(?<setting>@(?:negative\\s*=\\s*["“](?:\\\\.|[^"”\\\\])*["”]?|(?:denoise|cfg|seed|steps|control|negative|sampler|scheduler)\\s*(?:=\\s*[^\\s@*();]*)?)' +
    "|(?<!\\d)\\*[\\d.]+[?？]?(?=\\s*(?:[;@*]|$)))",
  "giu",
);

/** A longer text stays plain from there on: a page takes seconds to lay out more. */
const MOST_PIECES = 4000;
const LONGEST = 100_000;

/** Pieces `{text, kind}` that make up `text`; kind is "" for a local group's own words. */
export function pieces(text) {
  const known = text.slice(0, LONGEST);
  const hidden = hideDrawn(halfMarks(known));
  const kinds = new Array(known.length).fill("");
  const words = hidden.split("");
  const separators = [];
  let count = 0;
  for (const { 0: token, index, groups } of halfDigits(hidden).matchAll(TOKEN)) {
    if (++count > MOST_PIECES) break;
    const kind = Object.keys(groups).find((name) => groups[name] !== undefined);
    kinds.fill(kind, index, index + token.length);
    if (kind === "separator") separators.push(index);
    if (kind === "setting" || kind === "global") words.fill(" ", index, index + token.length);
    if (kind === "global") colour(kinds, hidden.slice(index + 1, index + token.length), index + 1);
  }
  let start = 0;
  for (const end of [...separators, known.length]) {
    colour(kinds, words.slice(start, end).join(""), start);
    start = end + 1;
  }
  const found = [];
  for (let at = 0, end = 0; at < text.length; at = end) {
    const kind = found.length < MOST_PIECES ? kinds[at] ?? "" : "";
    end = found.length < MOST_PIECES ? at + 1 : text.length;
    while (end < text.length && (kinds[end] ?? "") === kind) end += 1;
    found.push({ text: text.slice(at, end), kind });
  }
  return found;
}

/** Sets the kinds of what changes while a group is sampled; its text begins at `at`. */
function colour(kinds, text, at) {
  if (!/[[<]|AND|BREAK/.test(text)) return;
  const inside = within(text);
  let read;
  try {
    read = readPrompt(inside);
  } catch (error) {
    if (!(error instanceof TextError)) throw error;
    return;
  }
  const paint = (start, end) => {
    for (let i = at + start; i < at + end; i++) if (kinds[i] !== "choice" && kinds[i] !== "escape") kinds[i] = "schedule";
  };
  for (const { start, end } of [...read.schedules, ...read.loras]) paint(start, end + 1);
  for (const start of read.breaks) paint(start, start + "BREAK".length);
  read.parts.forEach(({ and, at: weight }, i) => {
    if (and !== null) paint(and, and + "AND".length);
    if (weight === null) return;
    paint(weight, read.parts[i + 1]?.and ?? inside.trimEnd().length);
  });
}

/** A group's text with blanks for the parentheses that stand round all of it, and for their weight. */
function within(text) {
  const ends = new Map(spans(text, "()", ["[]"], "").map(({ start, end }) => [start, end]));
  let [start, end] = trim(text, 0, text.length);
  let inner = text;
  while (start < end && ends.get(start) === end - 1) {
    [start, end] = trim(text, start + 1, end - 1);
    inner = " ".repeat(start) + text.slice(start, end).replace(/:\s*[-+.\d][\d.eE]*$/, "");
  }
  return inner;
}
