/** Regions by ratios: `read_ratios`, `ratio_masks` and `region_picture` of core/tiles/regions.py, number for number. */
import { float } from "./outpaint.mjs";

export const MOST_REGIONS = 64;

const sum = (numbers) => numbers.reduce((total, one) => total + one, 0);
const filled = (text, separator) => text.split(separator).filter((part) => part.trim());

/**
 * The rows `{height, columns}` of "1,2,1;1,1" as shares that add up to 1. Throws RangeError where the node would refuse
 * them: `unreadable` or `many`.
 */
export function readRatios(text) {
  let rows = filled(text, ";").map((row) => filled(row, ",").map(float));
  if (!rows.length || !rows.every((row) => row.length && row.every((one) => one > 0 && one < 1e6))) throw new RangeError("unreadable");
  if (rows.length === 1) rows = [[1, ...rows[0]]];
  const total = sum(rows.map(([height]) => height));
  const found = rows.map(([height, ...columns]) => ({
    height: height / total, columns: columns.length ? columns.map((one) => one / sum(columns)) : [1],
  }));
  if (sum(found.map(({ columns }) => columns.length)) > MOST_REGIONS) throw new RangeError("many");
  return found;
}

/**
 * What each region has of each pixel, as products: `[{down, across}]`, for each row how much it has of each line of
 * `height`, and how much its columns have of each place in a line of `width`.
 */
export function regionLines(rows, height, width, feather) {
  const reach = feather * Math.min(height, width);
  const down = shares(rows.map((row) => row.height), height, reach);
  return rows.map(({ columns }, i) => ({ down: down[i], across: shares(columns, width, reach) }));
}

function shares(parts, length, reach) {
  const ramps = [new Float64Array(length).fill(1)];
  let border = 0;
  for (const share of parts.slice(0, -1)) {
    border += share * length;
    const edge = border;
    ramps.push(Float64Array.from({ length }, (_, i) => {
      const past = i + 0.5 - edge;
      return reach ? Math.min(1, Math.max(0, past / reach + 0.5)) : Number(past > 0);
    }));
  }
  ramps.push(new Float64Array(length));
  return parts.map((_, i) => Float32Array.from(ramps[i], (before, at) => before - ramps[i + 1][at]));
}

/** The colour of a region (0..1): hues go round by the golden angle. */
export const regionColour = (index) =>
  [0, 2 / 3, 1 / 3].map((turn) => 0.55 + 0.35 * Math.cos(2 * Math.PI * (index * 0.381966 + turn)));

/** Red, green, blue and alpha of a picture of regions: each in its colour, blended where they blend. */
export function regionPixels(rows, height, width, feather) {
  const lines = regionLines(rows, height, width, feather);
  let count = 0;
  const strips = lines.map(({ across }) => {
    const strip = new Float64Array(3 * width);
    for (const shareAt of across) {
      const colour = regionColour(count++);
      for (let i = 0; i < strip.length; i++) strip[i] += shareAt[Math.floor(i / 3)] * colour[i % 3];
    }
    return strip;
  });
  const pixels = new Uint8ClampedArray(4 * height * width).fill(255);
  for (let y = 0; y < height; y++) {
    const held = lines.map(({ down }, row) => [down[y], strips[row]]).filter(([share]) => share > 0);
    for (let x = 0; x < width; x++) {
      for (let c = 0; c < 3; c++) pixels[4 * (y * width + x) + c] = 255 * sum(held.map(([share, strip]) => share * strip[3 * x + c]));
    }
  }
  return pixels;
}

/** Where each region lies, as shares of the picture: `{x, y, width, height}`. */
export function regionBoxes(rows) {
  let y = 0;
  return rows.flatMap(({ height, columns }) => {
    let x = 0;
    const boxes = columns.map((width) => ({ x: (x += width) - width, y, width, height }));
    y += height;
    return boxes;
  });
}
