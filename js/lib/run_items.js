/** The iterations of a run that a strip shows, in their order. */
import { app } from "../../../scripts/app.js";
import { isKept } from "./iteration_acts.js";
import { marksOf } from "./marks.js";
import { pictureUrl } from "./picture.js";
import { planLabel } from "./words.js";

/**
 * An iteration as the server tells of it, as an item of the strip and of the viewer. Its addresses are new each time: one
 * that was done again has its file's name, and browsers would show, save and drag the old picture from their cache.
 */
function itemOf(run, { iteration, label, picture, key }) {
  const fresh = app.getRandParam();
  const [url, full] = [true, false].map((small) => pictureUrl(picture, small) + fresh);
  return { run, number: iteration, label: planLabel(label), picture, key, url, full, mark: "" };
}

export class RunItems {
  #all = [];
  #hidden = new Set();
  #showsHidden = false;
  /** Those that are shown: all but the hidden ones. */
  shown = [];
  /** How many are hidden, and whether they are shown all the same. */
  hiddenCount = 0;

  get length() {
    return this.#all.length;
  }

  get last() {
    return this.#all.at(-1);
  }

  clear() {
    this.#all = [];
    this.#sort();
  }

  /** Puts iterations in their places; one that is there already is replaced. */
  put(run, ...iterations) {
    for (const iteration of iterations) {
      const item = itemOf(run, iteration);
      let at = this.#all.length;
      while (at && this.#all[at - 1].number >= item.number) at--;
      this.#all.splice(at, this.#all[at]?.number === item.number ? 1 : 0, item);
    }
    this.#sort();
  }

  /** Leaves those up to `number`. */
  keepUpTo(number) {
    this.#all = this.#all.filter((item) => item.number <= number);
    this.#sort();
  }

  has(number) {
    return this.#all.some((item) => item.number === number);
  }

  get showsHidden() {
    return this.#showsHidden;
  }

  set showsHidden(shown) {
    this.#showsHidden = shown;
    this.#sort();
  }

  isHidden = (item) => this.#hidden.has(item.picture.filename);

  /** Reads the marks again, and marks the iteration whose key is `chosen`. */
  mark(chosen) {
    const { starred, hidden } = marksOf(this.#all[0]?.run);
    this.#hidden = new Set(hidden);
    const stars = new Set(starred);
    for (const item of this.#all) {
      item.starred = stars.has(item.picture.filename);
      item.mark = [item.starred && "starred", item.key && item.key === chosen && "chosen", isKept(item) && "kept"].filter(Boolean).join(" ");
    }
    this.#sort();
  }

  #sort() {
    this.shown = this.#showsHidden ? [...this.#all] : this.#all.filter((item) => !this.isHidden(item));
    this.hiddenCount = this.#all.filter(this.isHidden).length;
  }
}
