/** A picture of a run at full size: arrow keys step, a slider compares it with any other one. */
import { clock, element } from "./dom.js";
import { Lifetime } from "./lifetime.js";
import { canCopy, copyPicture, openPicture, savePicture } from "./picture_acts.js";
import { fetchStory } from "./png_story.mjs";
import { ViewerStage } from "./viewer_stage.mjs";
import { say } from "./words.js";

const STEPS = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10, Home: -Infinity, End: Infinity };
/** No list of pictures to compare with is longer. */
const MOST_CHOICES = 1000;
const KEPT = "kept";

function button(text, label = "", className = "isi-button") {
  const made = element("button", { type: "button", className, textContent: text });
  if (label) Object.assign(made, { title: label }).setAttribute("aria-label", label);
  return made;
}

/**
 * Opens the viewer over the page.
 *
 * `items` are `{url, full, number, label, starred}`, `start` is an index. `input` is the url of the picture that the
 * run started from, or null; `against` an item of this or another run that it is compared with at first, or null.
 * `onContinue(item)` is what "Continue from here" does, `onStar(item)` sets or takes away its star. Returns a
 * function that closes.
 */
export function openViewer({ items, start, input, against, onContinue, onStar }) {
  const lifetime = new Lifetime();
  let at = start;

  const title = element("h2", { className: "isi-viewer-title" });
  const star = button("☆", say("strip.star"));
  const size = button("1:1", say("viewer.pixels"));
  const save = button(say("viewer.save"));
  const copy = button(say("viewer.copy"));
  const open = button(say("viewer.open"));
  copy.hidden = !canCopy();
  const close = button("✕", say("viewer.close"));
  const stage = new ViewerStage(lifetime, changed);
  const facts = element("div", { className: "isi-viewer-facts" });
  const back = button("◀", say("viewer.previous"));
  const next = button("▶", say("viewer.next"));
  const choices = [["", say("viewer.with_none")], ["previous", say("viewer.with_previous")], ["first", say("viewer.with_first")]];
  if (against) choices.push([KEPT, say("viewer.with_kept", { run: against.run, number: against.number })]);
  if (input) choices.push(["input", say("viewer.with_input")]);
  choices.push(...items.slice(0, MOST_CHOICES).map(({ number, label }, i) => [String(i), `${number}. ${label.slice(0, 60)}`]));
  const other = element("select", { className: "isi-button", aria: { label: say("viewer.compare_with") } },
    ...choices.map(([value, text]) => element("option", { value }, text)));
  if (against && against.key !== items[at].key) other.value = KEPT;
  const slider = element("input", { type: "range", min: 0, max: 100, step: 0.5, value: 50, hidden: true, aria: { label: say("viewer.compare") } });
  const branch = button(say("viewer.continue"), "", "isi-button isi-main");
  const foot = element("div", { className: "isi-viewer-foot" }, back, next, other, slider, branch);
  const head = element("div", { className: "isi-viewer-head" }, title, star, size, save, copy, open, close);
  const dialog = element("dialog", { className: "isi-viewer", aria: { label: say("viewer.label") } }, head, stage.element, facts, foot);

  function show() {
    const item = items[at];
    const number = element("span", { className: "isi-viewer-number" }, `${item.number} / ${items.at(-1).number}`);
    title.replaceChildren(number, "  ", item.label);
    back.disabled = at === 0;
    next.disabled = at === items.length - 1;
    showStar();
    const urls = { "": null, previous: items[Math.max(0, at - 1)].full, first: items[0].full, [KEPT]: against?.full, input };
    const url = other.value in urls ? urls[other.value] : items[other.value]?.full;
    slider.hidden = !url;
    stage.show(item.full, item.label, url);
    tellFacts(item);
  }

  /** What the picture's own file says of how it was made; it is the same file that is shown. */
  async function tellFacts(item) {
    facts.replaceChildren();
    const story = (item.story ??= await fetchStory(item.full, lifetime.signal)) ?? {};
    if (lifetime.signal.aborted || items[at] !== item) return;
    const { step } = story;
    const parts = [];
    if (step) {
      const { seed, cfg, denoise, steps } = step;
      const named = [[say("viewer.seed"), seed], ["cfg", cfg], [say("viewer.denoise"), denoise], [say("viewer.steps"), steps]];
      parts.push(...named.filter(([, value]) => value !== undefined).map(([name, value]) => [name, String(value)]));
    }
    if (story.seconds !== undefined) parts.push([say("viewer.time"), story.seconds < 1 ? `${story.seconds.toFixed(2)} s` : clock(story.seconds)]);
    const measured = element("span", { className: "isi-viewer-size" });
    facts.replaceChildren(
      ...(step?.prompt ? [element("p", {}, step.prompt)] : []),
      element("div", {}, ...parts.map(([name, value]) => element("span", {}, element("i", {}, name), ` ${value}`)), measured),
    );
    changed();
  }

  function showStar() {
    const { starred } = items[at];
    star.textContent = starred ? "★" : "☆";
    star.setAttribute("aria-pressed", String(Boolean(starred)));
  }

  function changed() {
    slider.value = 100 * stage.cut;
    size.setAttribute("aria-pressed", String(!stage.isWhole));
    const measured = facts.querySelector(".isi-viewer-size");
    if (measured && stage.size) measured.textContent = `${stage.size.join(" × ")} px`;
  }

  function step(by) {
    at = Math.min(Math.max(at + by, 0), items.length - 1);
    show();
  }

  lifetime.listen(dialog, "keydown", (event) => {
    event.stopPropagation(); // the page's own shortcuts must not act behind the viewer
    if (event.target === slider || event.target === other || !(event.key in STEPS)) return;
    event.preventDefault();
    step(STEPS[event.key]);
  });
  const clicks = [
    [back, () => step(-1)], [next, () => step(1)], [close, () => dialog.close()], [size, () => stage.toggle()],
    [save, () => savePicture(items[at])], [copy, () => copyPicture(items[at])], [open, () => openPicture(items[at])],
    [star, () => {
      onStar(items[at]);
      showStar();
    }],
    [branch, () => {
      dialog.close();
      onContinue(items[at]);
    }],
  ];
  for (const [target, act] of clicks) lifetime.listen(target, "click", act);
  lifetime.listen(other, "change", show);
  lifetime.listen(slider, "input", () => (stage.cut = slider.value / 100));
  lifetime.listen(dialog, "click", (event) => event.target === dialog && dialog.close());
  dialog.addEventListener("close", () => {
    lifetime.end();
    dialog.remove();
  }, { once: true });

  document.body.append(dialog);
  show();
  dialog.showModal();
  stage.element.focus();
  return () => dialog.close();
}
