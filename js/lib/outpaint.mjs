/** How large a canvas is and where the picture lies on it: `sides_of` of core/pictures/canvas.py, number for number. */
import { roundHalfEven } from "./rounding.js";

/** Where the picture lies on the canvas: 0..1 from the top, 0..1 from the left. */
export const ANCHORS = {
  "top left": [0, 0], top: [0, 0.5], "top right": [0, 1],
  left: [0.5, 0], center: [0.5, 0.5], right: [0.5, 1],
  "bottom left": [1, 0], bottom: [1, 0.5], "bottom right": [1, 1],
};

/** No canvas is smaller than this, in pixels. */
export const SMALLEST = 8;

/** A number as Python's `float` reads it, or NaN. */
export function float(text) {
  const number = text.trim().replaceAll(/[０-９]/g, (digit) => String.fromCharCode(digit.charCodeAt(0) - 0xfee0));
  const plain = /^[+-]?(\d+(_\d+)*\.?(\d+(_\d+)*)?|\.\d+(_\d+)*)(e[+-]?\d+(_\d+)*)?$/.test(number);
  return plain ? Number(number.replaceAll("_", "")) : Number.NaN;
}

/** Width over height of "16:9", "16/9", "16x9" or "1.78"; null where it can't be read. */
export function parseAspect(text) {
  const parts = String(text).toLowerCase().split(/[:/x]/).map(float);
  const ratio = parts.length === 2 ? parts[0] / parts[1] : parts[0];
  return parts.length <= 2 && ratio > 0 && ratio < Infinity ? ratio : null;
}

/** The next multiple of `multiple` that is not less than `length`. */
export const roundUp = (length, multiple) => Math.ceil(length / multiple) * multiple;

/** The sides that make a picture exactly `wanted` large, with the picture at `anchor`. */
export function sidesFor({ width, height }, wanted, anchor) {
  const [down, across] = ANCHORS[anchor];
  const top = Math.floor((wanted.height - height) * down) || 0; // never the minus zero
  const left = Math.floor((wanted.width - width) * across) || 0;
  return { left, top, right: wanted.width - width - left, bottom: wanted.height - height - top };
}

/** The smallest canvas of that aspect ratio (width over height) that holds the whole picture. */
export function aspectSize({ width, height }, aspect, multiple) {
  return {
    width: roundUp(Math.max(width, roundHalfEven(height * aspect)), multiple),
    height: roundUp(Math.max(height, roundHalfEven(width / aspect)), multiple),
  };
}

/** Whether a mask that reaches this far into the picture from the sides that grow would reach through all of it. */
export function reachesThrough({ left, top, right, bottom }, { width, height }, reach) {
  return reach >= Math.min(left > 0 || right > 0 ? width : Infinity, top > 0 || bottom > 0 ? height : Infinity);
}

/** The size of the canvas that a picture of `size` with `sides` lies on. */
export function canvasSize(size, { left, top, right, bottom }) {
  return { width: size.width + left + right, height: size.height + top + bottom };
}

/**
 * The sides `{left, top, right, bottom}` in pixels of a picture of `size`, as the values of the widgets below
 * `extend` say. Throws RangeError where the node would refuse them: with the message of the first cause.
 */
export function sidesOf(extend, size) {
  if (extend.extend === "size") return sidesFor(size, extend, extend.anchor);
  if (extend.extend === "aspect ratio") {
    const aspect = parseAspect(extend.ratio);
    if (aspect === null) throw new RangeError("ratio");
    return sidesFor(size, aspectSize(size, aspect, extend.multiple_of), extend.anchor);
  }
  const pixels = (side, length) => (extend.unit === "percent" ? roundHalfEven((extend[side] * length) / 100) || 0 : extend[side]);
  const sides = {
    left: pixels("left", size.width), top: pixels("top", size.height),
    right: pixels("right", size.width), bottom: pixels("bottom", size.height),
  };
  const canvas = canvasSize(size, sides);
  if (canvas.width < SMALLEST || canvas.height < SMALLEST) throw new RangeError("sides");
  // The last side of each axis that grows takes up the rounding.
  sides[sides.bottom || !sides.top ? "bottom" : "top"] += roundUp(canvas.height, extend.multiple_of) - canvas.height;
  sides[sides.right || !sides.left ? "right" : "left"] += roundUp(canvas.width, extend.multiple_of) - canvas.width;
  return sides;
}

const LARGEST = 16384;
const [ACROSS, DOWN] = [["left", "right", "width"], ["top", "bottom", "height"]];
const same = (a, b) => Object.keys(a).every((side) => a[side] === b[side]);

/** The multiple that sides are to be dragged to: the widget's own, and 8 for an exact size (a latent's cell). */
export const snapOf = (extend) => (extend.multiple_of >= 1 ? extend.multiple_of : 8);

/**
 * `sides` with those named in `wanted` moved as near to it as leaves the canvas a multiple of `multiple` on that
 * axis, no side too long, and something of the picture in sight.
 */
export function movedSides(sides, wanted, size, multiple) {
  const result = { ...sides };
  for (const [first, last, length] of [ACROSS, DOWN]) {
    for (const [side, other] of [[first, last], [last, first]]) {
      if (wanted[side] === undefined) continue;
      const rest = size[length] + result[other];
      const least = Math.max(-LARGEST, SMALLEST - rest, Math.min(SMALLEST, size[length]) - size[length] - Math.min(0, result[other]));
      const [low, high] = [Math.ceil((rest + least) / multiple), Math.floor((rest + LARGEST) / multiple)];
      const count = Math.min(Math.max(Math.round((rest + wanted[side]) / multiple), low), high);
      result[side] = count * multiple - rest;
    }
  }
  return result;
}

/** `extend` with the anchor that comes nearest to a picture `left` and `top` from the canvas's corner. */
export function nearestAnchor(extend, size, { left, top }) {
  const ways = Object.keys(ANCHORS).map((anchor) => ({ ...extend, anchor }));
  const [down, across] = ANCHORS[extend.anchor];
  const far = (way) => {
    const sides = sidesOf(way, size);
    const [y, x] = ANCHORS[way.anchor]; // of those that come to the same, the one most like the present
    return Math.hypot(sides.left - left, sides.top - top) + 0.001 * Math.hypot(y - down, x - across);
  };
  return ways.reduce((best, way) => (far(way) < far(best) ? way : best), extend);
}

/**
 * The widgets' values that make these sides: said as `extend` says it where that can (a size with one of its
 * anchors), else as sides. Percent are whole, so they come as near as they can.
 */
export function valuesFor(sides, size, extend) {
  const canvas = canvasSize(size, sides);
  if (extend.extend === "size") {
    const anchors = [extend.anchor, ...Object.keys(ANCHORS)];
    const anchor = anchors.find((each) => same(sides, sidesFor(size, canvas, each)));
    if (anchor && Math.max(canvas.width, canvas.height) <= LARGEST) return { extend: "size", ...canvas, anchor };
  }
  const percent = extend.unit === "percent";
  const said = (side, length) => (percent ? Math.round((100 * sides[side]) / size[length]) : sides[side]);
  const fits = (multiple) => canvas.width % multiple === 0 && canvas.height % multiple === 0;
  return {
    extend: "sides",
    left: said("left", "width"), top: said("top", "height"), right: said("right", "width"), bottom: said("bottom", "height"),
    unit: percent ? "percent" : "pixels",
    multiple_of: percent || fits(snapOf(extend)) ? snapOf(extend) : 1,
  };
}
