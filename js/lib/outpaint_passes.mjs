/** The windows in which ISI Outpaint paints a canvas, in their order: `Outpainting.passes` of core/plans/outpaint.py. */
import { canvasSize } from "./outpaint.mjs";
import { fitAxis } from "./tiles.mjs";

const SMALLEST_PASS = 256;
const MULTIPLE = 8;
const CONTEXT = 4;

/** Which cells of a canvas are known: the cells between all edges of some boxes. */
class Cells {
  constructor({ width, height }, boxes) {
    const edges = (length, first, last) => [...new Set([0, length, ...boxes.flatMap((box) => [box[first], box[last]])])].sort((a, b) => a - b);
    this.rows = edges(height, "top", "bottom");
    this.columns = edges(width, "left", "right");
    this.known = this.rows.map(() => this.columns.map(() => false));
  }

  *#within({ left, top, right, bottom }) {
    for (let i = this.rows.indexOf(top); this.rows[i] < bottom; i++) {
      for (let j = this.columns.indexOf(left); this.columns[j] < right; j++) yield [i, j];
    }
  }

  add(box) {
    for (const [i, j] of this.#within(box)) this.known[i][j] = true;
  }

  /** How many pixels of a box are known. */
  area(box) {
    let sum = 0;
    for (const [i, j] of this.#within(box)) {
      if (this.known[i][j]) sum += (this.rows[i + 1] - this.rows[i]) * (this.columns[j + 1] - this.columns[j]);
    }
    return sum;
  }
}

/** Twice the distance between the middles of two boxes, squared. */
function distance(a, b) {
  return (a.top + a.bottom - b.top - b.bottom) ** 2 + (a.left + a.right - b.left - b.right) ** 2;
}

/**
 * The windows `{left, top, right, bottom}` on the canvas of a picture of `size`, each with something new in it. None
 * for settings that the node refuses.
 */
export function passesOf(sides, size, passSize, overlap) {
  if (passSize < SMALLEST_PASS || overlap > Math.floor(passSize / 2)) return [];
  const canvas = canvasSize(size, sides);
  const picture = {
    left: Math.max(0, sides.left), top: Math.max(0, sides.top),
    right: Math.min(canvas.width, sides.left + size.width), bottom: Math.min(canvas.height, sides.top + size.height),
  };
  const limit = Math.floor(passSize / MULTIPLE) * MULTIPLE;
  const shared = Math.max(overlap, Math.floor(limit / CONTEXT));
  const [rows, columns] = [canvas.height, canvas.width].map((length) => fitAxis(length, limit, shared, { fit: false }));
  const boxes = rows.starts.flatMap((top) =>
    columns.starts.map((left) => ({ left, top, right: left + columns.tile, bottom: top + rows.tile })));
  const known = new Cells(canvas, [picture, ...boxes]);
  known.add(picture);
  const passes = [];
  while (boxes.length) {
    const areas = boxes.map((box) => known.area(box));
    const best = boxes.reduce((at, box, i) => {
      const more = areas[i] - areas[at] || distance(boxes[at], picture) - distance(box, picture);
      return more > 0 ? i : at;
    }, 0);
    const [box] = boxes.splice(best, 1);
    if (areas[best] === (box.right - box.left) * (box.bottom - box.top)) continue;
    passes.push(box);
    known.add(box);
  }
  return passes;
}
