/** The runs on the server's disk, in the sidebar: a list to search in, and one of them at a time. */
import { api } from "../../../scripts/api.js";
import { ask } from "./ask.js";
import { element } from "./dom.js";
import { keep, keptItem, onKept } from "./iteration_acts.js";
import { Lifetime } from "./lifetime.js";
import { pictureUrl } from "./picture.js";
import { removeRun, renameRun } from "./run_acts.mjs";
import { factsOf, showRun } from "./run_page.mjs";
import { openMenu } from "./strip_menu.js";
import { inWords } from "./server_words.js";
import { planLabel, say } from "./words.js";

const PAUSE_MS = 200;
const WALK = { ArrowDown: 1, ArrowUp: -1, PageDown: 10, PageUp: -10, Home: -Infinity, End: Infinity };
const CHANGES = ["execution_success", "execution_error", "execution_interrupted"];

/** Fills `root` with the list, as long as `lifetime` lasts. */
export function showRuns(root, lifetime) {
  const search = element("input", {
    type: "search", className: "isi-runs-search", placeholder: say("runs.search"), aria: { label: say("runs.search") },
  });
  const status = element("p", { className: "isi-runs-status", role: "status" });
  const list = element("ul", { className: "isi-runs-list", aria: { label: say("runs.title") } });
  const more = element("div", { className: "isi-runs-more" });
  const scroller = element("div", { className: "isi-runs-scroller" }, list, more);
  const forgotten = element("button", { type: "button", className: "isi-button" }, say("strip.unkeep"));
  const compared = element("div", { className: "isi-runs-kept" });
  const view = element("div", { className: "isi-runs-view" });
  /** The runs that are listed, newest first, and where the list goes on. */
  let runs = [];
  let next = null;
  let timer = 0;
  let asking = new AbortController();
  let page = null;
  /** The name of the run whose row Tab goes to. */
  let current = null;

  root.replaceChildren(compared, view);

  const address = (after) => {
    const query = new URLSearchParams({ words: search.value, ...(after && { before: after[0], name: after[1] }) });
    return `/isi/runs?${query}`;
  };

  /** Asks for the first page again, now; more of what is listed already stays below it. */
  async function refresh(keepRest) {
    asking.abort();
    asking = new AbortController();
    const { signal } = asking;
    clearTimeout(timer);
    const answer = await ask(address(), { signal });
    if (signal.aborted || lifetime.signal.aborted) return;
    if (!answer || answer.error) return tell(answer ? inWords(answer.error) : say("strip.no_answer"));
    const names = new Set(answer.runs.map(({ name }) => name));
    const rest = keepRest && answer.next ? runs.filter(({ name, saved }) => !names.has(name) && saved <= answer.next[0]) : [];
    runs = [...answer.runs, ...rest];
    if (!rest.length) ({ next } = answer);
    draw();
    tell(count(answer), !answer.total && !answer.unread);
    if (answer.unread) timer = setTimeout(() => refresh(true), PAUSE_MS);
  }

  function count({ total, unread }) {
    if (unread) return say("runs.reading", { count: unread });
    if (total) return say(search.value.trim() ? "runs.found" : "runs.count", { count: total });
    return say(search.value.trim() ? "runs.none_found" : "runs.empty");
  }

  function tell(text, empty = false) {
    status.textContent = text;
    status.classList.toggle("isi-runs-empty", empty);
  }

  async function fetchMore() {
    if (!next) return;
    const after = next;
    next = null;
    const { signal } = asking;
    const answer = await ask(address(after), { signal });
    if (signal.aborted || lifetime.signal.aborted || !answer?.runs) return;
    const names = new Set(runs.map(({ name }) => name));
    runs.push(...answer.runs.filter(({ name }) => !names.has(name)));
    ({ next } = answer);
    draw();
  }

  function draw() {
    const held = list.contains(document.activeElement) ? document.activeElement : null;
    const which = held && [...held.parentNode.children].indexOf(held); // a row's name, or its menu
    const row = held?.parentNode.dataset.run;
    const rows = new Map([...list.children].map((row) => [row.dataset.run, row]));
    const made = runs.map((run) => {
      const there = rows.get(run.name);
      return there?.dataset.state === JSON.stringify(run) ? there : rowOf(run);
    });
    list.replaceChildren(...made);
    if (held) current = row;
    if (!runs.some(({ name }) => name === current)) current = runs[0]?.name ?? null;
    markCurrent(which);
    watchEnd();
  }

  function rowOf(run) {
    const pictures = run.pictures.map((picture) => element("img", { src: pictureUrl(picture, true), alt: "", loading: "lazy", decoding: "async", draggable: false }));
    const open = element("button", { type: "button", className: "isi-runs-open", tabIndex: -1 },
      element("span", { className: "isi-runs-name" }, run.name),
      ...factsOf(run),
      ...(pictures.length ? [element("span", { className: "isi-runs-pictures" }, ...pictures)] : []),
      element("span", { className: run.trouble ? "isi-runs-trouble" : "isi-runs-prompt" }, run.trouble ? inWords(run.trouble) : planLabel(run.prompt)));
    const acts = element("button", { type: "button", className: "isi-button isi-runs-menu", tabIndex: -1, aria: { label: say("runs.acts", { run: run.name }) } }, "⋯");
    const row = element("li", { className: "isi-runs-row", data: { run: run.name, state: JSON.stringify(run) } }, open, acts);
    for (const picture of pictures) picture.addEventListener("error", () => picture.remove(), { once: true });
    return row;
  }

  const rowNamed = (name) => [...list.children].find((row) => row.dataset.run === name);

  /** Tab goes to one row alone; arrow keys go on from there. Focuses its button of number `focus`, if that is given. */
  function markCurrent(focus = null) {
    for (const button of list.querySelectorAll("button[tabindex='0']")) button.tabIndex = -1;
    const row = rowNamed(current);
    for (const button of row?.children ?? []) button.tabIndex = 0;
    if (focus !== null) row?.children[focus]?.focus();
  }

  function walk(event) {
    const by = WALK[event.key];
    const at = [...list.children].indexOf(event.target.closest("li"));
    if (by === undefined || at < 0) return;
    event.preventDefault();
    event.stopPropagation();
    current = runs[Math.min(Math.max(at + by, 0), runs.length - 1)].name;
    markCurrent(0);
  }

  function open(run) {
    current = run.name;
    page = new Lifetime();
    showRun(view, page, run, (name) => {
      page.end();
      page = null;
      current = name ?? current;
      showList();
      refresh(true).then(() => markCurrent(0));
    });
  }

  function menuOf(run, at) {
    const changed = (name) => {
      current = name ?? current;
      refresh(true).then(() => markCurrent(0));
    };
    openMenu(at, run.name, [
      ...(run.trouble ? [] : [[say("runs.open"), () => open(run)], [say("runs.rename"), async () => changed(await renameRun(run.name))]]),
      [say("runs.remove"), async () => (await removeRun(run.name)) && changed(null)],
    ]);
  }

  function onRow(event, act) {
    const row = event.target.closest("li");
    const run = row && runs.find(({ name }) => name === row.dataset.run);
    if (run) act(run, row);
  }

  function showList() {
    view.replaceChildren(element("div", { className: "isi-runs-head" }, search), status, scroller);
    draw();
  }

  function drawKept() {
    const item = keptItem();
    compared.hidden = !item;
    if (item) compared.replaceChildren(element("img", { src: item.url, alt: "" }), element("span", {}, say("runs.compares", { run: item.run, number: item.number })), forgotten);
    else compared.replaceChildren();
  }

  const end = new IntersectionObserver((seen) => seen.some(({ isIntersecting }) => isIntersecting) && fetchMore(), { root: scroller, rootMargin: "600px" });
  lifetime.atEnd(() => {
    end.disconnect();
    asking.abort();
    clearTimeout(timer);
    page?.end();
  });
  /** Where the list's end is in sight still, what is watched has not come into sight. */
  function watchEnd() {
    end.unobserve(more);
    if (next) end.observe(more);
  }

  const later = () => {
    clearTimeout(timer);
    timer = setTimeout(() => refresh(false), PAUSE_MS);
  };
  lifetime.listen(search, "input", later);
  lifetime.listen(root, "keydown", (event) => event.stopPropagation()); // the page's shortcuts are not meant
  lifetime.listen(list, "keydown", walk);
  lifetime.listen(list, "click", (event) => onRow(event, (run, row) => {
    const button = event.target.closest("button");
    const { left, bottom } = (button ?? row).getBoundingClientRect();
    if (button?.classList.contains("isi-runs-menu")) menuOf(run, [left, bottom]);
    else if (button && !run.trouble) open(run);
  }));
  lifetime.listen(list, "contextmenu", (event) => onRow(event, (run, row) => {
    event.preventDefault();
    const { left, bottom } = row.getBoundingClientRect();
    menuOf(run, event.clientX || event.clientY ? [event.clientX, event.clientY] : [left, bottom]);
  }));
  lifetime.listen(forgotten, "click", () => keep(null));
  lifetime.listen(api, "isi.iteration", ({ detail }) => detail.iteration === 1 && refresh(true));
  for (const event of CHANGES) lifetime.listen(api, event, () => refresh(true));
  onKept(lifetime, drawKept);
  drawKept();
  showList();
  tell("");
  refresh(false);
}
