/**
 * What a prompt says while it is sampled, in the browser. `core/language/prompts.py` is the reference and holds the rules;
 * both pass `tests/vectors/prompts.json`. What is said at which step is the server's business.
 */
import { checkDepth, numberText, short, spans, STAND_IN, TextError, trim } from "./script_text.js";

const DEEPEST = 20;
const STRENGTHS = [-100, 100];
const NUMBER = /^[-+]?(?:[0-9]{1,9}\.?[0-9]{0,9}|\.[0-9]{1,9})(?:[eE][-+]?[0-9]{1,2})?$/;
const LETTER = "[\\p{L}\\p{N}_]";
const UNIT = new RegExp(`<lora:[^<>]{1,400}>|(?<!${LETTER})embedding:`, "giu");
const AND = new RegExp(`(?<!${LETTER})AND(?!${LETTER})`, "gu");
const BREAK = new RegExp(`(?<!${LETTER})BREAK(?!${LETTER})`, "gu");
const LORA = /<lora:([^<>]{1,400})>/gi;
const WEIGHT = /:\s*([-+]?(?:[0-9]{1,9}\.?[0-9]{0,9}|\.[0-9]{1,9}))\s*$/;

/** Tells of places whether one of `pairs` holds them. */
const heldBy = (pairs) => {
  const ends = new Int32Array(pairs.reduce((most, { end }) => Math.max(most, end), 0) + 1);
  for (const { start, end } of pairs) ends.fill(1, start + 1, end);
  return (at) => Boolean(ends[at]);
};

/**
 * What of `text` is no text: `{schedules, loras, parts, breaks}`. A schedule is `{start, end, when, share}` or, at each step
 * another, `{start, end, options}`; a LoRA `{start, end, name, model, text}`; a part between ANDs `{and, weight, at}` with the
 * places of the AND before it and of its weight (null where none is written); breaks are places. Throws TextError.
 */
export function readPrompt(text) {
  const mask = text.replace(/\\[^]/gu, (pair) => "\\".repeat(pair.length)).replace(UNIT, (unit) => ".".repeat(unit.length));
  const pairs = spans(mask, "[]", ["()"], ":|");
  const schedules = pairs.map((pair) => scheduleOf(mask, pair)).filter(Boolean);
  checkDepth(schedules, DEEPEST, "schedules_too_deep");
  const round = spans(mask, "()", ["[]"], "");
  const inRound = heldBy(spans(mask, "()", [], ""));
  const loras = [...text.matchAll(LORA)].filter(({ index }) => mask[index] === ".").map(loraOf);
  const breaks = [...mask.matchAll(BREAK)].map(({ index }) => index).filter((at) => !inRound(at));
  return { schedules, loras, parts: partsOf(mask, heldBy([...pairs, ...round])), breaks };
}

/** Throws TextError for a mistake in a prompt that begins at `at` of the whole text, and hides what is not drawn yet. */
export function checkPrompt(text, at) {
  if (!/[[<]/.test(text)) return;
  const known = text.replace(LORA, (lora) => (lora.includes(STAND_IN) ? STAND_IN.repeat(lora.length) : lora));
  try {
    readPrompt(known);
  } catch (error) {
    if (error instanceof TextError) error.offset += at;
    throw error;
  }
}

function scheduleOf(mask, { start, end, separators }) {
  const colons = separators.filter((at) => mask[at] === ":");
  if (!colons.length) return separators.length ? { start, end, options: separators.length + 1 } : null;
  const written = numberText(mask.slice(colons.at(-1) + 1, end));
  if (colons.length > 2 || !NUMBER.test(written)) return null;
  return { start, end, when: Number(written), share: written.includes(".") || Number(written) < 1 };
}

function loraOf({ 0: tag, 1: said, index: start }) {
  const [name, ...strengths] = said.split(":").map((part) => part.trim());
  for (const written of strengths.length > 2 ? [strengths.join(":")] : strengths) {
    const number = numberText(written);
    if (!NUMBER.test(number) || Number(number) < STRENGTHS[0] || Number(number) > STRENGTHS[1]) {
      throw new TextError(start, "lora_strength", { written: short(written) });
    }
  }
  const [model = 1, onText = model] = strengths.map((written) => Number(numberText(written)));
  return { start, end: start + tag.length - 1, name, model, text: onText };
}

function partsOf(mask, isHeld) {
  const ands = [...mask.matchAll(AND)].map(({ index }) => index).filter((at) => !isHeld(at));
  if (!ands.length) return [{ and: null, weight: 1, at: null }];
  return [null, ...ands].flatMap((and, i) => {
    const start = and === null ? 0 : and + 3;
    const words = mask.slice(start, ands[i] ?? mask.length);
    const weight = WEIGHT.exec(words);
    const [from, to] = trim(words, 0, weight?.index ?? words.length);
    return from < to ? [{ and, weight: weight ? Number(weight[1]) : 1, at: weight ? start + weight.index : null }] : [];
  });
}
