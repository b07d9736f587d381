/** The candidates of a step in a row below the strip: the run goes on with the one that is clicked. */
import { api } from "../../../scripts/api.js";
import { app } from "../../../scripts/app.js";
import { element } from "./dom.js";
import { pictureUrl } from "./picture.js";
import { say } from "./words.js";

/** What of the row is not thumbnails, in pixels. */
export const ROW_ROOM = 40;

export class CandidateRow {
  #run = "";
  /** By iteration: `{iteration, chosen, candidates: [{picture, seed}]}`; `chosen` counts from 1, or is null. */
  #choices = new Map();
  #open = 0;
  #size;
  #changed;

  /** `size()` is a thumbnail's side in pixels; `changed()` is called when the row comes or goes. */
  constructor(size, changed) {
    this.#size = size;
    this.#changed = changed;
    this.title = element("div", { className: "isi-candidates-title" });
    this.cells = element("div", { className: "isi-candidates-row" });
    this.element = element("div", { className: "isi-candidates", role: "group", hidden: true }, this.title, this.cells);
    this.element.addEventListener("keydown", (event) => this.#key(event));
    this.cells.addEventListener("click", ({ target }) => {
      const at = [...this.cells.children].indexOf(target.closest(".isi-cell"));
      if (at >= 0) this.#choose(at + 1);
    });
  }

  get shown() {
    return !this.element.hidden;
  }

  /** Of how many iterations there are candidates. */
  get count() {
    return this.#choices.size;
  }

  /** The iteration that waits for a choice; undefined where none does. */
  get waiting() {
    return [...this.#choices.values()].find(({ chosen }) => chosen === null)?.iteration;
  }

  has(iteration) {
    return this.#choices.has(iteration);
  }

  /** Takes over the choices of a run as the server tells of them, and shows the one that waits. */
  take(run, choices = []) {
    this.#run = run;
    this.#choices = new Map(choices.map((choice) => [choice.iteration, choice]));
    this.open(this.waiting ?? 0);
  }

  /** A candidate was made. */
  add({ run, iteration, candidate, candidates, picture, seed }) {
    const known = run === this.#run ? this.#choices.get(iteration) : undefined;
    const choice = known?.candidates.length === candidates ? known : { iteration, chosen: null, candidates: Array(candidates).fill(null) };
    choice.candidates[candidate - 1] = { picture, seed };
    this.#run = run;
    this.#choices.set(iteration, choice);
    this.open(iteration);
  }

  /** Shows the candidates of an iteration; 0 shows none. */
  open(iteration) {
    this.#open = this.#choices.has(iteration) ? iteration : 0;
    this.element.hidden = !this.#open;
    const { candidates = [], chosen } = this.#choices.get(this.#open) ?? {};
    this.title.textContent = this.#open ? say(chosen === null ? "candidates.choose" : "candidates.chosen", { number: this.#open, chosen: chosen ?? "" }) : "";
    this.element.setAttribute("aria-label", this.title.textContent);
    this.cells.replaceChildren(...candidates.map((one, i) => this.#cell(one, i + 1, chosen)));
    this.#changed();
  }

  #cell(one, number, chosen) {
    const label = say("candidates.one", { number, seed: one?.seed ?? "" });
    const picture = element("img", { alt: "", decoding: "async", draggable: false });
    if (one) picture.src = pictureUrl(one.picture, true) + app.getRandParam();
    const size = `${this.#size()}px`;
    return element("button", {
      type: "button", className: "isi-cell", title: label, disabled: !one, data: { number, mark: number === chosen ? "chosen" : "" },
      aria: { label, pressed: number === chosen }, style: { width: size, height: size },
    }, picture);
  }

  #key(event) {
    const cells = [...this.cells.children];
    const at = cells.indexOf(document.activeElement);
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: cells.length - 1 }[event.key];
    const isDigit = /^[1-9]$/.test(event.key) && event.key <= cells.length;
    if (event.ctrlKey || event.metaKey || event.altKey || (to === undefined && !isDigit)) {
      if (event.key === "Enter" || event.key === " ") event.stopPropagation(); // presses the button, and no key of the page
      return;
    }
    event.preventDefault();
    event.stopPropagation();
    if (isDigit) return this.#choose(Number(event.key));
    cells[Math.min(Math.max(to, 0), cells.length - 1)].focus();
  }

  async #choose(candidate) {
    const choice = this.#choices.get(this.#open);
    if (!choice?.candidates[candidate - 1]) return;
    const asked = { method: "POST", body: JSON.stringify({ iteration: choice.iteration, candidate }) };
    try {
      const { error } = await (await api.fetchApi(`/isi/runs/${encodeURIComponent(this.#run)}/choose`, asked)).json();
      if (error) throw new Error(error);
    } catch (error) {
      this.title.textContent = error.message || say("strip.no_answer");
      return;
    }
    choice.chosen = candidate;
    this.open(choice.iteration);
    app.queuePrompt(0, 1);
  }
}
