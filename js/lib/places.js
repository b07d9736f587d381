/** Where nodes lie on the canvas: room for new ones, and bringing them into sight. */
import { app } from "../../../scripts/app.js";

const TITLE = 30;
const GAP = 60;
/** Room round nodes that are brought into sight; the page's bars lie over the canvas. */
const BARS = { left: 80, top: 110, right: 40, bottom: 40 };
/** Text is not drawn on a canvas that is further away. */
const READABLE = 0.65;

/** The place of a node with its title, `{left, top, right, bottom}`. Nodes 2.0 draws some larger than they say. */
export function boxOf(node) {
  const [left, top] = node.pos;
  let [width, height] = node.flags?.collapsed ? [node.size[0], 0] : node.size;
  const drawn = document.querySelector(`[data-node-id="${CSS.escape(node.id)}"]`);
  if (drawn) {
    const { width: w, height: h } = drawn.getBoundingClientRect();
    width = Math.max(width, w / app.canvas.ds.scale);
    height = Math.max(height, h / app.canvas.ds.scale - TITLE);
  }
  return { left, top: top - TITLE, right: left + width, bottom: top + height };
}

export function aroundAll(boxes) {
  return boxes.reduce((all, box) => ({
    left: Math.min(all.left, box.left), top: Math.min(all.top, box.top),
    right: Math.max(all.right, box.right), bottom: Math.max(all.bottom, box.bottom),
  }));
}

const overlap = (a, b) => a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
const grown = ({ left, top, right, bottom }, by) => ({ left: left - by, top: top - by, right: right + by, bottom: bottom + by });
const moved = ({ left, top, right, bottom }, x, y) => ({ left: left + x, top: top + y, right: right + x, bottom: bottom + y });

/** The nearest free place downwards from `box`. */
function sunk(box, taken) {
  let free = box;
  for (let hit; (hit = taken.find((each) => overlap(grown(free, GAP / 2), each)));) {
    free = moved(free, 0, hit.bottom + GAP / 2 + 1 - free.top);
  }
  return free;
}

/**
 * Puts `nodes` where they cover nothing, right of `beside` or below it, whichever is nearer. `arrange([x, y])` gives
 * them their places from the top left one's on.
 */
export function freePlace(beside, nodes, arrange) {
  arrange([0, 0]);
  const own = aroundAll(nodes.map(boxOf));
  const first = boxOf(beside);
  const taken = beside.graph.nodes.filter((node) => !nodes.includes(node)).map(boxOf);
  const right = sunk(moved(own, first.right + GAP - own.left, first.top - own.top), taken);
  const below = sunk(moved(own, first.left - own.left, first.bottom + GAP - own.top), taken);
  const way = (box) => Math.hypot(Math.max(0, box.left - first.right), Math.max(0, box.top - first.bottom)) + Math.abs(box.top - first.top) / 2;
  const best = way(right) <= way(below) ? right : below;
  arrange([best.left - own.left, best.top - own.top]);
}

/** Moves the canvas, and goes further away where it must, so that all of `nodes` are in sight. */
export function reveal(nodes) {
  const { ds, canvas } = app.canvas;
  const box = aroundAll(nodes.map(boxOf));
  const room = [canvas.clientWidth - BARS.left - BARS.right, canvas.clientHeight - BARS.top - BARS.bottom];
  const fits = Math.min(room[0] / (box.right - box.left), room[1] / (box.bottom - box.top));
  ds.scale = Math.min(Math.max(ds.scale, READABLE), Math.max(fits, READABLE));
  const [width, height] = room.map((length) => length / ds.scale);
  const start = [BARS.left / ds.scale, BARS.top / ds.scale];
  const shift = (low, high, at, length, from) => (low < from - at ? from - low : Math.min(at, Math.max(from + length - high, from - low)));
  ds.offset[0] = shift(box.left, box.right, ds.offset[0], width, start[0]);
  ds.offset[1] = shift(box.top, box.bottom, ds.offset[1], height, start[1]);
  app.canvas.setDirty(true, true);
}
