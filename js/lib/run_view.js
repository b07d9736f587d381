/** The film strip of ISI Iterate: what the server says about a run, in the node that runs it. */
import { api } from "../../../scripts/api.js";
import { app } from "../../../scripts/app.js";
import { asOneChange } from "./change.js";
import { clock, element } from "./dom.js";
import { FilmStrip } from "./film_strip.js";
import { chain, whileInGraph } from "./lifetime.js";
import { addElement } from "./mount.js";
import { inputPicture, pictureUrl } from "./picture.js";
import { RunProgress } from "./run_progress.js";
import { openViewer } from "./viewer.js";
import { shareWheel } from "./wheel.js";
import { say } from "./words.js";

export const STRIP_SIZE = "ISI.StripSize";
/** Which run a node shows; kept in the saved graph, so that a reload, undo or copy finds it again. */
const PROPERTY = "isi_run";
const STATUS_HEIGHT = 24;

const stripSize = () => app.extensionManager.setting.get(STRIP_SIZE) ?? 96;

/** Whether an execution id (`7`, or `3:7` inside subgraphs) means this node. */
function means(id, node) {
  const path = String(id).split(":");
  return path.at(-1) === String(node.id) && (path.length === 1) === (node.graph === app.rootGraph);
}

/** Gives `node` its strip. The widget has `runView`: `{length, open(index), continueFrom(index)}`. */
export function addRunView(node) {
  const status = element("div", { className: "isi-strip-status", role: "status" });
  const bar = element("div", { className: "isi-strip-bar" });
  const holder = element("div", { className: "isi-strip" }, status, bar);
  const items = [];
  const progress = new RunProgress();
  let strip = null;
  let closeViewer = null;
  let asked = null;
  let restoreNow = null;
  let heardStart = false;
  let cutOff = false;

  const height = () => (items.length ? stripSize() + 22 : 0) + STATUS_HEIGHT;
  const widget = addElement(node, "isi_strip", "isi_strip", holder, {
    serialize: false, getMinHeight: () => height() + 20, getMaxHeight: () => height() + 20, hideOnZoom: false,
  });
  widget.serialize = false;

  function tell(text, trouble = false) {
    status.textContent = text;
    status.classList.toggle("isi-wrong", trouble);
  }

  function draw() {
    bar.style.setProperty("--isi-share", progress.running ? progress.share : 0);
    if (progress.running) tell(String(progress));
    holder.classList.toggle("isi-empty", !items.length);
    strip?.show(items);
    node.setDirtyCanvas?.(true, true);
  }

  /** Iterations come in their order; those whose picture is missing are left out. */
  function put({ iteration, label, picture }) {
    items.push({ number: iteration, label, url: pictureUrl(picture, true), full: pictureUrl(picture) });
  }

  function stop(text) {
    if (!progress.running) return;
    progress.running = false;
    draw();
    tell(text());
  }

  const stopped = () => say("strip.stopped", { done: progress.done, of: progress.of || "?" });
  const finished = () => say("strip.finished", { count: items.length, time: clock(progress.elapsed) });

  /** A run is going on. One whose start was not heard (the page was reloaded, the link was lost) goes on. */
  function begin() {
    progress.begin();
    if (heardStart) items.length = 0;
    heardStart = false;
  }

  /** What the server has of `run` on its disk: `{of, iterations}` or `{error}`. */
  async function ask(run, { signal }) {
    const response = await api.fetchApi(`/isi/runs/${encodeURIComponent(run)}`, { signal });
    return response.json();
  }

  /** Shows the run that the graph names, as far as it is on the server's disk. */
  async function restore(lifetime) {
    const run = node.properties[PROPERTY];
    if (progress.running || asked === run) return;
    asked = run;
    items.length = 0;
    tell(run ? "" : say("strip.empty"));
    draw();
    if (!run) return;
    let answer;
    try {
      answer = await ask(run, lifetime);
    } catch {
      if (!lifetime.signal.aborted) tell(say("strip.no_answer"), true);
      asked = null;
      return;
    }
    if (progress.running || node.properties[PROPERTY] !== run) return;
    if (answer.error) return tell(say("strip.gone", { run }), true);
    for (const iteration of answer.iterations) put(iteration);
    const half = cutOff && items.length < answer.of;
    tell(half ? say("strip.stopped", { done: items.length, of: answer.of }) : say("strip.found", { count: items.length, of: answer.of, run }));
    cutOff = false;
    draw();
  }

  /** Puts in those before the last one that were finished while nobody here could hear of it. */
  async function catchUp(run, lifetime) {
    const answer = await ask(run, lifetime).catch(() => ({}));
    if (node.properties[PROPERTY] !== run) return;
    const shown = new Set(items.map((item) => item.number));
    const missed = (answer.iterations ?? []).filter(({ iteration }) => iteration < items.at(-1)?.number && !shown.has(iteration));
    missed.forEach(put);
    items.sort((one, other) => one.number - other.number);
    draw();
  }

  function onIteration({ detail }, lifetime) {
    if (!means(detail.node, node)) return;
    if (!progress.running) begin();
    // Another run of the same prompt may have been shown, or this one when it was longer.
    if (detail.iteration === 1 || detail.run !== node.properties[PROPERTY]) items.length = 0;
    const next = (items.at(-1)?.number ?? 0) + 1;
    asked = node.properties[PROPERTY] = detail.run;
    put(detail);
    progress.iteration(detail);
    draw();
    if (detail.iteration !== next) catchUp(detail.run, lifetime);
  }

  function onProgress({ detail }) {
    const [, mine] = Object.entries(detail.nodes ?? {}).find(([id]) => means(id, node)) ?? [];
    if (mine?.state !== "running") return;
    if (!progress.running) begin();
    progress.step(mine.value, mine.max);
    draw();
  }

  const runView = {
    get length() {
      return items.length;
    },
    open(index = items.length - 1) {
      closeViewer = openViewer({
        items: items.map((item) => ({ ...item, url: item.full })),
        start: index,
        input: inputPicture(node),
        onContinue: (item) => continueFrom(node, item.number),
      });
    },
    continueFrom: (index = items.length - 1) => continueFrom(node, items[index].number),
  };
  widget.runView = runView;

  chain(node, "onExecuted", (output) => {
    const { run, count } = output?.isi_run?.[0] ?? {};
    if (!run) return;
    node.properties[PROPERTY] = run;
    if (!progress.running) return restoreNow?.(); // the host had the result already: nothing ran
    items.splice(0, items.length, ...items.filter((item) => item.number <= count));
    stop(finished);
  });

  whileInGraph(node, (lifetime) => {
    strip = new FilmStrip(lifetime, { open: runView.open, size: stripSize() });
    holder.replaceChildren(strip.element, bar, status);
    shareWheel(lifetime, strip.element, { sideways: true });
    lifetime.listen(api, "execution_start", () => {
      heardStart = true;
    });
    lifetime.listen(api, "isi.iteration", (event) => onIteration(event, lifetime));
    lifetime.listen(api, "progress_state", onProgress);
    for (const event of ["execution_interrupted", "execution_error"]) lifetime.listen(api, event, () => stop(stopped));
    lifetime.listen(api, "execution_success", () => stop(finished));
    lifetime.listen(api, "reconnecting", () => {
      cutOff ||= progress.running;
      stop(() => say("strip.no_answer"));
    });
    lifetime.listen(api, "reconnected", () => {
      asked = null;
      restore(lifetime);
    });
    const timer = setInterval(() => progress.running && draw(), 1000);
    lifetime.atEnd(() => {
      clearInterval(timer);
      closeViewer?.();
      asked = null;
      strip = null;
    });
    // A node that is loaded or pasted gets its properties a moment after it enters the graph.
    restoreNow = () => lifetime.signal.aborted || restore(lifetime);
    queueMicrotask(restoreNow);
  });
  chain(node, "onConfigure", () => restoreNow?.());
  return widget;
}

/** Adds an ISI Open Run below `node`, set to an iteration of its run. One step to undo. */
function continueFrom(node, iteration) {
  return asOneChange(() => {
    const made = window.LiteGraph.createNode("ISI_OpenRun");
    made.pos = [node.pos[0], node.pos[1] + node.size[1] + 60];
    node.graph.add(made);
    for (const [name, value] of Object.entries({ run_name: node.properties[PROPERTY], iteration })) {
      const widget = made.widgets.find((each) => each.name === name);
      widget.value = value;
      widget.callback?.(value);
    }
    app.canvas.selectNode(made);
    return made;
  });
}
