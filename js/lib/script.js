/**
 * The script language in the browser. `core/language/script.py` is the reference and holds the rules; both pass
 * `tests/vectors/script.json`. What a mistake is called stands in script_words.js.
 */

import { choiceBraces, hideDrawn, readChoices } from "./choices.js";
import { checkPrompt } from "./prompts.js";
import { BLANK, halfDigits, halfMarks, numberText, short, strip, TextError, trim } from "./script_text.js";

const BARE_WEIGHT = 1.1;
const WEIGHT = { low: 0.01, high: 100, range: ["0.01", "100"] };
const MOST_STEPS = 1_000_000;
const LONGEST = 1_000_000;
const SETTINGS = {
  denoise: { low: 0, high: 1, example: "1" },
  cfg: { low: 0, high: 100, example: "100" },
  seed: { low: 0n, high: 2n ** 64n - 1n, example: "1.84467e+19" },
  steps: { low: 1n, high: 10_000n, example: "10000" },
  control: { low: 0, high: 10, example: "10" },
  repeat: { low: 1n, high: 100_000n, example: "100000" },
  candidates: { low: 1n, high: 64n, example: "64" },
};

/** Settings that have a mark instead of a name: `*3` and `*4?`. */
const MARKED = ["repeat", "candidates"];

/** Settings that are words, with an example each; without `=` they are text. */
const WORDS = { negative: '"blurry, grey"', sampler: "heun", scheduler: "karras" };

const LARGE_WEIGHT = 2;
const ENTITY = /&(#[0-9]+|#[xX][0-9a-fA-F]+|[A-Za-z]{2,8})$/;
const ESCAPE = /\\[{}();@*]/g;
const STRUCTURE = /[{}();]/g;
const SETTING = new RegExp(
  `@(?<key>[^${BLANK}@=;:,(){}*\\\\]+)(?<given>[${BLANK}]*=[${BLANK}]*(?<value>[^${BLANK}@*(){};]*))?` +
    "|\\*(?<number>[-+]?[0-9.][-+0-9.eE]*)(?<asks>[?？]?)",
  "dg",
);
const QUOTED = new RegExp(`(?<!\\\\)@negative[${BLANK}]*=[${BLANK}]*(?<open>["“])(?<text>(?:\\\\[^]|[^"”\\\\])*)(?<close>["”])?`, "dgi");
const NAME = /^[\p{L}\p{N}_.+-]+$/u;
const NUMBER = /^[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?$/;
const INTEGER = /^([-+]?)0*([0-9]+)$/;
const MEANT_AS_NUMBER = /^([-+.0-9][-+.,0-9eE]*|[-+]?(nan|inf|infinity))?$/i;
const BLANKS = new RegExp(`[${BLANK}]+`, "g");

/**
 * A mistake: `offset` into the text, `line` and `column` from 1 (in code points), its `key`, and the `values` that
 * go with it: `range` is `[low, high]`, `setting` a setting's name or "repeat", `written` what stands there.
 */
export class ScriptError extends Error {
  constructor(text, offset, key, values = {}) {
    super(key);
    const before = text.slice(0, offset).split(/\r\n|\r|\n/);
    Object.assign(this, { offset, key, values, line: before.length });
    this.column = [...before.at(-1)].length + 1;
  }
}

/**
 * What a text says: `{global, groups, hints}`, repeats expanded; `hints` has the first of each kind of what is seldom
 * meant, as `ScriptError`s that nobody throws. A group is `{text, weight, start}` and those of
 * `denoise, cfg, seed, steps, control, candidates, negative, sampler, scheduler` that it sets; whole numbers are BigInt. `names` has the
 * samplers and schedulers that there are, as far as they are known. Throws ScriptError.
 */
export function parse(text, names = {}) {
  if (text.length > LONGEST) {
    const length = [...text].length;
    if (length > LONGEST) throw new ScriptError(text, 0, "too_long", { most: LONGEST, length });
  }
  const plain = halfMarks(text);
  const harmless = hideQuoted(text, plain);
  const mask = halfDigits(harmless).replace(ESCAPE, "\\\\");
  const choices = choiceBraces(harmless);
  const shape = structure(text, mask, choices);
  for (const [start, end] of shape.braces) {
    const found = settingsIn(mask, start, end).find((match) => match.groups.given !== undefined);
    if (found) throw misplaced(text, found.start);
  }
  const globals = shape.braces.map(([start, end]) => clean(plain.slice(start + 1, end)));
  for (const [start, end] of shape.braces) checkWords(text, plain.slice(start + 1, end), start + 1);
  const source = { text, plain: without(shape.braces, plain), mask: without(shape.braces, mask), pairs: shape.pairs, names };

  const groups = [];
  const odd = new Map();
  shape.groups.forEach(([start, end], i) => {
    const { group, repeat, blank } = readGroup(source, start, end);
    const alone = i === 0 && globals.some(Boolean);
    if (blank && i === shape.groups.length - 1 && !alone) return;
    if (groups.length + repeat > MOST_STEPS) {
      const at = trim(source.mask, start, end)[0];
      throw new ScriptError(text, at, "too_many_steps", { most: MOST_STEPS });
    }
    for (let n = 0; n < repeat; n++) groups.push(group);
    for (const [key, at] of oddPlaces(text, trim(source.mask, start, end)[0], end, group.weight)) if (!odd.has(key)) odd.set(key, at);
  });
  const hints = [...odd].sort(([, a], [, b]) => a - b).map(([key, at]) => new ScriptError(text, at, key));
  return { global: globals.filter(Boolean).join(", "), groups, hints };
}

/** `plain` with what stands in quotes after `@negative=` made harmless: no mark in it counts. */
function hideQuoted(text, plain) {
  const parts = [];
  let last = 0;
  for (const { groups, indices } of plain.matchAll(QUOTED)) {
    if (groups.close === undefined) throw new ScriptError(text, indices.groups.open[0], "unclosed_quote");
    const [start, end] = indices.groups.text;
    parts.push(plain.slice(last, start), "x".repeat(end - start));
    last = end;
  }
  return [...parts, plain.slice(last)].join("");
}

/** Throws ScriptError for a mistake in the choices or schedules of `written`, which begins at `at` of the script. */
function checkWords(text, written, at) {
  try {
    readChoices(written, at);
    checkPrompt(hideDrawn(written), at);
  } catch (error) {
    if (!(error instanceof TextError)) throw error;
    throw new ScriptError(text, error.offset, error.key, error.values);
  }
}

/** Kinds and offsets of what is allowed but seldom meant in the group that ends before the `;` at `end`. */
function* oddPlaces(text, start, end, weight) {
  if (weight > LARGE_WEIGHT) yield ["large_weight", start];
  if (text[end] !== ";") return; // the full-width one is written without blanks
  if (ENTITY.test(text.slice(Math.max(start, end - 10), end))) yield ["entity", end];
  else if (strip(text.slice(end + 1, end + 2)).replace(";", "")) yield ["joined_semicolon", end];
}

function structure(text, mask, choices) {
  const shape = { braces: [], pairs: new Map(), groups: [] };
  const open = [];
  const braces = [];
  let start = 0;
  const fail = (offset, key) => new ScriptError(text, offset, key);
  for (const match of mask.matchAll(STRUCTURE)) {
    const at = match.index;
    const mark = match[0];
    const top = open.length ? mask[open.at(-1)] : "";
    if (mark === "(") {
      open.push(at);
    } else if (mark === ")") {
      if (top !== "(") throw fail(at, "unopened_parenthesis");
      shape.pairs.set(open.pop(), at);
    } else if (mark === "{") {
      if (braces.length && !choices.has(at)) throw fail(at, "nested_brace");
      braces.push(at);
      open.push(at);
    } else if (!braces.length && mark === "}") {
      throw fail(at, "unopened_brace");
    } else if (top === "(") {
      throw fail(open.at(-1), "unclosed_parenthesis");
    } else if (mark === "}") {
      braces.pop();
      const opened = open.pop();
      if (!choices.has(opened)) shape.braces.push([opened, at]);
    } else if (braces.length) {
      throw fail(at, choices.has(braces.at(-1)) ? "semicolon_in_choice" : "semicolon_in_braces");
    } else {
      shape.groups.push([start, at]);
      start = at + 1;
    }
  }
  if (open.length) {
    const at = open.at(-1);
    throw fail(at, mask[at] === "(" ? "unclosed_parenthesis" : "unclosed_brace");
  }
  shape.groups.push([start, mask.length]);
  return shape;
}

/** `text` with line breaks for the braces and what they hold: to a group they are one space. */
function without(braces, text) {
  const parts = [];
  let last = 0;
  for (const [start, end] of braces) {
    parts.push(text.slice(last, start), "\n".repeat(end + 1 - start));
    last = end + 1;
  }
  return [...parts, text.slice(last)].join("");
}

function readGroup({ text, plain, mask, pairs, names }, from, to) {
  let [start, end] = trim(mask, from, to);
  const blank = start === end;
  const settings = readSettings({ text, plain, mask, names }, start, end);
  end = settings.start;
  const { repeat = 1n, ...values } = settings.values;
  if (values.negative) {
    const { written, at } = values.negative;
    checkWords(text, written, at);
    values.negative = clean(written);
  }
  const first = start;
  let weight = 1;
  while (start < end && mask[start] === "(" && pairs.get(start) === end - 1) {
    const inner = peel(text, plain, mask, start, end);
    [start, end] = inner.span;
    weight *= inner.weight;
  }
  if (!(WEIGHT.low <= weight && weight <= WEIGHT.high)) throw weightOutOfRange(text, first);
  checkWords(text, plain.slice(start, end), start);
  return { group: { text: clean(plain.slice(start, end)), weight, start: first, ...values }, repeat: Number(repeat), blank };
}

/** The span inside the parentheses that open at `start` and end before `end`, and their weight. */
function peel(text, plain, mask, start, end) {
  let colon = end - 2;
  while (!":()".includes(mask[colon])) colon -= 1;
  if (mask[colon] === ":") {
    const written = numberText(plain.slice(colon + 1, end - 1));
    if (MEANT_AS_NUMBER.test(written)) {
      if (!NUMBER.test(written)) {
        const values = { range: WEIGHT.range, written: short(written) };
        throw new ScriptError(text, colon + 1, "weight_not_a_number", values);
      }
      const weight = Number(written);
      if (!(WEIGHT.low <= weight && weight <= WEIGHT.high)) throw weightOutOfRange(text, colon + 1);
      return { span: trim(mask, start + 1, colon), weight };
    }
  }
  return { span: trim(mask, start + 1, end - 1), weight: BARE_WEIGHT };
}

function weightOutOfRange(text, offset) {
  return new ScriptError(text, offset, "weight_out_of_range", { range: WEIGHT.range });
}

function settingsIn(mask, start, end) {
  return [...mask.slice(start, end).matchAll(SETTING)].map((match) => ({
    groups: match.groups,
    start: start + match.index,
    end: start + match.index + match[0].length,
    span: (name) => match.indices.groups[name].map((offset) => start + offset),
  }));
}

/** Where the settings at a group's end begin, and their values by name. */
function readSettings({ text, plain, mask, names }, start, end) {
  const found = [];
  for (const match of settingsIn(mask, start, end)) {
    const { key, given, number } = match.groups;
    const joined = found.length && found.at(-1).end === match.start;
    if (number && !joined && match.start > start && /[0-9]/.test(mask[match.start - 1])) continue; // 512*768
    const isName = key && Object.hasOwn(SETTINGS, key.toLowerCase()) && key.toLowerCase() !== "candidates";
    if (key && given === undefined && !isName) continue; // by @someone
    found.push(match);
  }
  let tail = found.length;
  while (tail && !strip(mask.slice(found[tail - 1].end, end))) end = found[--tail].start;
  const early = found.slice(0, tail).find((match) => match.groups.key);
  if (early) throw misplaced(text, early.start);
  const values = {};
  for (const match of found.slice(tail)) {
    const [name, value] = readSetting(text, plain, match, names);
    if (name in values) {
      throw new ScriptError(text, match.start, "duplicate_setting", { setting: name });
    }
    values[name] = value;
  }
  return { start: trim(mask, start, end)[1], values };
}

function misplaced(text, offset) {
  return new ScriptError(text, offset, "misplaced_setting");
}

function readSetting(text, plain, match, names) {
  const { key } = match.groups;
  const name = key ? key.toLowerCase() : match.groups.asks ? "candidates" : "repeat";
  if (Object.hasOwn(WORDS, name)) return [name, wordOf(text, plain, match, name, names[name])];
  if (!Object.hasOwn(SETTINGS, name) || (key && MARKED.includes(name))) {
    throw new ScriptError(text, match.start, "unknown_setting", { name: short(key) });
  }
  const field = key ? "value" : "number";
  const { low, high, example } = SETTINGS[name];
  const written = match.groups[field] ? numberText(text.slice(...match.span(field))) : "";
  if (!written) {
    throw new ScriptError(text, match.start, "setting_without_value", { name, example });
  }
  const values = { setting: name, range: [low, high].map((end) => (typeof end === "bigint" ? String(end) : end.toFixed(1))), written: short(written) };
  const whole = typeof low === "bigint";
  if (!(whole ? INTEGER : NUMBER).test(written)) {
    values.kind = whole ? "whole" : "number";
    throw new ScriptError(text, match.span(field)[0], "setting_not_a_number", values);
  }
  const value = whole ? integer(written) : Number(written);
  if (!(low <= value && value <= high)) {
    throw new ScriptError(text, match.span(field)[0], "setting_out_of_range", values);
  }
  return [name, value];
}

/** The value of a setting that is words; a negative prompt is `{written, at}`. */
function wordOf(text, plain, match, name, known) {
  if (!match.groups.value) throw new ScriptError(text, match.start, "setting_without_value", { name, example: WORDS[name] });
  const [start, end] = match.span("value");
  const written = plain.slice(start, end);
  if (name === "negative" && /^["“].*["”]$/s.test(written)) return { written: written.slice(1, -1), at: start + 1 };
  if (!NAME.test(written)) {
    throw new ScriptError(text, start, "setting_not_a_word", { name, example: WORDS[name], written: short(written) });
  }
  if (known && !known.includes(written)) throw new ScriptError(text, start, "unknown_name", { name, written: short(written) });
  return name === "negative" ? { written, at: start } : written;
}

function integer(written) {
  const [, sign, digits] = INTEGER.exec(written);
  const value = BigInt(digits.slice(0, 21));
  return sign === "-" ? -value : value;
}

/** A group's text as the prompt has it. */
function clean(plain) {
  const oneLine = strip(plain).replace(BLANKS, (blanks) => (/[\r\n]/.test(blanks) ? " " : blanks));
  return oneLine.replace(/\\([{};@*])/g, "$1");
}
