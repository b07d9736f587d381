/** The pictures of the viewer: fitted or in their own pixels, moved about, and cut against each other. */
import { element } from "./dom.js";
import { say } from "./words.js";

const ZOOM = 1.2;
const LARGEST = 32;
/** From this enlargement on a picture's own pixels are shown, not a blur of them. */
const PIXELATED = 3;
/** How near the cut a hand takes it, in CSS pixels. */
const GRIP = 16;

export class ViewerStage {
  /** CSS pixels per pixel of the picture; null: as large as it fits. */
  #scale = null;
  /** Where the middle of the stage lies in the picture, 0..1. */
  #centre = [0.5, 0.5];
  #cut = 0.5;
  #hold = null;
  #changed;

  /** `changed()` is called when the cut or the zoom is another one. */
  constructor(lifetime, changed) {
    this.#changed = changed;
    this.under = element("img", { className: "isi-viewer-picture", alt: "", draggable: false, hidden: true });
    this.over = element("img", { className: "isi-viewer-picture", alt: "", draggable: false });
    const gone = element("p", { className: "isi-viewer-gone", hidden: true }, say("viewer.gone"));
    this.element = element("div", { className: "isi-viewer-stage" }, this.under, this.over, gone);
    this.gone = gone;
    for (const picture of [this.under, this.over]) lifetime.listen(picture, "load", () => this.#lay());
    lifetime.listen(this.over, "load", () => this.#changed());
    lifetime.listen(this.over, "error", () => {
      gone.hidden = false;
      this.over.hidden = true;
    });
    lifetime.listen(this.element, "wheel", (event) => this.#wheel(event), { passive: false });
    lifetime.listen(this.element, "pointerdown", (event) => this.#down(event));
    lifetime.listen(this.element, "pointermove", (event) => this.#move(event));
    for (const type of ["pointerup", "pointercancel"]) lifetime.listen(this.element, type, () => (this.#hold = null));
    lifetime.listen(this.element, "dblclick", (event) => this.toggle([event.clientX, event.clientY]));
    const resized = new ResizeObserver(() => this.#lay());
    resized.observe(this.element);
    lifetime.atEnd(() => resized.disconnect());
  }

  /** Shows the picture at `url`, and under it, where it is cut away, the one at `other`, if there is one. */
  show(url, label, other) {
    this.gone.hidden = true;
    this.over.hidden = false;
    if (this.over.getAttribute("src") !== url) this.over.src = url;
    this.over.alt = label;
    this.under.hidden = !other;
    if (other && this.under.getAttribute("src") !== other) this.under.src = other;
    this.#lay();
  }

  get comparing() {
    return !this.under.hidden;
  }

  /** Where the two pictures meet, 0..1 from the left of the stage. */
  set cut(share) {
    this.#cut = Math.min(1, Math.max(0, share));
    this.#lay();
  }

  get cut() {
    return this.#cut;
  }

  /** `[width, height]` of the picture; null as long as it is not there. */
  get size() {
    const { naturalWidth, naturalHeight } = this.over;
    return naturalWidth ? [naturalWidth, naturalHeight] : null;
  }

  /** Whether the picture is shown in its own pixels. */
  get isWhole() {
    return this.#scale === null;
  }

  /** Between the whole picture and its own pixels, with the point at `at` (of the window) staying in sight. */
  toggle(at = null) {
    this.#zoom(this.#scale === null ? 1 / window.devicePixelRatio : null, at);
  }

  #fitting() {
    const [width, height] = this.size ?? [1, 1];
    return Math.min(this.element.clientWidth / width, this.element.clientHeight / height);
  }

  #zoom(scale, at) {
    const now = this.#scale ?? this.#fitting();
    const box = this.element.getBoundingClientRect();
    const [x, y] = at ? [at[0] - box.x - box.width / 2, at[1] - box.y - box.height / 2] : [0, 0];
    const next = scale ?? this.#fitting();
    const [width, height] = this.size ?? [1, 1];
    this.#centre = scale === null
      ? [0.5, 0.5]
      : [this.#centre[0] + (x / now - x / next) / width, this.#centre[1] + (y / now - y / next) / height];
    this.#scale = scale;
    this.#lay();
    this.#changed();
  }

  #wheel(event) {
    event.preventDefault();
    const now = this.#scale ?? this.#fitting();
    const next = Math.min(LARGEST, now * ZOOM ** -Math.sign(event.deltaY));
    this.#zoom(next <= this.#fitting() ? null : next, [event.clientX, event.clientY]);
  }

  #down(event) {
    if (event.button !== 0) return;
    const { x, width } = this.element.getBoundingClientRect();
    const near = Math.abs(event.clientX - x - this.#cut * width) <= GRIP;
    if (this.comparing && (near || this.isWhole)) this.#hold = "cut";
    else if (!this.isWhole) this.#hold = "picture";
    else return;
    this.element.setPointerCapture(event.pointerId);
    this.#move(event);
  }

  #move(event) {
    if (!this.#hold) return;
    if (this.#hold === "cut") {
      const { x, width } = this.element.getBoundingClientRect();
      this.cut = (event.clientX - x) / width;
      return this.#changed();
    }
    const [width, height] = this.size ?? [1, 1];
    const inside = (share) => Math.min(1, Math.max(0, share));
    this.#centre = [
      inside(this.#centre[0] - event.movementX / this.#scale / width),
      inside(this.#centre[1] - event.movementY / this.#scale / height),
    ];
    this.#lay();
  }

  /** Gives both pictures their places: the one under takes the other's, so that the same things lie upon each other. */
  #lay() {
    const { clientWidth: wide, clientHeight: tall } = this.element;
    const [width, height] = this.size ?? [wide, tall];
    const scale = this.#scale ?? this.#fitting();
    const left = this.#scale === null ? (wide - width * scale) / 2 : wide / 2 - this.#centre[0] * width * scale;
    const top = this.#scale === null ? (tall - height * scale) / 2 : tall / 2 - this.#centre[1] * height * scale;
    const line = this.#cut * wide - left;
    for (const { style } of [this.under, this.over]) {
      style.left = `${left}px`;
      style.top = `${top}px`;
      style.width = `${width * scale}px`;
      style.height = `${height * scale}px`;
      style.imageRendering = scale >= PIXELATED ? "pixelated" : "auto";
    }
    this.over.style.clipPath = this.comparing ? `inset(0 0 0 ${Math.max(0, line)}px)` : "";
    this.under.style.clipPath = `inset(0 ${Math.max(0, width * scale - line)}px 0 0)`;
    this.element.style.setProperty("--isi-cut", `${100 * this.#cut}%`);
    this.element.classList.toggle("isi-comparing", this.comparing);
    this.element.classList.toggle("isi-moving", !this.isWhole);
  }
}
