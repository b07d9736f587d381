/**
 * A row of thumbnails that holds any number of them: only those in sight exist in the page, and a picture is
 * asked for when it comes into sight.
 */
import { element } from "./dom.js";
import { say } from "./words.js";

const GAP = 6;
const OVERSCAN = 2;
const MOST_CELLS = 24;

export class FilmStrip {
  #items = [];
  #cells = new Map();
  #frame = 0;
  #size;

  /**
   * `open(index)` is called for a click or Enter, `menu(index, at)` for the menu key or button, with a point of the
   * window; `drag(index, event, shown)` when a thumbnail is taken up. An item is `{url, full, number, label, mark}`:
   * a light copy of the picture, the picture itself, and `starred` or `chosen`, or "". `size` is a thumbnail's side
   * in pixels.
   */
  constructor(lifetime, { open, menu, drag, size }) {
    this.#size = size;
    this.track = element("div", { className: "isi-strip-track" });
    this.element = element("div", { className: "isi-strip-row", tabIndex: 0, role: "group", aria: { label: say("strip.label") } }, this.track);
    lifetime.listen(this.element, "scroll", () => this.#later());
    const listen = (type, act) => lifetime.listen(this.track, type, (event) => {
      const cell = event.target.closest(".isi-cell");
      if (cell) act(Number(cell.dataset.index), event, cell);
    });
    listen("click", open);
    listen("contextmenu", (index, event, cell) => {
      event.preventDefault();
      event.stopPropagation(); // the node's own menu
      const { left, bottom } = cell.getBoundingClientRect();
      menu(index, event.clientX || event.clientY ? [event.clientX, event.clientY] : [left, bottom]);
    });
    listen("dragstart", (index, event, cell) => {
      event.stopPropagation();
      drag(index, event, cell.firstChild);
    });
    lifetime.listen(this.element, "keydown", (event) => this.#key(event, open));
    // `error` does not bubble, but it can be caught on its way down.
    lifetime.listen(this.track, "error", (event) => this.#failed(event.target), true);
    const watch = new ResizeObserver(() => this.#later());
    watch.observe(this.element);
    lifetime.atEnd(() => {
      watch.disconnect();
      cancelAnimationFrame(this.#frame);
    });
  }

  /** Shows `items`; a strip that stood at its end stays there. */
  show(items) {
    const { scrollLeft, clientWidth, scrollWidth } = this.element;
    const atEnd = scrollLeft + clientWidth >= scrollWidth - this.#pitch;
    this.#items = items;
    this.track.style.width = `${items.length * this.#pitch}px`;
    this.track.style.height = `${this.#size}px`;
    if (atEnd) this.element.scrollLeft = items.length * this.#pitch;
    this.#draw();
  }

  /** Brings an item into sight. */
  reveal(index) {
    const left = index * this.#pitch;
    const { scrollLeft, clientWidth } = this.element;
    if (left < scrollLeft) this.element.scrollLeft = left;
    else if (left + this.#pitch > scrollLeft + clientWidth) this.element.scrollLeft = left + this.#pitch - clientWidth;
    this.#draw();
  }

  get #pitch() {
    return this.#size + GAP;
  }

  #later() {
    this.#frame ||= requestAnimationFrame(() => {
      this.#frame = 0;
      this.#draw();
    });
  }

  #draw() {
    const { scrollLeft, clientWidth } = this.element;
    const first = Math.max(0, Math.floor(scrollLeft / this.#pitch) - OVERSCAN);
    const wanted = Math.ceil(clientWidth / this.#pitch) + 2 * OVERSCAN;
    const last = Math.min(this.#items.length, first + Math.min(wanted, MOST_CELLS));
    for (const [index, cell] of this.#cells) {
      if (index >= first && index < last) continue;
      cell.firstChild.removeAttribute("src"); // ends the request: what is in sight now must not wait for it
      cell.remove();
      this.#cells.delete(index);
    }
    for (let index = first; index < last; index++) this.#place(index);
  }

  #place(index) {
    const { url, number, label, mark } = this.#items[index];
    let cell = this.#cells.get(index);
    if (!cell) {
      const picture = element("img", { alt: "", decoding: "async", draggable: false });
      // No button: Firefox lets none be dragged.
      cell = element("div", { className: "isi-cell", tabIndex: -1, draggable: true, data: { gone: say("strip.cell_gone") } }, picture);
      cell.setAttribute("role", "button");
      cell.style.cssText = `left:${index * this.#pitch}px;width:${this.#size}px;height:${this.#size}px`;
      this.#cells.set(index, cell);
      this.track.append(cell);
    }
    cell.dataset.mark = mark;
    if (cell.dataset.url === url && cell.dataset.number === String(number)) return;
    Object.assign(cell.dataset, { url, index, number });
    cell.classList.remove("isi-gone");
    cell.title = `${number}. ${label}`;
    cell.setAttribute("aria-label", cell.title);
    cell.firstChild.src = url;
  }

  /** The server makes no light copy of a very large picture (WebP ends at 16,383 pixels); one that is gone says so. */
  #failed(picture) {
    const { full } = this.#items[picture.parentElement?.dataset.index] ?? {};
    if (full && picture.getAttribute("src") !== full) picture.src = full;
    else picture.parentElement?.classList.add("isi-gone");
  }

  /** Arrow keys walk along the cells, from wherever the focus is; Enter and the space bar press one. */
  #key(event, open) {
    const at = Number(document.activeElement?.dataset.index ?? -1);
    if (at >= 0 && (event.key === "Enter" || event.key === " ")) {
      event.preventDefault();
      event.stopPropagation();
      return open(at);
    }
    const to = { ArrowRight: at + 1, ArrowLeft: at < 0 ? this.#items.length - 1 : at - 1, Home: 0, End: this.#items.length - 1 }[event.key];
    if (to === undefined || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    event.stopPropagation();
    const index = Math.min(Math.max(to, 0), this.#items.length - 1);
    this.reveal(index);
    this.#cells.get(index)?.focus({ preventScroll: true });
  }
}
