/**
 * Where tiles lie and what they cost, in the browser. `core/tiles/tiles.py`, `core/tiles/tiling.py`, `core/plans/cost.py` and
 * `core/plans/upscale.py` are the reference and say why; both sides are held to `tests/vectors/tiles.json`.
 *
 * An axis is `{length, tile, starts, wrap}`, a layout `{rows, columns}`; units are latent cells or pixels.
 */

import { roundHalfEven as round } from "./rounding.js";

const GRAIN = 16;
/** Another tile size is worth a word where it does at most this share of the work. */
const SAVED = 0.8;
const LEAST_CELLS = 8;
const STAGE_GRAIN = 16;
/** The longest side of an automatic tile in pixels, of models of about a megapixel. */
export const AUTO_TILE = 1216;
const GIGAPIXEL = 10 ** 9;

const ceilDiv = (value, by) => Math.ceil(value / by);
const floorTo = (value, multiple) => Math.floor(value / multiple) * multiple;
const ascending = (starts) => [...new Set(starts)].sort((a, b) => a - b);
const count = (axis) => axis.starts.length;
const range = (length, at) => Array.from({ length }, (_, i) => at(i));

/** As few tiles as cover `length`, evenly spread, each sharing at least `overlap` with the next. */
export function fitAxis(length, tile, overlap, { multiple = 1, wrap = false, fit = true } = {}) {
  overlap = ceilDiv(overlap, multiple) * multiple;
  tile = Math.max(floorTo(tile, multiple), overlap + multiple);
  if (wrap) {
    const tiles = ceilDiv(length, tile - overlap);
    if (fit || tiles === 1) {
      tile = Math.min(ceilDiv(length, tiles * multiple) * multiple + overlap, length + overlap);
    }
    const starts = range(tiles, (i) => Math.min(ceilDiv(i * length, tiles * multiple) * multiple, length - 1));
    return { length, tile, starts: ascending(starts), wrap };
  }
  if (tile >= length) return { length, tile: length, starts: [0], wrap };
  const tiles = ceilDiv(length - overlap, tile - overlap);
  if (fit) tile = ceilDiv(length + (tiles - 1) * overlap, tiles * multiple) * multiple;
  const last = length - tile;
  const starts = range(tiles, (i) => Math.min(ceilDiv(i * last, (tiles - 1) * multiple) * multiple, last));
  return { length, tile, starts: ascending(starts), wrap };
}

/** The same tiles moved by a fraction (0..1) of the distance between two of them. */
export function shiftAxis(axis, fraction, multiple = 1) {
  const { length, starts, wrap } = axis;
  if (wrap) {
    const offset = floorTo(Math.floor((fraction * length) / starts.length), multiple);
    return { ...axis, starts: starts.map((start) => (start + offset) % length).sort((a, b) => a - b) };
  }
  if (starts.length === 1) return axis;
  const stride = Math.max(...starts.slice(1).map((start, i) => start - starts[i]));
  const offset = floorTo(Math.floor(fraction * stride), multiple);
  const last = starts.at(-1);
  return { ...axis, starts: ascending([...starts, last + stride].map((start) => Math.min(Math.max(start - offset, 0), last))) };
}

const scaleAxis = (axis, by) => ({ ...axis, length: axis.length * by, tile: axis.tile * by, starts: axis.starts.map((start) => start * by) });

/** A tile of an axis as runs of the canvas, `[start, length]` each: one, or more where it goes over the end. */
export function pieces({ length, tile, starts }, index) {
  const runs = [];
  for (let done = 0; done < tile; ) {
    const at = (starts[index] + done) % length;
    const size = Math.min(tile - done, length - at);
    runs.push([at, size]);
    done += size;
  }
  return runs;
}

export const tilesIn = ({ rows, columns }) => count(rows) * count(columns);

/** Cells computed over cells of the canvas; 1 is no redundant work. */
export const redundancy = ({ rows, columns }) =>
  ((count(rows) * rows.tile) / rows.length) * ((count(columns) * columns.tile) / columns.length);

/** Height and width of a tile that were asked for in pixels, 0 for automatic. */
const sidesOf = ({ tile, tileHeight = 0 }) => [tileHeight || tile, tile];

/** What is wrong with a tiling for a model with `ratio` pixels a latent cell: `{key, ...numbers}`, or null. */
export function fault(tiling, ratio) {
  const { tile, tileHeight = 0, overlap } = tiling;
  const least = LEAST_CELLS * ratio;
  const shared = ceilDiv(overlap, ratio);
  for (const side of [tile, tileHeight].filter(Boolean)) {
    if (side < least) return { key: "small", tile: side, least };
    const cells = Math.floor(side / ratio);
    if (shared >= cells) return { key: "overlap", tile: side, overlap, ratio, shared, cells };
  }
  const most = Math.floor(AUTO_TILE / 4);
  if (!sidesOf(tiling).every(Boolean) && overlap > most) return { key: "auto", overlap, most };
  return null;
}

/**
 * Tiles over a canvas of `height` x `width` latent cells of `ratio` pixels. `tiling` is
 * `{tile, tileHeight, overlap, batch, shift, wrap}` in pixels; a side of 0 is at most `auto` and fitted.
 */
export function tileLayout(tiling, height, width, ratio, auto) {
  const { overlap, wrap } = tiling;
  const axis = (length, side, wraps) =>
    fitAxis(length, Math.floor((side || auto) / ratio), ceilDiv(overlap, ratio), {
      multiple: Math.max(1, Math.floor(GRAIN / ratio)), wrap: wraps, fit: !side,
    });
  const [tall, wide] = sidesOf(tiling);
  return { rows: axis(height, tall, wrap === "both"), columns: axis(width, wide, wrap !== "off") };
}

/** Pixels computed over pixels of pictures of `sizes` (`[height, width]` in pixels), all together. */
export function workOf(tiling, sizes, { ratio, auto }) {
  const cells = sizes.map(([height, width]) => [ceilDiv(height, ratio), ceilDiv(width, ratio)]);
  const area = cells.reduce((sum, [height, width]) => sum + height * width, 0);
  return cells.reduce((sum, size) => sum + redundancy(tileLayout(tiling, ...size, ratio, auto)) * size[0] * size[1], 0) / area;
}

/** The tiling, or one whose given sides differ by at most a quarter, where that saves a fifth of the work. */
export function thrifty(tiling, sizes, geometry) {
  const work = (one) => workOf(one, sizes, geometry);
  let best = tiling;
  for (const name of ["tile", "tileHeight"]) {
    const side = tiling[name] ?? 0;
    if (!side) continue;
    const from = best;
    for (let other = ceilDiv(ceilDiv(side * 3, 4), GRAIN) * GRAIN; other <= Math.floor((side * 5) / 4); other += GRAIN) {
      const tried = { ...from, [name]: other };
      if (!fault(tried, geometry.ratio) && work(tried) < work(best)) best = tried;
    }
  }
  return work(best) <= SAVED * work(tiling) ? best : tiling;
}

/**
 * The cost of sampling a picture of `[height, width]` pixels for `steps` steps: `{layout, tiles, calls,
 * redundancy, dilated}`, the layout in pixels. `dilated` is DemoFusion's stride (1: none).
 */
export function stageCost([height, width], steps, tiling, { ratio, auto }, dilated = 1) {
  const cells = [ceilDiv(height, ratio), ceilDiv(width, ratio)];
  let layout = tileLayout(tiling, ...cells, ratio, auto);
  if (tiling.shift) layout = { rows: shiftAxis(layout.rows, 0.5), columns: shiftAxis(layout.columns, 0.5) };
  const limits = sidesOf(tiling).map((side) => Math.floor((side || auto) / ratio));
  const sparse = dilated > 1 ? Math.max(dilated, ...cells.map((length, i) => ceilDiv(length, limits[i]))) : 1;
  const tiles = tilesIn(layout);
  const batches = ceilDiv(tiles, tiling.batch) + (sparse > 1 ? ceilDiv(sparse ** 2, tiling.batch) : 0);
  return {
    layout: { rows: scaleAxis(layout.rows, ratio), columns: scaleAxis(layout.columns, ratio) },
    tiles,
    calls: steps * batches,
    redundancy: redundancy(layout) + (sparse > 1 ? 1 : 0),
    dilated: sparse,
  };
}

/** `[height, width]` after upscaling: the target (a side of 0 follows the aspect), else by `factor`; or null. */
export function targetSize(height, width, factor, targetHeight = 0, targetWidth = 0) {
  const aspect = width / height;
  const size = targetHeight || targetWidth
    ? [targetHeight || round(targetWidth / aspect), targetWidth || round(targetHeight * aspect)]
    : [round(height * factor), round(width * factor)];
  return factor > 0 || targetHeight || targetWidth ? size.map((side) => Math.max(1, side)) : null;
}

/** `[height, width]` of all stages from `size` to `target`; 0 stages: each at most twice as large as the last. */
export function stageSizes(size, target, stages = 0) {
  const growth = Math.max(target[0] / size[0], target[1] / size[1]);
  const number = stages || Math.max(1, growth > 1 ? Math.ceil(Math.log2(growth) - 1e-9) : 1);
  const between = (before, after, share) => Math.max(1, round((before * (after / before) ** share) / STAGE_GRAIN)) * STAGE_GRAIN;
  return range(number, (i) =>
    i === number - 1 ? target : [between(size[0], target[0], (i + 1) / number), between(size[1], target[1], (i + 1) / number)]);
}

/** The strides of DemoFusion in stages of these sizes, for a picture of `size`. */
export const stageStride = (size, [height, width]) => round(Math.max(height / size[0], width / size[1]));
