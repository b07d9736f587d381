/** The film strip of ISI Iterate: what the server says about a run, in the node that runs it. */
import { api } from "../../../scripts/api.js";
import { app } from "../../../scripts/app.js";
import { showInAppMode } from "./app_mode.js";
import { askRun } from "./ask.js";
import { CandidateRow, ROW_ROOM } from "./candidates.js";
import { MEASURED } from "./change.js";
import { continueFrom } from "./continuing.js";
import { afterFrames, clock, element } from "./dom.js";
import { FilmStrip } from "./film_strip.js";
import { iterationActs, keptItem, onKept } from "./iteration_acts.js";
import { isOfThisWorkflow, isOpening, lastRun, nodeAt, workflowKey } from "./jobs.js";
import { whileInGraph } from "./lifetime.js";
import { takeStars, toggleMark } from "./marks.js";
import { addPanel } from "./mount.js";
import { inputPicture } from "./picture.js";
import { dragPicture } from "./picture_acts.js";
import { RunItems } from "./run_items.js";
import { RunProgress } from "./run_progress.js";
import { openMenu } from "./strip_menu.js";
import { everyTick, watch } from "./watch.js";
import { shareWheel } from "./wheel.js";
import { say, sayChange } from "./words.js";

export const STRIP_SIZE = "ISI.StripSize";
/** Which run a saved graph shows, and the key of the iteration that it was dropped as; see `tellPage`. */
const RUN = "isi_run";
const KEY = "isi_key";
const STATUS_HEIGHT = 28;
const ROOM = 34;
const NOW = "now";
/** The page's own widget for a picture below a node. */
const PREVIEW = "$$canvas-image-preview";

const stripSize = () => app.extensionManager.setting.get(STRIP_SIZE) ?? 96;

/** Gives `node` its strip. The widget has `runView`: `{length, open(index), continueFrom(index)}`. */
export function addRunView(node) {
  const status = element("div", { className: "isi-strip-status", role: "status" });
  const hiddenOnes = element("button", { type: "button", className: "isi-button", hidden: true });
  const version = element("select", { className: "isi-button", hidden: true, aria: { label: say("strip.versions") } });
  const foot = element("div", { className: "isi-strip-foot" }, status, hiddenOnes, version);
  const bar = element("div", { className: "isi-strip-bar" });
  const holder = element("div", { className: "isi-strip" }, foot, bar);
  const items = new RunItems();
  const progress = new RunProgress();
  const candidates = new CandidateRow(stripSize, () => draw());
  let strip = null;
  let closeViewer = null;
  let restoreNow = null;
  /** The job that is being followed. */
  let job = null;
  let heardStart = false;
  let cutOff = false;
  let had = "";
  let sizeBefore = null;
  /** What changed since the run before, where this one was made from its first step on: texts of the server. */
  let changed = [];
  /** Counts the questions to the server: an answer to an older one is not listened to. */
  let asked = 0;
  /** What the run was before it was edited: `[{saved, of, iterations}]`. */
  let versions = [];
  let now = { of: 0, iterations: [] };

  const height = () => (items.length ? stripSize() + ROOM : 0) + (candidates.shown ? stripSize() + ROW_ROOM : 0) + STATUS_HEIGHT;
  const widget = addPanel(node, "isi_strip", holder, { getMinHeight: () => height() + 20, getMaxHeight: () => height() + 20 });
  node.hideOutputImages = true; // the last picture is in the strip
  // The classic renderer shows below a node what is here, and makes room for that: previews while it samples, as for
  // any sampler, but no finished picture.
  let previews;
  Object.defineProperty(node, "imgs", {
    configurable: true,
    get: () => (progress.running ? previews : undefined),
    set(images) {
      previews = images;
    },
  });

  const run = () => lastRun(node) ?? node.properties[RUN];

  function tell(text, trouble = false) {
    status.textContent = text;
    status.title = [text, ...changed].join("\n");
    status.classList.toggle("isi-wrong", trouble);
  }

  /** That the strip takes room, or gives it back, is no step to undo either. */
  function tellSize() {
    const record = isOpening() ? null : recordOf(node);
    if (record?.size) record.size = [...node.size];
  }

  // The classic renderer makes room when it next draws the node, whenever that is; what a user drags has a step.
  const onResize = node.onResize;
  node.onResize = function (...size) {
    onResize?.apply(this, size);
    if (app.canvas?.resizing_node !== node) tellSize();
  };

  function grow() {
    const has = [holder.classList.toggle("isi-empty", !items.length), candidates.shown].join();
    if (has === had) return;
    had = has;
    afterFrames(MEASURED, tellSize); // Nodes 2.0
  }

  function draw() {
    bar.style.setProperty("--isi-share", progress.running ? progress.share : 0);
    if (progress.running) tell(String(progress));
    grow();
    hiddenOnes.hidden = !items.hiddenCount;
    hiddenOnes.textContent = say(items.showsHidden ? "strip.hide" : "strip.show_hidden", { count: items.hiddenCount });
    version.hidden = !versions.length;
    strip?.show(items.shown);
    node.setDirtyCanvas?.(true, true);
  }

  function markAll() {
    items.mark(lastRun(node) ? "" : node.properties[KEY]);
    draw();
  }

  function stop(text) {
    if (!progress.running) return;
    progress.running = false;
    withoutPreviews();
    draw();
    tell(text());
    showChoices();
  }

  /** What there was to choose from, and what waits, once the server is done. */
  async function showChoices() {
    const name = run();
    if (!name || !candidates.count) return;
    const { choices, error } = await askRun(name).catch(() => ({ error: true }));
    if (error || progress.running || run() !== name) return;
    candidates.take(name, choices);
    if (candidates.waiting) tell(say("candidates.waits", { number: candidates.waiting }));
  }

  const stopped = () => say("strip.stopped", { done: progress.done, of: progress.of || "?" });
  const finished = () => {
    const parts = [say("strip.finished", { count: items.length, time: clock(progress.elapsed) })];
    if (progress.reused) parts.push(say("strip.reused", { count: progress.reused }));
    if (changed.length) parts.push(say("strip.changed", { what: changed[0] }));
    return parts.join(" · ");
  };

  /** A run is going on. One whose start was not heard (the page was reloaded, the link was lost) goes on. */
  function begin(id) {
    job = id;
    sizeBefore = [...node.size];
    progress.begin();
    changed = [];
    setVersions([]);
    if (heardStart) items.clear();
    candidates.open(0);
    heardStart = false;
  }

  /** Shows the run of this node, as far as it is on the server's disk. */
  async function restore(lifetime) {
    const name = run();
    if (progress.running) return;
    const question = ++asked;
    changed = [];
    items.clear();
    setVersions([]);
    tell(name ? "" : say("strip.empty"));
    draw();
    if (!name) return;
    let answer;
    try {
      answer = await askRun(name, lifetime.signal);
    } catch {
      if (!lifetime.signal.aborted) tell(say("strip.no_answer"), true);
      return;
    }
    if (progress.running || question !== asked) return;
    if (answer.error) return tell(say("strip.gone", { run: name }), true);
    now = answer;
    takeStars(name, answer.starred);
    changed = (answer.changed ?? []).map(sayChange);
    setVersions(answer.versions ?? []);
    const key = lastRun(node) ? "" : node.properties[KEY];
    const at = versions.findIndex((each) => key && each.iterations.some((one) => one.key === key));
    const isNow = !key || at < 0 || now.iterations.some((one) => one.key === key);
    show(isNow ? NOW : String(at));
    if (key) strip?.reveal(Math.max(0, items.shown.findIndex((item) => item.key === key)));
  }

  function setVersions(found) {
    versions = found;
    const time = ({ saved }) => new Date(1000 * saved).toLocaleString(undefined, { dateStyle: "short", timeStyle: "short" });
    const choices = [[NOW, say("strip.now")], ...versions.map((each, i) => [String(i), say("strip.before", { time: time(each) })])];
    version.replaceChildren(...choices.map(([value, text]) => element("option", { value }, text)));
  }

  /** Shows the run as it is now, or an earlier version of it. */
  function show(chosen) {
    version.value = chosen;
    const { of, iterations, run: name } = chosen === NOW ? now : versions[chosen];
    items.clear();
    items.put(name ?? run(), ...iterations);
    candidates.take(run(), chosen === NOW ? now.choices : []);
    const half = cutOff && items.length < of;
    tell(half ? say("strip.stopped", { done: items.length, of }) : say("strip.found", { count: items.length, of, run: run() }));
    if (candidates.waiting) tell(say("candidates.waits", { number: candidates.waiting }));
    cutOff = false;
    markAll();
  }

  /** Puts in those before the last one that were finished while nobody here could hear of it. */
  async function catchUp(name, lifetime) {
    const answer = await askRun(name, lifetime.signal).catch(() => ({}));
    if (run() !== name) return;
    const last = items.last?.number ?? 0;
    items.put(name, ...(answer.iterations ?? []).filter(({ iteration }) => iteration < last && !items.has(iteration)));
    markAll();
  }

  const isMine = ({ node: id, prompt_id: of }) => isOfThisWorkflow(of) && nodeAt(id) === node;

  function onIteration({ detail }, lifetime) {
    if (!isMine(detail)) return;
    if (!progress.running) begin(detail.prompt_id);
    // Another run of the same prompt may have been shown, or this one when it was longer.
    if (detail.iteration === 1 || detail.run !== items.last?.run) items.clear();
    if (detail.iteration === 1) changed = (detail.changed ?? []).map(sayChange);
    const next = (items.last?.number ?? 0) + 1;
    asked++;
    tellPage(node, detail.run);
    items.put(detail.run, detail);
    progress.iteration(detail);
    markAll();
    if (detail.iteration !== next) catchUp(detail.run, lifetime);
  }

  function onCandidate({ detail }) {
    if (!isMine(detail)) return;
    if (!progress.running) begin(detail.prompt_id);
    tellPage(node, detail.run);
    candidates.add(detail);
  }

  function onProgress({ detail }) {
    if (!isOfThisWorkflow(detail.prompt_id)) return;
    const [, mine] = Object.entries(detail.nodes ?? {}).find(([id]) => nodeAt(id) === node) ?? [];
    if (mine?.state !== "running") return;
    if (!progress.running) begin(detail.prompt_id);
    progress.step(mine.value, mine.max);
    draw();
  }

  function onExecuted({ detail }) {
    const { run: name, count } = detail.output?.isi_run?.[0] ?? {};
    if (!name || !isMine(detail)) return;
    tellPage(node, name);
    if (!progress.running) return restoreNow?.(); // the host had the result already: nothing ran
    items.keepUpTo(count);
    stop(finished);
  }

  /** Takes back the room that the classic renderer made for previews. */
  function withoutPreviews() {
    previews = undefined;
    const at = node.widgets.findIndex(({ name }) => name === PREVIEW);
    if (at < 0) return;
    node.widgets[at].onRemove?.();
    node.widgets.splice(at, 1);
    node.setSize([node.size[0], Math.max(node.computeSize()[1], Math.min(node.size[1], sizeBefore[1]))]);
  }

  /** Samples again from an iteration on: once, the widget is as it was afterwards. */
  async function redoFrom(item) {
    const redo = node.widgets.find((each) => each.name === "redo_from");
    redo.value = item.number;
    try {
      await app.queuePrompt(0, 1);
    } finally {
      redo.value = 0;
    }
  }

  const canRedo = () => version.value === NOW && node.widgets.some((each) => each.name === "redo_from");

  const acts = (item) => iterationActs(item, items, {
    look: () => runView.open(items.shown.indexOf(item)),
    goOn: () => continueFrom(node, item),
    redo: canRedo() ? () => redoFrom(item) : undefined,
    changed: markAll,
    candidates: version.value === NOW && candidates.has(item.number) ? () => candidates.open(item.number) : undefined,
  });

  const runView = {
    get length() {
      return items.shown.length;
    },
    async open(index = items.shown.length - 1) {
      const shown = items.shown;
      const { openViewer } = await import("./viewer.mjs");
      closeViewer?.();
      closeViewer = openViewer({
        items: shown,
        start: index,
        input: inputPicture(node),
        against: keptItem(),
        onContinue: (item) => continueFrom(node, item),
        onStar(item) {
          toggleMark(item.run, "starred", item.picture.filename);
          markAll();
        },
      });
    },
    continueFrom: (index = items.shown.length - 1) => continueFrom(node, items.shown[index]),
  };
  widget.runView = runView;

  whileInGraph(node, (lifetime) => {
    strip = new FilmStrip(lifetime, {
      open: runView.open,
      menu: (index, at) => openMenu(at, say("strip.menu"), acts(items.shown[index])),
      drag: (index, event, shown) => dragPicture(event, items.shown[index], shown),
      size: stripSize(),
    });
    holder.replaceChildren(strip.element, candidates.element, bar, foot);
    onKept(lifetime, markAll);
    for (const row of [strip.element, candidates.cells]) shareWheel(lifetime, row, { sideways: true });
    showInAppMode(lifetime, holder);
    lifetime.listen(hiddenOnes, "click", () => {
      items.showsHidden = !items.showsHidden;
      draw();
    });
    lifetime.listen(version, "change", () => show(version.value));
    lifetime.listen(api, "execution_start", ({ detail }) => {
      heardStart = isOfThisWorkflow(detail.prompt_id);
    });
    lifetime.listen(api, "isi.candidate", onCandidate);
    lifetime.listen(api, "isi.iteration", (event) => onIteration(event, lifetime));
    lifetime.listen(api, "progress_state", onProgress);
    lifetime.listen(api, "executed", onExecuted);
    const ofJob = (act) => ({ detail }) => detail?.prompt_id === job && act();
    for (const event of ["execution_interrupted", "execution_error"]) lifetime.listen(api, event, ofJob(() => stop(stopped)));
    lifetime.listen(api, "execution_success", ofJob(() => stop(finished)));
    lifetime.listen(api, "reconnecting", () => {
      cutOff ||= progress.running;
      stop(() => say("strip.no_answer"));
    });
    lifetime.listen(api, "reconnected", () => restore(lifetime));
    let second = 0;
    everyTick(lifetime, () => {
      const at = Math.floor(performance.now() / 1000);
      if (at === second || !progress.running) return;
      second = at;
      draw();
    });
    lifetime.atEnd(() => {
      closeViewer?.();
      asked++;
      strip = null;
    });
    restoreNow = () => lifetime.signal.aborted || restore(lifetime);
    // A node that is loaded gets its properties a moment after it enters the graph.
    watch(lifetime, () => (isOpening() ? null : [workflowKey(), run(), node.properties[KEY]]), (found) => {
      if (found && (!items.length || run() !== items.last.run)) restoreNow();
    });
  });
  return widget;
}

/** What the page has written down of `node` as the state that its next step of undo starts from. */
function recordOf(node) {
  const { activeState } = app.extensionManager.workflow.activeWorkflow?.changeTracker ?? {};
  const subgraphs = activeState?.definitions?.subgraphs ?? [];
  const graph = node.graph === app.rootGraph ? activeState : subgraphs.find((each) => each.id === node.graph?.id);
  return graph?.nodes?.find((each) => String(each.id) === String(node.id));
}

/**
 * Writes down in the graph which run a node shows, so that a file that is saved knows it.
 *
 * The page's own record of the graph is told as well: that a run was made is no step to undo.
 */
function tellPage(node, run) {
  if (node.properties[RUN] === run) return;
  const record = recordOf(node);
  for (const properties of [node.properties, record && (record.properties ??= {})]) {
    if (!properties) continue;
    delete properties[KEY];
    properties[RUN] = run;
  }
}
