/** The badge of a model file: its kind, its input channels, and what is still to be connected, before a run. */
import { api } from "../../../scripts/api.js";
import { app } from "../../../scripts/app.js";
import { ask } from "./ask.js";
import { element } from "./dom.js";
import { whileInGraph } from "./lifetime.js";
import { needsOf } from "./model_needs.js";
import { fileOf, loadersOf } from "./models.js";
import { addPanel } from "./mount.js";
import { inWords } from "./server_words.js";
import { isConnected, pathTo, widgetValue } from "./source.js";
import { watch } from "./watch.js";
import { shareWheel } from "./wheel.js";
import { say } from "./words.js";

/** The classic renderer's margin above and below an element of a node. */
const MARGIN = 10;
const LEAST_HEIGHT = 84;
/** The folders under models/ whose files each node lists. */
const FOLDERS = {
  ISI_InspectModel: "checkpoints, diffusion_models, loras",
  ISI_LoadConcatModel: "checkpoints, diffusion_models",
};

/** Gives `node`, which has the widgets `file` and `kind`, its badge. */
export function addModelBadge(node) {
  const body = element("div", { className: "isi-badge-body", role: "status" });
  const root = element("div", { className: "isi-badge" }, body);
  let height = LEAST_HEIGHT;
  addPanel(node, "isi_badge", root, { getMinHeight: () => height, getMaxHeight: () => height });

  /** What the server says of the file; null until it has answered. */
  let told = null;
  let needs = { rows: [], connect: null };

  const value = (name) => widgetValue({ node, path: pathTo(node.graph) ?? [] }, name);

  /** What is asked of the server. Whether the file is in the list is part of it: a refresh may bring it. */
  function question() {
    const { values } = node.widgets.find((each) => each.name === "file").options;
    const listed = Array.isArray(values) && values.includes(value("file"));
    const none = Array.isArray(values) && !values.some(Boolean) && !isConnected(node, "file");
    return { file: value("file"), kind: value("kind"), listed, none };
  }

  async function learn({ file, kind, none }, signal) {
    told = null;
    if (none) return (told = { error: say("badge.none", { folders: FOLDERS[node.comfyClass] }) });
    if (!file) return (told = { error: say("badge.elsewhere") });
    const answer = await ask(`/isi/model?${new URLSearchParams({ file, kind: kind ?? "auto" })}`, { signal });
    if (!signal.aborted) told = answer ?? { error: say("strip.no_answer") };
  }

  /** What the badge shows, as plain values. */
  function look() {
    if (!told || told.error) return { told };
    const file = value("file");
    needs = needsOf(fileOf(node) ? [node] : loadersOf(file), told.kinds);
    const rows = needs.rows.map(({ node: { id, title }, missing }) => ({ id, title, missing }));
    return { told, rows, connect: needs.connect?.node, language: app.extensionManager.setting.get("Comfy.Locale") };
  }

  function draw() {
    if (!told) return;
    root.classList.toggle("isi-wrong", Boolean(told.error));
    body.replaceChildren(...(told.error ? [element("p", {}, inWords(told.error))] : lines(told, needs)));
    node.setDirtyCanvas?.(true, true);
  }

  whileInGraph(node, (lifetime) => {
    let asking = new AbortController();
    lifetime.atEnd(() => asking.abort());
    const askNow = (asked) => {
      asking.abort();
      asking = new AbortController();
      learn(asked, asking.signal);
    };
    watch(lifetime, question, askNow);
    watch(lifetime, look, draw);
    lifetime.listen(api, "reconnected", () => askNow(question()));
    lifetime.listen(body, "click", (event) => {
      const row = event.target.closest("button")?.dataset.row;
      if (row === undefined) return;
      event.stopPropagation(); // the page would select this node again
      show(needs.rows[row].node);
    });
    shareWheel(lifetime, root);
    const grown = new ResizeObserver(() => {
      if (!body.offsetHeight) return;
      height = Math.max(LEAST_HEIGHT, body.offsetHeight + 2 * MARGIN);
      const least = node.computeSize()[1];
      if (node.size[1] < least) node.setSize([node.size[0], least]);
      node.setDirtyCanvas?.(true, true);
    });
    grown.observe(body);
    lifetime.atEnd(() => grown.disconnect());
  });
}

/** The elements that say what a file is, and what it needs. */
function lines(told, { rows, connect }) {
  const chips = told.kinds.map(({ name }) => element("b", { className: "isi-badge-kind" }, name));
  const head = element("div", { className: "isi-badge-head" }, ...chips.flatMap((chip, i) => (i ? [" | ", chip] : [chip])));
  if (told.channels) head.append(channelBar(told), element("span", {}, say("badge.channels", { count: told.channels })));
  const known = [told.family, told.layout, told.role].filter((text) => text !== "unknown").map(inWords);
  const made = [head];
  if (known.length) made.push(element("div", { className: "isi-badge-family" }, known.join(" · ")));
  made.push(...told.notes.map((note) => element("p", {}, inWords(note))));
  const ambiguous = told.kinds.length > 1;
  if (ambiguous) made.push(hint("isi-badge-missing", say("badge.ambiguous")));
  made.push(...rows.map(needRow));
  if (connect) made.push(hint("isi-badge-missing", connectText(connect)));
  else if (!rows.length && !ambiguous) made.push(hint("isi-badge-ready", say("badge.nothing")));
  return made;
}

/** A square for each input channel, one colour for each meaning. */
function channelBar({ kinds, channels }) {
  const parts = kinds.length === 1 ? kinds[0].parts : [[channels, ""]];
  const squares = parts.flatMap(([count], part) => Array.from({ length: count }, () => element("i", { data: { part } })));
  const title = kinds.map((kind) => kind.meaning).filter(Boolean).map(inWords).join(" | ");
  return element("span", { className: "isi-badge-bar", title, role: "img", aria: { label: title } }, ...squares.slice(0, 64));
}

function needRow({ node: { title }, missing }, row) {
  const go = element("button", { type: "button", className: "isi-button", title: say("badge.show"), data: { row } }, title);
  const text = missing.length ? say("badge.missing", { inputs: missing.join(", ") }) : say("badge.ready");
  return hint(missing.length ? "isi-badge-missing" : "isi-badge-ready", go, " ", text);
}

function connectText({ node, needs, parts }) {
  if (!parts.length) return say("badge.use", { node });
  return say("badge.connect", { node, inputs: needs.join(", ") });
}

const hint = (className, ...children) => element("div", { className: `isi-badge-hint ${className}` }, ...children);

/** Selects a node and brings it into sight, inside its subgraph if it is in one. */
function show(node) {
  if (node.graph !== app.canvas.graph) app.canvas.setGraph(node.graph);
  app.canvas.selectNode(node);
  app.canvas.centerOnNode(node);
}
