/** One run in the sidebar: its strip, its plan as text, and what can be done with it. */
import { api } from "../../../scripts/api.js";
import { ask, askRun } from "./ask.js";
import { element } from "./dom.js";
import { FilmStrip } from "./film_strip.js";
import { iterationActs, keptItem, onKept } from "./iteration_acts.js";
import { takeStars, toggleMark } from "./marks.js";
import { dragPicture } from "./picture_acts.js";
import { bytesText, continueRun, openGraph, removeRun, renameRun, timeText } from "./run_acts.mjs";
import { RunItems } from "./run_items.js";
import { inWords } from "./server_words.js";
import { openMenu } from "./strip_menu.js";
import { openViewer } from "./viewer.mjs";
import { say } from "./words.js";

const SIZE = 112;

/** What is said of a run of the list: when it was made, and in a second line what it is. */
export function factsOf({ of, done, saved, size, bytes, starred, running }) {
  const parts = [
    done === of ? say("runs.iterations", { count: of }) : say("runs.some_iterations", { done, of }),
    ...(size ? [size.join(" × ")] : []),
    ...(bytes ? [bytesText(bytes)] : []),
    ...(starred ? [`★ ${starred}`] : []),
  ];
  const made = running ? `${say("runs.running")} · ${timeText(saved)}` : timeText(saved);
  return [made, parts.join(" · ")].map((line) => element("span", { className: "isi-runs-facts" }, line));
}

/** Shows `run`, as the list has it, in `root`. `leave(name)` goes back to the list; `name` is what it is called now, or null. */
export function showRun(root, lifetime, run, leave) {
  const name = run.name;
  const items = new RunItems();
  const button = (text, act, className = "isi-button") => {
    const made = element("button", { type: "button", className }, text);
    lifetime.listen(made, "click", act);
    return made;
  };
  const back = button(say("runs.back"), () => leave(name));
  const title = element("h2", { className: "isi-runs-title", tabIndex: -1 }, name);
  const facts = element("div", { className: "isi-runs-about" }, ...factsOf(run));
  const status = element("p", { className: "isi-runs-status", role: "status" });
  const hiddenOnes = button("", () => {
    items.showsHidden = !items.showsHidden;
    draw();
  });
  const plan = element("pre", { className: "isi-runs-plan", tabIndex: 0, role: "region", aria: { label: say("runs.plan") } });
  const last = () => items.shown.at(-1) ?? items.last;
  const onLast = [button(say("runs.graph"), () => openGraph(last())), button(say("runs.continue"), () => continueRun(last()))];
  const rename = button(say("runs.rename"), async () => {
    const given = await renameRun(name);
    if (given) leave(given);
  });
  const remove = button(say("runs.remove"), async () => {
    if (await removeRun(name)) leave(null);
  });
  const strip = new FilmStrip(lifetime, {
    open: look,
    menu: (index, at) => openMenu(at, say("strip.menu"), acts(items.shown[index])),
    drag: (index, event, shown) => dragPicture(event, items.shown[index], shown),
    size: SIZE,
  });
  root.replaceChildren(
    element("div", { className: "isi-runs-head" }, back),
    element("div", { className: "isi-runs-run" },
      title, facts, status, strip.element, hiddenOnes,
      element("div", { className: "isi-runs-acts" }, ...onLast, rename, remove),
      element("h3", {}, say("runs.plan")), plan),
  );
  title.focus();

  function draw() {
    items.mark("");
    hiddenOnes.hidden = !items.hiddenCount;
    hiddenOnes.textContent = say(items.showsHidden ? "strip.hide" : "strip.show_hidden", { count: items.hiddenCount });
    strip.element.hidden = !items.shown.length;
    for (const each of onLast) each.disabled = !items.length;
    strip.show(items.shown);
  }

  const acts = (item) => iterationActs(item, items, {
    look: () => look(items.shown.indexOf(item)),
    goOn: () => continueRun(item),
    changed: draw,
  });

  function look(index) {
    openViewer({
      items: items.shown, start: index, input: null, against: keptItem(),
      onContinue: continueRun,
      onStar(item) {
        toggleMark(item.run, "starred", item.picture.filename);
        draw();
      },
    });
  }

  async function fetchStrip() {
    const answer = await askRun(name, lifetime.signal).catch(() => null);
    if (lifetime.signal.aborted) return;
    status.textContent = answer ? inWords(answer.error ?? "") : say("strip.no_answer");
    if (answer?.error || !answer) return draw();
    takeStars(name, answer.starred);
    items.clear();
    items.put(name, ...answer.iterations);
    draw();
  }

  lifetime.listen(api, "isi.iteration", ({ detail }) => {
    if (detail.run !== name) return;
    items.put(name, detail);
    draw();
  });
  onKept(lifetime, draw);
  draw();
  fetchStrip();
  ask(`/isi/runs/${encodeURIComponent(name)}/plan`, { signal: lifetime.signal }).then((answer) => {
    plan.textContent = inWords(answer?.table ?? answer?.error ?? "");
  });
}
