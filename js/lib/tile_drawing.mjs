/** Draws a layout of tiles: borders, the shares of neighbours in graded bands, numbers, and the chosen tile. */
import { pieces } from "./tiles.mjs";

const SHARED = [255, 196, 0];
const CHOSEN = "#4a9eff";
/** Closer than this (units of the element), lines would be a grey mush. */
const LEAST_GAP = 3;
const LEAST_NUMBER = 14;
const MOST_NUMBERS = 600;

/** Where the overlap of each tile with the next one lies, as runs `[start, length]` of the canvas. */
export function sharedRuns({ length, tile, starts, wrap }) {
  const next = wrap ? [...starts.slice(1), starts[0] + length] : starts.slice(1);
  return next.flatMap((start, i) => {
    const shared = starts[i] + tile - start;
    if (shared <= 0) return [];
    return pieces({ length, tile: Math.min(shared, length), starts: [start % length] }, 0);
  });
}

/** The tile (index) whose middle is nearest to a place, among those that lie under it. */
export function tileAt({ rows, columns }, y, x) {
  return nearest(rows, y) * columns.starts.length + nearest(columns, x);
}

function nearest(axis, at) {
  const away = (start) => {
    const middle = (start + axis.tile / 2) % axis.length;
    const straight = Math.abs(at - middle);
    return axis.wrap ? Math.min(straight, axis.length - straight) : straight;
  };
  return axis.starts.reduce((best, start, i) => (away(start) < away(axis.starts[best]) ? i : best), 0);
}

/** The rectangles `[x, y, width, height]` of the canvas under a tile: several where it goes over a border. */
export function tileRects({ rows, columns }, index) {
  const row = Math.floor(index / columns.starts.length);
  const column = index % columns.starts.length;
  return pieces(rows, row).flatMap(([y, h]) => pieces(columns, column).map(([x, w]) => [x, y, w, h]));
}

/**
 * Draws `layout` with `pen`. `to` takes its coordinates to the pen's: `{x(at), y(at)}`. `numbered` writes the number
 * of each tile, `chosen` is the index of one to mark, or null.
 */
export function drawTiles(pen, layout, to, { numbered, chosen }) {
  const { rows, columns } = layout;
  const [left, top, right, bottom] = [to.x(0), to.y(0), to.x(columns.length), to.y(rows.length)];
  pen.save();
  pen.beginPath();
  pen.rect(left, top, right - left, bottom - top);
  pen.clip();
  for (const [start, size] of sharedRuns(columns)) {
    const [from, till] = [to.x(start), to.x(start + size)];
    pen.fillStyle = graded(pen.createLinearGradient(from, 0, till, 0));
    pen.fillRect(from, top, till - from, bottom - top);
  }
  for (const [start, size] of sharedRuns(rows)) {
    const [from, till] = [to.y(start), to.y(start + size)];
    pen.fillStyle = graded(pen.createLinearGradient(0, from, 0, till));
    pen.fillRect(left, from, right - left, till - from);
  }
  const lines = new Path2D();
  for (const at of borders(columns, (x) => to.x(x))) addLine(lines, at, top, at, bottom);
  for (const at of borders(rows, (y) => to.y(y))) addLine(lines, left, at, right, at);
  stroke(pen, lines, "rgb(255 255 255 / 85%)");
  pen.restore();
  if (chosen !== null) mark(pen, layout, to, chosen);
  if (numbered) writeNumbers(pen, layout, to);
}

function graded(gradient) {
  const colour = (share) => `rgb(${SHARED.join(" ")} / ${share}%)`;
  gradient.addColorStop(0, colour(6));
  gradient.addColorStop(0.5, colour(48));
  gradient.addColorStop(1, colour(6));
  return gradient;
}

/** Where the borders of an axis's tiles are drawn, if there is room for them. */
function borders({ length, tile, starts }, place) {
  const ends = starts.map((start) => (start + tile) % length || length);
  const found = [...new Set([0, length, ...starts, ...ends])].sort((a, b) => a - b).map(place);
  return (found.at(-1) - found[0]) / (found.length - 1) < LEAST_GAP ? [found[0], found.at(-1)] : found;
}

function addLine(path, x0, y0, x1, y1) {
  path.moveTo(x0, y0);
  path.lineTo(x1, y1);
}

/** A bright line in a dark one, so that it is seen on any picture. */
function stroke(pen, path, colour, width = 1) {
  pen.strokeStyle = "rgb(0 0 0 / 45%)";
  pen.lineWidth = width + 1.5;
  pen.stroke(path);
  pen.strokeStyle = colour;
  pen.lineWidth = width;
  pen.stroke(path);
}

function mark(pen, layout, to, chosen) {
  const path = new Path2D();
  for (const [x, y, w, h] of tileRects(layout, chosen)) {
    path.rect(to.x(x), to.y(y), to.x(x + w) - to.x(x), to.y(y + h) - to.y(y));
  }
  pen.fillStyle = "rgb(74 158 255 / 28%)";
  pen.fill(path);
  stroke(pen, path, CHOSEN, 2);
}

function writeNumbers(pen, layout, to) {
  const { rows, columns } = layout;
  const number = rows.starts.length * columns.starts.length;
  const room = Math.min(to.x(columns.tile) - to.x(0), to.y(rows.tile) - to.y(0));
  if (number > MOST_NUMBERS || room < LEAST_NUMBER) return;
  pen.font = `600 ${Math.min(15, Math.max(9, room / 3))}px system-ui, sans-serif`;
  pen.textAlign = "center";
  pen.textBaseline = "middle";
  pen.lineWidth = 3;
  pen.strokeStyle = "rgb(0 0 0 / 75%)";
  pen.fillStyle = "#fff";
  for (let index = 0; index < number; index++) {
    const [x, y, w, h] = tileRects(layout, index).reduce((a, b) => (b[2] * b[3] > a[2] * a[3] ? b : a));
    const at = [to.x(x + w / 2), to.y(y + h / 2)];
    pen.strokeText(index + 1, ...at);
    pen.fillText(index + 1, ...at);
  }
}
