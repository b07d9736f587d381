/**
 * The grid of ISI Tiled Sampling and ISI Upscale Cost: the tiles over the picture, how many there are and what they
 * cost, before a run. The settings stay in the widgets; this is a view of them and of what the node is connected to.
 */
import { ask } from "./ask.js";
import { element } from "./dom.js";
import { sizeOf } from "./known_size.mjs";
import { PictureView } from "./picture.js";
import { drawTiles, tileAt } from "./tile_drawing.mjs";
import { readTiledSampling, readUpscaleCost } from "./tile_plan.mjs";
import { AUTO_TILE, fault, stageCost, stageSizes, stageStride, targetSize, thrifty, tileLayout, workOf } from "./tiles.mjs";
import { watch } from "./watch.js";
import { shareWheel } from "./wheel.js";
import { say } from "./words.js";

/** `[height, width]` of the picture that is drawn as long as none is known. */
const EXAMPLE = [2048, 2048];
/** How most models see pixels; assumed, and said so, until the server has told. */
const ASSUMED = { ratio: 8, auto: AUTO_TILE, certain: false };
const LACKS = {
  sampler: () => say("grid.lacks_sampler"),
  latent: () => say("grid.lacks_latent"),
  image: () => say("grid.lacks_image"),
  tiling: () => say("grid.lacks_tiling"),
};
const FAULTS = {
  small: ({ tile, least }) => say("grid.bad_small", { tile, least }),
  overlap: ({ key, ...numbers }) => say("grid.bad_overlap", numbers),
  auto: ({ overlap, most }) => say("grid.bad_auto", { overlap, most }),
};
const ARROWS = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };

/** Each shows the grid of `node` in `root` as long as `lifetime` lasts. */
export const showTiledSampling = (node, root, lifetime) => showGrid(node, root, lifetime, readTiledSampling);
export const showUpscaleCost = (node, root, lifetime) => showGrid(node, root, lifetime, readUpscaleCost);

function showGrid(node, root, lifetime, read) {
  const view = new PictureView(node, { find: () => state?.known?.url ?? null, scene, draw, changed: () => refresh() });
  const stage = view.element;
  Object.assign(stage, { tabIndex: 0, className: `${stage.className} isi-grid-stage` });
  stage.setAttribute("role", "application");
  stage.setAttribute("aria-label", say("grid.label"));
  const stages = element("div", { className: "isi-grid-stages", role: "group", hidden: true, aria: { label: say("grid.stages") } });
  const tip = element("div", { className: "isi-grid-tip", role: "status" });
  stage.append(tip);
  const status = element("div", { className: "isi-grid-status" });
  const cost = element("div", { className: "isi-grid-cost" });
  const note = element("div", { className: "isi-grid-note" });
  const report = element("pre", { className: "isi-grid-report", hidden: true, tabIndex: 0, aria: { label: say("grid.report") } });
  root.replaceChildren(stages, stage, status, cost, note, report);

  let state = null;
  let told = null;
  /** `[{size, layout, tiles, calls, redundancy}]`, one for each stage; empty where there is nothing to draw. */
  let costs = [];
  let shown = null;
  let chosen = null;

  /** Works the tiles out again, from the graph and from the picture. */
  function refresh() {
    if (!state) return;
    const size = state.known && (state.known.size || view.size)
      ? sizeOf(state.known, view.size && [view.size.height, view.size.width])
      : null;
    const waiting = !size && view.state === "loading";
    const geometry = told ? { ...told, certain: true } : ASSUMED;
    const tiling = state.tiling ?? { tile: 2 * Math.max(...(size ?? EXAMPLE)), overlap: 0, batch: 1, shift: false, wrap: "off" };
    const wrong = fault(tiling, geometry.ratio);
    costs = wrong || waiting || state.lacks === "plan" ? [] : stageCosts(state, size ?? EXAMPLE, tiling, geometry);
    const least = costs.length - 1;
    shown = shown === null || shown > least ? null : shown;
    if (chosen !== null && chosen >= (current()?.tiles ?? 0)) chosen = null;
    const said = () => [...remarks(size, waiting, geometry), ...hints(tiling, costs.map((each) => each.size), geometry)];
    note.textContent = wrong ? FAULTS[wrong.key](wrong) : said().join(" ");
    note.classList.toggle("isi-wrong", Boolean(wrong));
    root.classList.toggle("isi-grid-example", !size);
    showStages();
    tell();
    view.redraw();
  }

  /** The stage that is drawn: the one that was picked, else the last, which is the largest. */
  const current = () => costs[shown ?? costs.length - 1] ?? null;

  function remarks(size, waiting, { auto, certain }) {
    if (waiting) return [];
    if (state.lacks === "plan") return [say("grid.lacks_plan")];
    const found = [];
    const [height, width] = EXAMPLE.map(String);
    if (!size) found.push(say("grid.example", { width, height }), LACKS[state.lacks]());
    else if (state.lacks === "tiling") found.push(LACKS.tiling());
    if (state.tiling?.tile === 0 && !certain) found.push(say("grid.assumed", { auto: String(auto) }));
    if (state.tiling?.shift) found.push(say("grid.moves"));
    return found;
  }

  function showStages() {
    stages.hidden = costs.length < 2;
    const buttons = costs.map(({ size: [height, width] }, i) => element("button", {
      type: "button", className: "isi-button", data: { stage: i }, aria: { pressed: String(i === (shown ?? costs.length - 1)) },
    }, `${i + 1}: ${width} × ${height}`));
    const focused = stages.contains(document.activeElement) ? document.activeElement.dataset.stage : null;
    stages.replaceChildren(...(stages.hidden ? [] : buttons));
    if (focused !== null) buttons[focused]?.focus();
  }

  /** Says what the tiles are and cost; of the chosen one its number, place and size, where it does not hide it. */
  function tell() {
    const now = current();
    status.textContent = now ? summary(now) : "";
    cost.textContent = now ? costWords(costs, state) : "";
    tip.textContent = chosen === null ? "" : tileWords(now, chosen);
    if (chosen === null) return;
    const { rows, columns } = now.layout;
    const row = Math.floor(chosen / columns.starts.length);
    tip.classList.toggle("isi-above", row >= rows.starts.length / 2);
  }

  function scene(picture) {
    const now = current();
    if (!now) return picture && { x: 0, y: 0, ...picture };
    const [height, width] = now.size;
    return picture ? { x: 0, y: 0, ...picture } : { x: 0, y: 0, width, height };
  }

  /** From pixels of the stage to units of the element. */
  function scales() {
    const [height, width] = current().size;
    const across = view.size ? view.size.width / width : 1;
    const down = view.size ? view.size.height / height : 1;
    return { x: (at) => view.x(at * across), y: (at) => view.y(at * down), across: view.scale * across, down: view.scale * down };
  }

  function draw(pen) {
    const now = current();
    if (now) drawTiles(pen, now.layout, scales(), { numbered: state.numbered, chosen });
  }

  function choose(index) {
    if (chosen === index) return;
    chosen = index;
    tell();
    view.redraw();
  }

  function point(event) {
    const now = current();
    if (!now) return;
    const box = stage.getBoundingClientRect();
    const zoom = box.width / stage.clientWidth;
    const to = scales();
    const x = ((event.clientX - box.left) / zoom - to.x(0)) / to.across;
    const y = ((event.clientY - box.top) / zoom - to.y(0)) / to.down;
    const { rows, columns } = now.layout;
    choose(x < 0 || y < 0 || x > columns.length || y > rows.length ? null : tileAt(now.layout, y, x));
  }

  function key(event) {
    const now = current();
    if (!now || event.ctrlKey || event.metaKey || event.altKey) return;
    const [rows, columns] = [now.layout.rows.starts.length, now.layout.columns.starts.length];
    const to = { Home: 0, End: rows * columns - 1, Escape: null };
    if (event.key in ARROWS) {
      const [down, across] = chosen === null ? [0, 0] : ARROWS[event.key];
      const at = chosen ?? 0;
      const row = Math.min(Math.max(Math.floor(at / columns) + down, 0), rows - 1);
      choose(row * columns + Math.min(Math.max((at % columns) + across, 0), columns - 1));
    } else if (event.key in to) choose(to[event.key]);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  function showReport(text) {
    report.textContent = text;
    report.hidden = !text;
  }

  let asking = new AbortController();
  lifetime.atEnd(() => asking.abort());
  // The graph is read once; the watches below look at what was read.
  watch(lifetime, () => read(node), (found) => {
    state = found;
    showReport("");
    refresh();
  });
  view.live(lifetime);
  watch(lifetime, () => state?.model ?? null, async (file) => {
    asking.abort();
    asking = new AbortController();
    told = null;
    if (file) told = await askGeometry(file, asking.signal);
    refresh();
  });
  // Room for the report, and in the classic renderer for the picture that the page puts below it a little later.
  watch(lifetime, () => !report.hidden && Math.max(node.size[1], node.computeSize()[1]), (height) => {
    if (height > node.size[1]) node.setSize([node.size[0], height]);
  });
  lifetime.listen(stage, "pointermove", point);
  lifetime.listen(stage, "pointerleave", () => choose(null));
  lifetime.listen(stage, "focus", () => stage.matches(":focus-visible") && choose(chosen ?? 0));
  lifetime.listen(stage, "blur", () => choose(null));
  lifetime.listen(stage, "keydown", key);
  lifetime.listen(stages, "click", (event) => {
    const picked = event.target.closest("button")?.dataset.stage;
    if (picked === undefined) return;
    shown = Number(picked);
    chosen = null;
    refresh();
  });
  lifetime.listen(root, "isi-report", ({ detail }) => showReport(detail));
  shareWheel(lifetime, report);
}

/** How a model sees pixels, as the server says: `{ratio, channels, auto}`; null if it can't tell. */
async function askGeometry(file, signal) {
  return (await ask(`/isi/model?${new URLSearchParams({ file })}`, { signal }))?.geometry ?? null;
}

function stageCosts({ upscale, steps }, size, tiling, geometry) {
  const cost = (stage, dilated) => ({ size: stage, ...stageCost(stage, steps ?? 0, tiling, geometry, dilated) });
  if (!upscale) return [cost(size, 1)];
  const target = targetSize(...size, upscale.factor, upscale.height, upscale.width);
  if (!target) return [];
  return stageSizes(size, target, upscale.stages).map((stage) => cost(stage, upscale.demofusion ? stageStride(size, stage) : 1));
}

/** A tile size near the chosen one with which much less is computed, in words; mostly none. */
function hints(tiling, sizes, geometry) {
  const better = sizes.length ? thrifty(tiling, sizes, geometry) : tiling;
  if (better === tiling) return [];
  const { ratio, auto } = geometry;
  const [height, width] = sizes.reduce((most, size) => (size[0] * size[1] > most[0] * most[1] ? size : most));
  const grids = [better, tiling].map((one) => {
    const { rows, columns } = tileLayout(one, Math.ceil(height / ratio), Math.ceil(width / ratio), ratio, auto);
    return `${rows.starts.length} × ${columns.starts.length}`;
  });
  const sides = [["tile_size", "tile"], ["tile_height", "tileHeight"]].filter(([, name]) => better[name] !== tiling[name]);
  const [work, instead] = [better, tiling].map((one) => workOf(one, sizes, geometry).toFixed(2));
  return [say("grid.thrifty", {
    sides: sides.map(([widget, name]) => `${widget} ${better[name]}`).join(", "), grid: grids[0], before: grids[1], work, instead,
  })];
}

function summary({ layout: { rows, columns }, tiles, redundancy, size: [height, width] }) {
  if (tiles === 1 && !rows.wrap && !columns.wrap) return say("grid.whole", { width: String(width), height: String(height) });
  return [
    say("grid.tiles", { count: tiles, width: String(columns.tile), height: String(rows.tile) }),
    say("grid.rows", { rows: rows.starts.length, columns: columns.starts.length }),
    say("grid.work", { work: redundancy.toFixed(2) }),
  ].join(" · ");
}

function tileWords({ layout: { rows, columns }, tiles }, index) {
  const [row, column] = [Math.floor(index / columns.starts.length), index % columns.starts.length];
  return say("grid.tile", {
    number: index + 1, of: tiles, row: row + 1, column: column + 1,
    x: String(columns.starts[column]), y: String(rows.starts[row]), width: String(columns.tile), height: String(rows.tile),
  });
}

function costWords(costs, { steps, cfg }) {
  if (!steps) return "";
  const words = [say("grid.calls", { count: costs.reduce((sum, cost) => sum + cost.calls, 0) })];
  if (costs.length === 1) words.push(say("grid.steps", { steps, calls: costs[0].calls / steps }));
  if (cfg !== 1) words.push(say("grid.guided"));
  return words.join(" · ");
}
