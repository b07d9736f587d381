/**
 * The script of ISI Script: a real text field (undo, input methods and screen readers work as ever) that
 * lies over a coloured copy of its text, and below it what the script means, as one types.
 */
import { noteChange } from "./change.js";
import { pieces } from "./colouring.js";
import { element } from "./dom.js";
import { acceptInfotexts } from "./infotext_drop.js";
import { whileInGraph } from "./lifetime.js";
import { addElement } from "./mount.js";
import { parse, ScriptError } from "./script.js";
import { askServer } from "./script_server.js";
import { reasonOf } from "./script_words.js";
import { inWords } from "./server_words.js";
import { shareWheel } from "./wheel.js";
import { say } from "./words.js";

const MOST_ROWS = 100;
/** Longer texts are read when the typing pauses. */
const LONG_TEXT = 10_000;
const PAUSE_MS = 250;
const MIN_HEIGHT = 230;
const SETTINGS = ["denoise", "cfg", "steps", "seed", "control", "sampler", "scheduler", "negative"];

let fields = 0;

/** The samplers and schedulers of this ComfyUI: those of ISI Iterate's own menus. */
function names() {
  const inputs = window.LiteGraph?.registered_node_types?.ISI_Iterate?.nodeData?.input?.required;
  return { sampler: inputs?.sampler_name?.[1]?.options, scheduler: inputs?.scheduler?.[1]?.options };
}

/** The widget for the input `name`; made by ComfyUI for each node that has it. */
export function scriptWidget(node, name, [, options = {}]) {
  const id = `isi-script-${++fields}`;
  const colours = element("div", { className: "isi-script-layer" });
  const slip = element("div", { className: "isi-script-layer isi-script-slip" });
  const area = element("textarea", {
    className: "isi-script-text",
    value: options.default ?? "",
    spellcheck: false,
    placeholder: say("editor.example"),
    aria: { label: name, describedby: id },
  });
  const back = element("div", { className: "isi-script-back", aria: { hidden: "true" } }, colours, slip);
  const count = element("span", { className: "isi-script-count" });
  const asRun = element("button", {
    type: "button", className: "isi-button", textContent: say("editor.as_run"), hidden: true, aria: { pressed: "false" },
    title: say("editor.as_run_tip"),
  });
  const verdict = element("div", { id, className: "isi-script-verdict", role: "status" }, count, asRun);
  const list = element("ol", { className: "isi-script-steps", tabIndex: 0, aria: { label: say("editor.steps") } });
  const table = element("pre", { className: "isi-script-table", hidden: true, tabIndex: 0 });
  const field = element("div", { className: "isi-script-field" }, back, area);
  const root = element("div", { className: "isi-script" }, field, verdict, list, table);
  const widget = addElement(node, name, "isi_script", root, {
    getValue: () => area.value,
    setValue(value) {
      if (value === area.value) return;
      area.value = value ?? "";
      read();
    },
    getMinHeight: () => MIN_HEIGHT,
    minNodeSize: [400, 420],
  });

  let script = { global: "", groups: [], hints: [] };
  /** The mistake that the page finds in the text, and what the server told of this very text. */
  let [error, told] = [null, null];
  let ask = () => {};

  function read() {
    colours.replaceChildren(
      ...pieces(area.value).map(({ text, kind }) => (kind ? element("span", { className: `isi-${kind}` }, text) : text)),
      "\n",
    );
    error = null;
    told = null;
    try {
      script = parse(area.value, names());
    } catch (caught) {
      if (!(caught instanceof ScriptError)) throw caught;
      error = caught;
    }
    ask(error ? null : area.value);
    draw();
    align();
  }

  /** Shows what the text means: by the page's own reading, and by the server's, once it has told. */
  function draw() {
    const wrong = error ?? told?.error ?? null;
    showSlip(area.value, wrong);
    area.setAttribute("aria-invalid", String(Boolean(wrong)));
    verdict.classList.toggle("isi-wrong", Boolean(wrong));
    const notes = [wrong ?? script.hints[0]].filter(Boolean).map((each) => {
      const reason = each.key ? reasonOf(each) : inWords(each.reason);
      return each.line ? say("editor.error", { line: each.line, column: each.column, reason }) : reason;
    });
    const length = told?.count || script.groups.length;
    count.textContent = [...(wrong ? [] : [say("editor.iterations", { count: length })]), ...notes].join(" · ");
    list.classList.toggle("isi-stale", Boolean(wrong));
    if (!wrong) showRows(rows(length));
    fade();
  }

  /** New rows for the old ones; the focus stays in its row, since the server's words come while one moves. */
  function showRows(rows) {
    const at = [...list.children].indexOf(document.activeElement);
    list.replaceChildren(...rows);
    if (at >= 0) rows[Math.min(at, rows.length - 1)]?.focus();
  }

  function showSlip(text, error) {
    if (error?.offset === undefined) return slip.replaceChildren();
    const start = Math.min(error.offset, Math.max(0, text.length - 1));
    const length = /^[\p{L}\p{N}@*.=:+-]+/u.exec(text.slice(start, start + 40))?.[0].length ?? 1;
    const mark = element("span", { className: "isi-error" }, text.slice(start, start + length));
    slip.replaceChildren(text.slice(0, start), mark);
  }

  function rows(length) {
    const steps = told?.steps ?? script.groups.slice(0, MOST_ROWS).map(({ text }, group) => ({ group, text }));
    const shown = steps.map(({ group: number, text, prompt = "", tokens }) => {
      const group = script.groups[number];
      const notes = SETTINGS.filter((key) => group[key] !== undefined).map((key) => `${key} ${group[key]}`);
      if (group.weight !== 1) notes.unshift(`cfg ×${Number(group.weight.toPrecision(4))}`);
      const words = element("span", { className: "isi-script-words", title: prompt }, text || say("editor.global_alone"));
      const size = tokens ? [element("span", { className: "isi-script-tokens", title: say("editor.tokens") }, tokens.join("/"))] : [];
      return element("li", { tabIndex: -1, data: { start: group.start } }, words, ...notes.map((note) => element("b", {}, note)), ...size);
    });
    const more = length - shown.length;
    if (more > 0) shown.push(element("li", { className: "isi-script-more" }, say("editor.more", { count: more })));
    return shown;
  }

  const align = () => {
    back.scrollTop = area.scrollTop;
    back.scrollLeft = area.scrollLeft;
  };

  /** A list that is longer than its box fades out below, until it is scrolled to its end. */
  const fade = () => list.classList.toggle("isi-whole", list.scrollTop + list.clientHeight >= list.scrollHeight - 2);

  /** Puts the cursor where the group of a row begins. */
  function goTo(row) {
    const start = Number(row?.dataset.start ?? Number.NaN);
    if (Number.isNaN(start)) return;
    area.focus();
    area.setSelectionRange(start, start);
  }

  /** Arrow keys walk along the rows, Enter goes to the text of one. */
  function onListKey(event) {
    const all = [...list.children];
    const at = all.indexOf(document.activeElement);
    const to = { ArrowDown: at + 1, ArrowUp: Math.max(0, at - 1), Home: 0, End: all.length - 1 }[event.key];
    if (event.key === "Enter") goTo(all[at]);
    else if (to !== undefined) all[Math.min(to, all.length - 1)]?.focus();
    else return;
    event.preventDefault();
    event.stopPropagation(); // the page moves the node with these keys
  }

  function showTable(shown) {
    asRun.setAttribute("aria-pressed", String(shown));
    table.hidden = !shown;
    list.hidden = shown;
  }

  whileInGraph(node, (lifetime) => {
    let timer = 0;
    lifetime.atEnd(() => clearTimeout(timer));
    lifetime.listen(area, "input", () => {
      widget.callback?.(area.value);
      clearTimeout(timer);
      if (area.value.length <= LONG_TEXT) read();
      else timer = setTimeout(read, PAUSE_MS);
    });
    lifetime.listen(area, "change", noteChange);
    // Chromium's Ctrl+Z takes back what was last typed in the page, wherever the focus is: beside the page's own undo,
    // which then takes that back.
    lifetime.listen(area, "beforeinput", (event) => {
      if (event.inputType.startsWith("history") && document.activeElement !== area) event.preventDefault();
    });
    lifetime.listen(area, "scroll", align);
    lifetime.listen(asRun, "click", () => showTable(table.hidden));
    lifetime.listen(list, "click", (event) => goTo(event.target.closest("li")));
    lifetime.listen(list, "keydown", onListKey);
    lifetime.listen(list, "scroll", fade);
    const resized = new ResizeObserver(fade);
    resized.observe(list);
    lifetime.atEnd(() => resized.disconnect());
    for (const box of [area, list, table]) shareWheel(lifetime, box);
    acceptInfotexts(lifetime, node, root);
    ask = askServer(lifetime, node, (answer, text) => {
      if (error || text !== area.value) return;
      told = answer;
      // Python counts letters, the page UTF-16's halves of them.
      if (told.error?.line) told.error.offset = [...text].slice(0, told.error.offset).join("").length;
      draw();
    });
    read();
  });
  read();

  return {
    widget,
    minWidth: 400,
    minHeight: 420,
    /** Shows the table that the server made of the plan. */
    showPlan(text) {
      table.textContent = text;
      asRun.hidden = !text;
    },
  };
}
