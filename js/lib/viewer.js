/** A picture of a run at full size: arrow keys step, a slider compares it with another one. */
import { element } from "./dom.js";
import { Lifetime } from "./lifetime.js";
import { say } from "./words.js";

const STEPS = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10, Home: -Infinity, End: Infinity };

/**
 * Opens the viewer over the page.
 *
 * `items` are `{url, number, label}`, `start` is an index. `input` is the url of the picture that the run
 * started from, or null. `onContinue(item)` is what "Continue from here" does. Returns a function that closes.
 */
export function openViewer({ items, start, input, onContinue }) {
  const lifetime = new Lifetime();
  let at = start;

  const title = element("h2", { className: "isi-viewer-title" });
  const close = element("button", { type: "button", className: "isi-button", textContent: "✕", aria: { label: say("viewer.close") } });
  const under = element("img", { className: "isi-viewer-picture", alt: "", draggable: false });
  const over = element("img", { className: "isi-viewer-picture", alt: "", draggable: false });
  const gone = element("p", { className: "isi-viewer-gone", hidden: true }, say("viewer.gone"));
  const stage = element("div", { className: "isi-viewer-stage" }, under, over, gone);
  const back = element("button", { type: "button", className: "isi-button", textContent: "◀", aria: { label: say("viewer.previous") } });
  const next = element("button", { type: "button", className: "isi-button", textContent: "▶", aria: { label: say("viewer.next") } });
  const choices = [["", say("viewer.with_none")], ["previous", say("viewer.with_previous")], ["first", say("viewer.with_first")]];
  if (input) choices.push(["input", say("viewer.with_input")]);
  const other = element("select", { className: "isi-button", aria: { label: say("viewer.compare_with") } },
    ...choices.map(([value, text]) => element("option", { value }, text)));
  const slider = element("input", { type: "range", min: 0, max: 100, step: 0.5, value: 50, hidden: true, aria: { label: say("viewer.compare") } });
  const branch = element("button", { type: "button", className: "isi-button isi-main" }, say("viewer.continue"));
  const foot = element("div", { className: "isi-viewer-foot" }, back, next, other, slider, branch);
  const head = element("div", { className: "isi-viewer-head" }, title, close);
  const dialog = element("dialog", { className: "isi-viewer", aria: { label: say("viewer.label") } }, head, stage, foot);

  function show() {
    const item = items[at];
    title.textContent = `${item.number} / ${items.at(-1).number}  ${item.label}`;
    gone.hidden = true;
    over.hidden = false;
    over.src = item.url;
    over.alt = item.label;
    back.disabled = at === 0;
    next.disabled = at === items.length - 1;
    const urls = { previous: items[Math.max(0, at - 1)].url, first: items[0].url, input };
    const url = urls[other.value];
    under.hidden = slider.hidden = !url;
    if (url) under.src = url;
    cut();
  }

  function cut() {
    stage.style.setProperty("--isi-cut", slider.hidden ? "0%" : `${slider.value}%`);
    stage.classList.toggle("isi-comparing", !slider.hidden);
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
  lifetime.listen(back, "click", () => step(-1));
  lifetime.listen(next, "click", () => step(1));
  lifetime.listen(other, "change", show);
  lifetime.listen(slider, "input", cut);
  lifetime.listen(over, "error", () => {
    gone.hidden = false;
    over.hidden = true;
  });
  lifetime.listen(stage, "pointermove", (event) => {
    if (slider.hidden || !event.buttons) return;
    const box = stage.getBoundingClientRect();
    slider.value = (100 * (event.clientX - box.left)) / box.width;
    cut();
  });
  lifetime.listen(close, "click", () => dialog.close());
  lifetime.listen(dialog, "click", (event) => event.target === dialog && dialog.close());
  lifetime.listen(branch, "click", () => {
    dialog.close();
    onContinue(items[at]);
  });
  dialog.addEventListener("close", () => {
    lifetime.end();
    dialog.remove();
  }, { once: true });

  document.body.append(dialog);
  show();
  dialog.showModal();
  stage.focus();
  return () => dialog.close();
}
