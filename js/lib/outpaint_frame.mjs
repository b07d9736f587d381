/**
 * The frame of ISI Outpaint Canvas and ISI Outpaint: the picture with the canvas round it, whose sides drag.
 *
 * The widgets below `extend` are the truth, the frame is a view of them. What is dragged is what one gets: only the
 * side under the hand moves, and where the chosen way of saying it (a ratio, a size with an anchor) can't say that,
 * `extend` becomes `sides`.
 */
import { asOneChange } from "./change.js";
import { element } from "./dom.js";
import { knownSize, sizeOf } from "./known_size.mjs";
import {
  canvasSize, movedSides, nearestAnchor, parseAspect, reachesThrough, sidesOf, snapOf, valuesFor,
} from "./outpaint.mjs";
import { drawAmounts, drawFrame, drawPasses, drawReach } from "./outpaint_drawing.mjs";
import { passesOf } from "./outpaint_passes.mjs";
import { PictureView } from "./picture.js";
import { linkInto, sourceOf } from "./source.js";
import { watch } from "./watch.js";
import { say } from "./words.js";

const RATIOS = ["1:1", "4:3", "3:2", "16:9", "21:9", "3:4", "2:3", "9:16"];
/** What is shown as long as the picture is not known. */
const STAND_IN = { width: 1024, height: 1024 };
/** Room round everything, as a share of it, so that there is somewhere to drag to. */
const MARGIN = 0.14;
const LARGE_STEP = 8;
/** A handle's side in units of the node: what a finger hits (WCAG 2.2, 2.5.8). */
const HANDLE = 24;
/** A canvas narrower than this is drawn without its amounts when it has the numbers of passes. */
const CROWDED = 70;
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
/** Which sides a handle moves: [across, down]. The picture itself moves against all four. */
const PARTS = {
  left: ["left"], top: ["top"], right: ["right"], bottom: ["bottom"],
  "top left": ["left", "top"], "top right": ["right", "top"],
  "bottom left": ["left", "bottom"], "bottom right": ["right", "bottom"],
};
const outwards = { left: [-1, 0], top: [0, -1], right: [1, 0], bottom: [0, 1] };

const widgetOf = (node, name) => node.widgets.find((widget) => widget.name === name);
const isExtend = ({ name }) => name === "extend" || name.startsWith("extend.");

/** What the widgets say: `{extend, ...}` without the prefix of the names below it. */
function readExtend(node) {
  return Object.fromEntries(node.widgets.filter(isExtend).map(({ name, value }) => [name.replace("extend.", ""), value]));
}

/** The other way round. No callback: that of a number rounds to its step, and what the frame says is exact. */
function writeExtend(node, { extend, ...values }) {
  const [width, height] = node.size;
  const choice = widgetOf(node, "extend");
  if (choice.value !== extend) choice.value = extend; // makes the widgets below it, and the node as low as it can be
  for (const [name, value] of Object.entries(values)) {
    const widget = widgetOf(node, `extend.${name}`);
    if (widget.value !== value) widget.value = value;
  }
  if (node.size[1] < height) node.setSize([width, height]);
  node.setDirtyCanvas?.(true, true);
}

/** Shows the frame of `node` in `root` as long as `lifetime` lasts. */
export function showFrame(node, root, lifetime) {
  const ratios = RATIOS.map((ratio) =>
    element("button", { type: "button", className: "isi-button", textContent: ratio, data: { ratio }, aria: { pressed: "false" } }));
  const presets = element("div", { className: "isi-frame-presets", role: "group", aria: { label: say("frame.ratios") } }, ...ratios);
  const place = element("div", {
    className: "isi-frame-place", tabIndex: 0, role: "button", data: { part: "picture" }, aria: { label: say("frame.place") },
  });
  const handles = Object.keys(PARTS).map((part) => element("div", {
    className: "isi-frame-handle", tabIndex: 0, role: part in outwards ? "slider" : "button", data: { part },
    aria: { label: say(`frame.${part.replace(" ", "_")}`) },
  }));
  const status = element("div", { className: "isi-frame-status", role: "status" });
  const known = () => knownSize(sourceOf(node, "image"));
  const view = new PictureView(node, {
    find: () => known()?.url ?? null, scene, drawn: () => picture, draw, changed: () => refresh(),
  });
  view.element.classList.add("isi-frame-stage");
  view.element.append(place, ...handles);
  root.replaceChildren(presets, view.element, status);

  /** The size of the picture that comes in, as far as it is known. */
  let picture = null;
  let passes = [];
  let extend = readExtend(node);
  let sides = { left: 0, top: 0, right: 0, bottom: 0 };
  let locked = false;
  /** What is being dragged: `{part, at, from, moved, room}`. */
  let drag = null;

  const size = () => picture ?? STAND_IN;

  /** Takes over what the widgets say. */
  function refresh() {
    const found = known();
    const side = found && sizeOf(found, view.size && [view.size.height, view.size.width]);
    picture = side && { height: side[0], width: side[1] };
    extend = readExtend(node);
    locked = node.inputs.some((input, index) => isExtend(input) && linkInto(node, index));
    let trouble = "";
    try {
      sides = sidesOf(extend, size());
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      trouble = say(`frame.bad_${error.message}`);
    }
    passes = node.comfyClass === "ISI_Outpaint" && !trouble
      ? passesOf(sides, size(), widgetOf(node, "pass_size").value, widgetOf(node, "overlap").value) : [];
    const { width, height } = canvasSize(size(), sides);
    const parts = [`${size().width} × ${size().height} → ${width} × ${height}`];
    if (passes.length) parts.push(say("frame.passes", { count: passes.length }));
    if (!picture && view.state !== "loading") parts[0] = say(view.state === "failed" ? "frame.failed" : "frame.unknown", { result: parts[0] });
    if (locked) parts.push(say("frame.locked"));
    const reach = Math.max(widgetOf(node, "overlap").value, widgetOf(node, "blend")?.value ?? 0);
    const wrong = trouble || (picture && reachesThrough(sides, picture, reach) ? say("frame.bad_overlap", { reach }) : "");
    status.textContent = wrong || parts.join(" · ");
    status.title = status.textContent;
    status.classList.toggle("isi-wrong", Boolean(wrong));
    root.classList.toggle("isi-frame-off", Boolean(trouble) || locked);
    for (const button of ratios) {
      const chosen = extend.extend === "aspect ratio" && parseAspect(extend.ratio) === parseAspect(button.dataset.ratio);
      button.setAttribute("aria-pressed", String(chosen));
      button.disabled = locked;
    }
    for (const handle of handles) {
      handle.setAttribute("aria-disabled", String(locked));
      const value = sides[handle.dataset.part];
      if (value === undefined) continue;
      handle.setAttribute("aria-valuenow", String(value));
      handle.setAttribute("aria-valuetext", say(value < 0 ? "frame.cuts" : "frame.adds", { pixels: Math.abs(value) }));
    }
    view.redraw();
  }

  function write(values) {
    if (locked) return;
    if (drag) writeExtend(node, values); // the page itself looks for changes when the mouse button goes up
    else asOneChange(() => writeExtend(node, values));
    refresh();
  }

  /** Moves a handle, or the picture, to `by` pixels [across, down] from where the sides were `from`. */
  function move(part, by, from) {
    if (part === "picture") {
      const to = { left: from.left + by[0], top: from.top + by[1] };
      if (extend.anchor !== undefined) return write(nearestAnchor(extend, size(), to));
      const [across, down] = [Math.round(by[0]), Math.round(by[1])];
      const still = movedSides(from, { left: from.left + across, top: from.top + down }, size(), 1);
      return write(valuesFor({
        left: still.left, right: from.right - (still.left - from.left),
        top: still.top, bottom: from.bottom - (still.top - from.top),
      }, size(), extend));
    }
    const wanted = Object.fromEntries(PARTS[part].map((side) => {
      const [x, y] = outwards[side];
      return [side, from[side] + by[0] * x + by[1] * y];
    }));
    write(valuesFor(movedSides(from, wanted, size(), snapOf(extend)), size(), extend));
  }

  function setRatio(ratio) {
    const { anchor = "center" } = extend;
    write({ extend: "aspect ratio", ratio, anchor, multiple_of: snapOf(extend) });
  }

  function onKey(event) {
    const { part } = event.target.dataset;
    const arrow = ARROWS[event.key];
    const clear = event.key === "Home" && PARTS[part];
    if (!part || !(arrow || clear) || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    event.stopPropagation(); // the page moves the node, or the graph, with these keys
    if (clear) return empty(part);
    if (part === "picture" && extend.anchor !== undefined) {
      const room = canvasSize(size(), sides);
      const far = [(room.width - size().width) / 2, (room.height - size().height) / 2];
      return move(part, [arrow[0] * Math.abs(far[0]), arrow[1] * Math.abs(far[1])], sides);
    }
    const percent = extend.unit === "percent" ? Math.max(size().width, size().height) / 100 : 0;
    const step = Math.max(percent, snapOf(extend)) * (event.shiftKey ? LARGE_STEP : 1);
    move(part, [arrow[0] * step, arrow[1] * step], sides);
  }

  /** Takes away what the sides of a handle add or cut. */
  function empty(part) {
    write(valuesFor(movedSides(sides, Object.fromEntries(PARTS[part].map((side) => [side, 0])), size(), snapOf(extend)), size(), extend));
  }

  function onDown(event) {
    const { part } = event.target.dataset;
    if (!part || event.button !== 0 || root.classList.contains("isi-frame-off")) return;
    event.stopPropagation();
    event.target.setPointerCapture(event.pointerId);
    drag = { part, at: [event.clientX, event.clientY], moved: [0, 0], from: sides, room: scene() };
  }

  function onMove(event) {
    if (!drag) return;
    event.stopPropagation();
    const zoom = view.element.getBoundingClientRect().width / view.element.clientWidth;
    const now = [event.clientX, event.clientY];
    drag.moved = drag.moved.map((sum, axis) => sum + (now[axis] - drag.at[axis]) / zoom / view.scale);
    drag.at = now;
    move(drag.part, drag.moved, drag.from);
  }

  function onUp(event) {
    if (!drag) return;
    event.stopPropagation();
    drag = null;
    view.redraw();
  }

  /** All there is to see, with room round it. While one drags it only grows, so that nothing jumps. */
  function scene() {
    const { width, height } = size();
    const left = Math.max(0, sides.left);
    const top = Math.max(0, sides.top);
    const whole = { width: left + width + Math.max(0, sides.right), height: top + height + Math.max(0, sides.bottom) };
    const room = MARGIN * Math.max(whole.width, whole.height);
    let box = { left: -left - room, top: -top - room, right: whole.width - left + room, bottom: whole.height - top + room };
    if (drag) {
      const { x, y, width: held, height: tall } = drag.room;
      box = {
        left: Math.min(box.left + room, x), top: Math.min(box.top + room, y),
        right: Math.max(box.right - room, x + held), bottom: Math.max(box.bottom - room, y + tall),
      };
    }
    const shown = { x: box.left, y: box.top, width: box.right - box.left, height: box.bottom - box.top };
    if (drag) drag.room = shown;
    return shown;
  }

  function draw(pen) {
    const { width, height } = size();
    const edge = {
      left: view.x(-sides.left), right: view.x(width + sides.right),
      top: view.y(-sides.top), bottom: view.y(height + sides.bottom),
    };
    const box = { left: view.x(0), right: view.x(width), top: view.y(0), bottom: view.y(height) };
    const style = getComputedStyle(root);
    drawFrame(pen, edge, box, {
      line: style.getPropertyValue("--isi-accent"), empty: view.size ? null : style.getPropertyValue("--isi-stand-in"),
    });
    const reach = widgetOf(node, node.comfyClass === "ISI_Outpaint" ? "blend" : "overlap").value;
    if (reach > 0) drawReach(pen, edge, box, sides, reach * view.scale);
    const crowded = passes.length > 1 && Math.min(edge.right - edge.left, edge.bottom - edge.top) < CROWDED;
    if (passes.length > 1) drawPasses(pen, edge, passes, view.scale);
    if (!crowded) drawAmounts(pen, edge, box, sides);
    const middle = { x: (edge.left + edge.right) / 2, y: (edge.top + edge.bottom) / 2 };
    for (const handle of handles) {
      const named = PARTS[handle.dataset.part];
      const across = named.find((side) => side === "left" || side === "right");
      const down = named.find((side) => side === "top" || side === "bottom");
      handle.style.left = `${across ? edge[across] : middle.x}px`;
      handle.style.top = `${down ? edge[down] : middle.y}px`;
      if (!down) handle.style.height = `${Math.max(HANDLE, edge.bottom - edge.top - HANDLE)}px`;
      if (!across) handle.style.width = `${Math.max(HANDLE, edge.right - edge.left - HANDLE)}px`;
    }
    place.style.left = `${box.left}px`;
    place.style.top = `${box.top}px`;
    place.style.width = `${box.right - box.left}px`;
    place.style.height = `${box.bottom - box.top}px`;
  }

  view.live(lifetime);
  watch(lifetime, () => [readExtend(node), node.inputs.map((input, index) => [input.name, Boolean(linkInto(node, index))]),
    ...["overlap", "blend", "pass_size"].map((name) => widgetOf(node, name)?.value), known()], refresh);
  lifetime.listen(presets, "click", ({ target }) => target.dataset.ratio && setRatio(target.dataset.ratio));
  lifetime.listen(view.element, "keydown", onKey);
  lifetime.listen(view.element, "pointerdown", onDown);
  lifetime.listen(view.element, "pointermove", onMove);
  for (const event of ["pointerup", "pointercancel"]) lifetime.listen(view.element, event, onUp);
  lifetime.listen(view.element, "dblclick", ({ target: { dataset: { part } } }) => PARTS[part] && !locked && empty(part));
  lifetime.atEnd(() => {
    drag = null;
  });
}
