/** The names of LoRAs, embeddings and wildcards, offered while one types them into a text field. */
import { ask } from "./ask.js";
import { escapeWildcards } from "./choices.js";
import { element } from "./dom.js";
import { Lifetime } from "./lifetime.js";
import { say } from "./words.js";

const OPENING = /(?:<lora:(?<lora>[^<>:\n]{0,200})|(?<![\p{L}\p{N}_])embedding:(?<embedding>[^\s<>()[\]{}|;,:]{0,200})|__(?<wildcard>[^\s{}()|<>;:,@$"'[\]]{0,200}))$/iu;
/** What follows a name, unless it is there already. */
const ENDS = { lora: ":1>", embedding: "", wildcard: "__" };
const MOST = 8;
const FRESH_MS = 3_000;

let names = null;
let asked = Number.NEGATIVE_INFINITY;

/** All names by their kinds. */
function namesNow() {
  if (performance.now() - asked > FRESH_MS) {
    asked = performance.now();
    names = ask("/isi/names");
  }
  return names;
}

/** The names that have what was typed in them, first those that begin with it, with or without their folder. */
function fitting(all, typed) {
  const part = typed.toLowerCase().replaceAll("\\", "/");
  const found = all.filter((name) => name.toLowerCase().includes(part) && name.toLowerCase() !== part);
  const later = (name) => !`/${name}`.toLowerCase().includes(`/${part}`);
  return found.sort((a, b) => later(a) - later(b)).slice(0, MOST);
}

/** What decides where the letters of a text field lie. */
const LAYOUT = [
  "direction", "font-family", "font-size", "font-style", "font-weight", "letter-spacing", "line-height", "overflow-wrap",
  "padding", "tab-size", "text-align", "text-indent", "white-space", "word-break", "word-spacing",
];

/** The box of the letter at an offset of a text field, in pixels of the window. */
function placeOf(area, offset) {
  const letter = element("span", {}, area.value[offset] ?? "|");
  const copy = element("div", { className: "isi-field-copy" }, area.value.slice(0, offset), letter);
  const style = getComputedStyle(area);
  for (const name of LAYOUT) copy.style.setProperty(name, style.getPropertyValue(name));
  copy.style.width = `${area.clientWidth}px`;
  document.body.append(copy);
  const box = area.getBoundingClientRect();
  const scale = box.width / area.offsetWidth; // the canvas may be zoomed
  const left = box.left + (area.clientLeft + letter.offsetLeft - area.scrollLeft) * scale;
  const top = box.top + (area.clientTop + letter.offsetTop - area.scrollTop) * scale;
  const bottom = top + letter.offsetHeight * scale;
  copy.remove();
  return { left, top, bottom };
}

/** Offers names in the text field `area`, until it loses the focus; at once where something was typed already. */
export function offerNames(area, typed) {
  const lifetime = new Lifetime();
  const id = "isi-names";
  const menu = element("div", { id, className: "isi-menu isi-names", aria: { label: say("editor.names") } });
  menu.setAttribute("role", "listbox");
  let [chosen, opening] = [0, null];

  function close() {
    opening = null;
    menu.remove();
    area.removeAttribute("aria-activedescendant");
  }

  function choose(index) {
    const all = [...menu.children];
    chosen = (index + all.length) % all.length;
    all.forEach((item, i) => item.setAttribute("aria-selected", String(i === chosen)));
    area.setAttribute("aria-activedescendant", all[chosen].id);
  }

  function take() {
    const { start, kind } = opening;
    const end = area.selectionStart;
    const follows = ENDS[kind];
    const rest = area.value.slice(end);
    const name = menu.children[chosen].textContent;
    const added = (kind === "wildcard" ? name : escapeWildcards(name)) + (follows && !rest.startsWith(follows[0]) ? follows : "");
    close();
    area.setSelectionRange(start, end);
    // The one way that the field's own undo knows of.
    if (document.execCommand("insertText", false, added)) return;
    area.setRangeText(added, start, end, "end");
    area.dispatchEvent(new Event("input", { bubbles: true }));
  }

  async function look() {
    const end = area.selectionStart;
    const { value } = area;
    const match = area.selectionEnd === end && OPENING.exec(value.slice(Math.max(0, end - 240), end));
    const kind = match && Object.keys(ENDS).find((name) => match.groups[name] !== undefined);
    const found = kind ? fitting((await namesNow())?.[kind] ?? [], match.groups[kind]) : [];
    if (value !== area.value || end !== area.selectionStart) return; // typed on meanwhile
    if (!found.length || lifetime.signal.aborted || document.activeElement !== area) return close();
    opening = { start: end - match.groups[kind].length, kind };
    menu.replaceChildren(...found.map((name, i) => {
      const item = element("div", { id: `${id}-${i}`, className: "isi-menu-item" }, name);
      item.setAttribute("role", "option");
      return item;
    }));
    document.body.append(menu);
    const box = placeOf(area, opening.start);
    const below = box.bottom + 2 + menu.offsetHeight < window.innerHeight;
    menu.style.left = `${Math.max(0, Math.min(box.left, window.innerWidth - menu.offsetWidth - 4))}px`;
    menu.style.top = `${below ? box.bottom + 2 : box.top - 2 - menu.offsetHeight}px`;
    choose(0);
  }

  function onKey(event) {
    if (!opening || event.isComposing) return;
    const to = { ArrowDown: chosen + 1, ArrowUp: chosen - 1 }[event.key];
    if (event.key === "Escape") close();
    else if (to !== undefined && !event.ctrlKey) choose(to);
    else if ((event.key === "Enter" && !event.ctrlKey) || event.key === "Tab") take();
    else return;
    event.preventDefault();
    event.stopImmediatePropagation(); // the page has uses of its own for these keys
  }

  for (const [name, value] of [["autocomplete", "list"], ["controls", id]]) area.setAttribute(`aria-${name}`, value);
  lifetime.listen(area, "input", look);
  lifetime.listen(area, "keydown", onKey, { capture: true });
  lifetime.listen(area, "keyup", (event) => /^(?:Arrow(?:Left|Right)|Home|End|Page\w+)$/.test(event.key) && close());
  for (const event of ["scroll", "pointerdown"]) lifetime.listen(area, event, close);
  lifetime.listen(area, "blur", () => lifetime.end());
  lifetime.listen(window, "wheel", close, { capture: true });
  lifetime.listen(menu, "pointerdown", (event) => {
    event.preventDefault(); // the field keeps the focus
    const at = [...menu.children].indexOf(event.target.closest("[role=option]"));
    if (at >= 0) choose(at), take();
  });
  lifetime.atEnd(close);
  if (typed) look();
}
