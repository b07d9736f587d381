/**
 * The text of ISI Pick, as `core/picking/picks.py` reads it: a line an object, `name: + x y, - x y, box l t r b`,
 * in percent of the picture.
 */
const NUMBER = /^[+-]?(\d+\.?\d*|\.\d+)$/;
const COUNTS = { "+": 2, "-": 2, box: 4 };
const DECIMALS = 100;

/** A line that can't be read; `line` counts from 1. */
export class PickError extends Error {
  constructor(line) {
    super(`line ${line}`);
    this.line = line;
  }
}

const silent = (line) => !line.trim() || line.trim().startsWith("#");

/**
 * The lines of a text: what says nothing stays text, an object is `{name, points, box}` with points `{x, y, add}`.
 * Throws a PickError.
 */
export function readPicks(text) {
  return text.split(/\r?\n/).map((line, index) => (silent(line) ? line : readLine(line, index + 1)));
}

function readLine(line, number) {
  const [name, ...rest] = line.split(":");
  if (!rest.length) throw new PickError(number);
  const object = { name: name.trim(), points: [], box: null };
  for (const part of rest.join(":").split(",").map((each) => each.trim())) {
    const mark = part.startsWith("box") ? "box" : part[0];
    const words = part.slice(mark?.length).split(/\s+/).filter(Boolean);
    const values = words.map(Number);
    const fits = words.length === COUNTS[mark] && words.every((word) => NUMBER.test(word));
    if (!fits || values.some((value) => value < 0 || value > 100)) throw new PickError(number);
    if (mark === "box") object.box = values;
    else object.points.push({ x: values[0], y: values[1], add: mark === "+" });
    if (mark === "box" && (values[0] >= values[2] || values[1] >= values[3])) throw new PickError(number);
  }
  return object;
}

const percent = (value) => String(Math.round(Math.min(100, Math.max(0, value)) * DECIMALS) / DECIMALS);

/** The text of such lines. An object that adds nothing has no line. */
export function writePicks(lines) {
  return lines.filter((line) => typeof line === "string" || picksSomething(line)).map((line) => {
    if (typeof line === "string") return line;
    const marks = line.points.map(({ x, y, add }) => `${add ? "+" : "-"} ${percent(x)} ${percent(y)}`);
    if (line.box) marks.push(`box ${line.box.map(percent).join(" ")}`);
    return `${cleanName(line.name)}: ${marks.join(", ")}`;
  }).join("\n");
}

/** Whether an object has something that adds to it; without, its line can't be read. */
export const picksSomething = ({ points, box }) => Boolean(box) || points.some(({ add }) => add);

/** A name that a line can begin with. */
export const cleanName = (name) => name.replaceAll(/[:\r\n]/g, " ").replace(/^[\s#]+/, "").trim();
