/** "Continue from here": a second loop beside the first one, which starts from an iteration that stays the same for ever. */
import { app } from "../../../scripts/app.js";
import { asOneChange, MEASURED } from "./change.js";
import { afterFrames } from "./dom.js";
import { boxOf, freePlace, reveal } from "./places.js";
import { parse } from "./script.js";
import { linkInto, sourceOf, widgetValue } from "./source.js";

const GAP = 60;
/** What the new loop has of its own. */
const OWN = ["image", "plan", "run_name", "redo_from"];
const SCRIPT_SIZE = [420, 420];

const widgetOf = (node, name) => node.widgets?.find((each) => each.name === name);

function set(node, values) {
  for (const [name, value] of Object.entries(values)) {
    const widget = widgetOf(node, name);
    if (!widget || value === undefined) continue;
    widget.value = value;
    widget.callback?.(value);
  }
}

const indexOf = (node, name) => node.inputs.findIndex((input) => input.name === name);

/** Connects to `to` what comes into `from`, input by input. */
function connectAsWell(from, to, without) {
  from.inputs.forEach(({ name }, index) => {
    const link = linkInto(from, index);
    const at = indexOf(to, name);
    if (!link || at < 0 || without.includes(name)) return;
    if (link.originIsIoNode) from.graph.inputNode.slots[link.origin_slot].connect(to.inputs[at], to);
    else from.graph.getNodeById(link.origin_id).connect(link.origin_slot, to, at);
  });
}

/** The settings of the first loop's script: its global group, and seeds that go on where the iteration stopped. */
function scriptValues(first, number) {
  const source = sourceOf(first, "plan");
  if (source?.node.comfyClass !== "ISI_Script") return { script: "" };
  const values = {};
  for (const { name } of source.node.widgets) if (name !== "isi_strip") values[name] = widgetValue(source, name);
  if (values.seed_mode === "increment") values.seed = Number(values.seed) + number;
  try {
    const { global } = parse(String(values.script));
    values.script = global ? `{${global.replace(/[{};@*]/g, "\\$&")}} ` : "";
  } catch {
    values.script = "";
  }
  return values;
}

/**
 * Adds ISI Open Run, ISI Script and ISI Iterate beside `first`, connected, on the iteration `{run, number, key}`. One
 * step to undo. The cursor is in the new script.
 */
export function continueFrom(first, { run, number, key }) {
  const { graph } = first;
  const [open, script, loop] = ["ISI_OpenRun", "ISI_Script", "ISI_Iterate"].map((type) => window.LiteGraph.createNode(type));
  const made = [script, loop, open];
  asOneChange(() => {
    for (const node of made) graph.add(node);
    set(open, { run_name: run, iteration: number, key: key ?? "" });
    set(script, scriptValues(first, number));
    const settings = first.widgets.filter(({ name, serialize }) => serialize !== false && !OWN.includes(name));
    set(loop, Object.fromEntries(settings.map(({ name, value }) => [name, value])));
    connectAsWell(first, loop, OWN);
    open.connect(0, loop, indexOf(loop, "image"));
    script.connect(0, loop, indexOf(loop, "plan"));
    script.setSize(SCRIPT_SIZE.map((least, axis) => Math.max(least, script.size[axis])));
    loop.setSize([Math.max(first.size[0], loop.size[0]), loop.size[1]]);
    place(first, made);
    afterFrames(MEASURED - 1, () => place(first, made)); // by then each one's height is known
  });
  app.canvas.selectItems?.(made);
  afterFrames(MEASURED + 1, () => {
    reveal(made);
    const area = widgetOf(script, "script").element?.querySelector("textarea");
    afterFrames(2, () => {
      area?.focus();
      area?.setSelectionRange(area.value.length, area.value.length);
    });
  });
}

/** The script left of its loop, the opened run below the script. */
function place(first, [script, loop, open]) {
  if (!loop.graph) return;
  freePlace(first, [script, loop, open], ([x, y]) => {
    const { left, top, right, bottom } = boxOf(script);
    script.pos = [x, y];
    loop.pos = [x + right - left + GAP, y];
    open.pos = [x, y + bottom - top + GAP / 2];
  });
}
