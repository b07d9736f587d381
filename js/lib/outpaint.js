/** How large a canvas is and where the picture lies on it: `sides_of` of core/canvas.py, number for number. */

/** Where the picture lies on the canvas: 0..1 from the top, 0..1 from the left. */
export const ANCHORS = {
  "top left": [0, 0], top: [0, 0.5], "top right": [0, 1],
  left: [0.5, 0], center: [0.5, 0.5], right: [0.5, 1],
  "bottom left": [1, 0], bottom: [1, 0.5], "bottom right": [1, 1],
};

/** No canvas is smaller than this, in pixels. */
export const SMALLEST = 8;

/** A number as Python's `float` reads it, or NaN. */
function float(text) {
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

/** As Python rounds: halves to the even neighbour. */
export function roundHalfEven(number) {
  const below = Math.floor(number);
  return number - below === 0.5 ? below + Math.abs(below % 2) : Math.round(number);
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
