/** Panels over a picture. What fills one is a module that is loaded with the first such node. */
import { element } from "./dom.js";
import { chain, whileInGraph } from "./lifetime.js";
import { addPanel } from "./mount.js";

const FRAME_HEIGHT = 300;
const GRID_HEIGHT = 330;
const REPORT_HEIGHT = 150;
const HEAT_HEIGHT = 230;
const REGIONS_HEIGHT = 220;
const PICK_HEIGHT = 330;

/** Gives `node` a panel, `height` units high; `load()` gives what fills it whenever the node enters a graph. */
function addLatePanel(node, name, height, load) {
  const root = element("div", { className: `isi-${name}` });
  addPanel(node, `isi_${name}`, root, { getMinHeight: () => height(root) });
  whileInGraph(node, async (lifetime) => {
    const show = await load();
    if (!lifetime.signal.aborted) show(node, root, lifetime);
  });
  return root;
}

export function addOutpaintFrame(node) {
  addLatePanel(node, "frame", () => FRAME_HEIGHT, async () => (await import("./outpaint_frame.mjs")).showFrame);
}

export function addReleaseView(node) {
  addLatePanel(node, "heat", () => HEAT_HEIGHT, async () => (await import("./release_view.mjs")).showRelease);
}

export function addRegionView(node) {
  addLatePanel(node, "regions", () => REGIONS_HEIGHT, async () => (await import("./region_view.mjs")).showRegions);
  node.hideOutputImages = true; // the regions of the last run are drawn in the view
  Object.defineProperty(node, "imgs", { configurable: true, get: () => undefined, set() {} });
}

export function addPickView(node) {
  addLatePanel(node, "pick", () => PICK_HEIGHT, async () => (await import("./pick_view.mjs")).showPicks);
}

const gridHeight = (root) => GRID_HEIGHT + (root.querySelector(".isi-grid-report:not([hidden])") ? REPORT_HEIGHT : 0);

export function addTiledSamplingGrid(node) {
  addLatePanel(node, "grid", gridHeight, async () => (await import("./tile_grid.mjs")).showTiledSampling);
}

/** The grid of ISI Upscale Cost also shows the report of the last run, until something changes. */
export function addUpscaleCostGrid(node) {
  const root = addLatePanel(node, "grid", gridHeight, async () => (await import("./tile_grid.mjs")).showUpscaleCost);
  chain(node, "onExecuted", (output) => {
    root.dispatchEvent(new CustomEvent("isi-report", { detail: output?.text?.[0] ?? "" }));
  });
}
