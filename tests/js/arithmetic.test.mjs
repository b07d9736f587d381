/**
 * The page's arithmetic against Python's: `test_arithmetic.py` writes what is asked and what Python says of it into
 * the file that ISI_CASES names. Nothing of ComfyUI's page is here, so that none of these modules may import it.
 */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";
import { hideDrawn, readChoices } from "../../js/lib/choices.js";
import { sidesOf } from "../../js/lib/outpaint.mjs";
import { passesOf } from "../../js/lib/outpaint_passes.mjs";
import { readPrompt } from "../../js/lib/prompts.js";
import { MOST_REGIONS, readRatios, regionColour, regionLines } from "../../js/lib/region_masks.mjs";
import { releaseSteps, thresholds } from "../../js/lib/release.mjs";
import { parse, ScriptError } from "../../js/lib/script.js";
import { STAND_IN, TextError } from "../../js/lib/script_text.js";
import { fault, stageCost, stageSizes, stageStride, targetSize, thrifty, workOf } from "../../js/lib/tiles.mjs";

/** Ratios of whole numbers and products of weights, worked out in another order, may differ in the last bits. */
const CLOSE = 1e-9;

const namedSides = ([top, bottom, left, right]) => ({ top, bottom, left, right });
const inOrder = ([one], [other]) => one - other;
const axis = ({ length, tile, starts }) => [length, tile, ...starts];

/** What the page makes of a case, as Python wrote its own answer down. */
const PAGE = {
  script(text) {
    try {
      const { global, groups, hints } = parse(text);
      return {
        global,
        hints: hints.map(({ key, line, column }) => ({ key, line, column })),
        groups: groups.map(({ start, ...group }) =>
          Object.fromEntries(Object.entries(group).map(([name, value]) => [name, typeof value === "bigint" ? String(value) : value]))),
      };
    } catch (error) {
      if (!(error instanceof ScriptError)) throw error;
      return { key: error.key, line: error.line, column: error.column };
    }
  },
  choices(text) {
    try {
      return readChoices(text);
    } catch (error) {
      if (!(error instanceof TextError)) throw error;
      return { offset: error.offset, key: error.key };
    }
  },
  hidden: (text) => hideDrawn(text).replaceAll(STAND_IN, "?"),
  prompts(text) {
    try {
      const { schedules, loras, parts, breaks } = readPrompt(text);
      return {
        edits: schedules.filter(({ options }) => !options).map(({ start: at, when, share }) => [at, when, share]).sort(inOrder),
        swaps: schedules.filter(({ options }) => options).map(({ start: at, options }) => [at, options]).sort(inOrder),
        loras: loras.map(({ start: at, name, model, text: onText }) => [at, name, model, onText]),
        weights: parts.length ? parts.map(({ weight }) => weight) : [1],
        breaks: breaks.length,
      };
    } catch (error) {
      if (!(error instanceof TextError)) throw error;
      return { offset: error.offset, key: error.key };
    }
  },
  sides({ extend, height, width }) {
    try {
      const { top, bottom, left, right } = sidesOf(extend, { height, width });
      return [top, bottom, left, right];
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      return null;
    }
  },
  passes({ sides, size, passSize, overlap }) {
    return passesOf(namedSides(sides), size, passSize, overlap)
      .map((box) => [box.top, box.left, box.bottom - box.top, box.right - box.left]);
  },
  regions({ ratios, height, width, feather }) {
    try {
      const masks = regionLines(readRatios(ratios), height, width, feather).flatMap(({ down, across }) =>
        across.map((columns) => [...down].map((share) => [...columns].map((one) => Math.fround(share * one)))));
      return { masks, colours: masks.map((_, index) => regionColour(index)) };
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      return { error: error.message === "many" ? `over ${MOST_REGIONS} regions` : "can't be read" };
    }
  },
  release: ({ mode, steps, strength }) => releaseSteps(thresholds(mode, steps), strength),
  tiles({ size, steps, ratio, auto, dilated, tile_height: tileHeight = 0, ...rest }) {
    const tiling = { ...rest, tileHeight };
    const wrong = fault(tiling, ratio);
    if (wrong) return { error: wrong.key };
    const cost = stageCost(size, steps, tiling, { ratio, auto }, dilated);
    const { tiles, calls, redundancy, dilated: stride } = cost;
    return { rows: axis(cost.layout.rows), columns: axis(cost.layout.columns), tiles, calls, redundancy, stride };
  },
  hints({ sizes, tile, tile_height: tileHeight, overlap, wrap, ratio, auto }) {
    const tiling = { tile, tileHeight, overlap, wrap };
    const better = thrifty(tiling, sizes, { ratio, auto });
    return { better: [better.tile, better.tileHeight], work: [tiling, better].map((one) => workOf(one, sizes, { ratio, auto })) };
  },
  stages({ size, factor, height, width, stages }) {
    const sizes = stageSizes(size, targetSize(...size, factor, height, width), stages);
    return { sizes, strides: sizes.map((stage) => stageStride(size, stage)) };
  },
};

function same(found, wanted) {
  if (typeof wanted === "number" && typeof found === "number") return Math.abs(found - wanted) <= CLOSE * Math.max(1, Math.abs(wanted));
  if (typeof wanted !== "object" || wanted === null) return found === wanted;
  if (typeof found !== "object" || found === null) return false;
  const names = Object.keys(wanted);
  return names.length === Object.keys(found).length && names.every((name) => same(found[name], wanted[name]));
}

for (const [name, cases] of Object.entries(JSON.parse(readFileSync(process.env.ISI_CASES, "utf-8")))) {
  test(`${name}: ${cases.length} cases`, () => {
    assert.ok(cases.length > 0);
    for (const { given, wanted } of cases) {
      const found = PAGE[name](given);
      if (!same(found, wanted)) assert.deepEqual(found, wanted, `${name} of ${JSON.stringify(given)}`);
    }
  });
}
