/**
 * The frame of ISI Outpaint Canvas and ISI Outpaint: the picture with the canvas round it, whose sides drag.
 *
 * The widgets below `extend` are the truth, the frame is a view of them. What is dragged is what one gets: only the
 * side under the hand moves, and where the chosen way of saying it (a ratio, a size with an anchor) can't say that,
 * `extend` becomes `sides`.
 */
import { asOneChange } from "./change.js";
import { element } from "./dom.js";
import { whileInGraph } from "./lifetime.js";
import { addElement } from "./mount.js";
import {
  canvasSize, movedSides, nearestAnchor, parseAspect, sidesOf, snapOf, valuesFor,
} from "./outpaint.js";
import { PictureView } from "./picture.js";
import { watch } from "./watch.js";
import { say } from "./words.js";

const RATIOS = ["1:1", "4:3", "3:2", "16:9", "21:9", "3:4", "2:3", "9:16"];
const HEIGHT = 300;
/** What is shown as long as the picture is not known. */
const STAND_IN = { width: 1024, height: 1024 };
/** Room round everything, as a share of it, so that there is somewhere to drag to. */
const MARGIN = 0.14;
const LARGE_STEP = 8;
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
/** Which sides a handle moves: [across, down]. The picture itself moves against all four. */
const PARTS = {
  left: ["left"], top: ["top"], right: ["right"], bottom: ["bottom"],
  "top left": ["left", "top"], "top right": ["right", "top"],
  "bottom left": ["left", "bottom"], "bottom right": ["right", "bottom"],
};
const outwards = { left: [-1, 0], top: [0, -1], right: [1, 0], bottom: [0, 1] };

const signed = (number) => `${number > 0 ? "+" : "−"}${Math.abs(number)}`;
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

export function addOutpaintFrame(node) {
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
  const view = new PictureView(node, { scene, draw, changed: () => refresh() });
  view.element.classList.add("isi-frame-stage");
  view.element.append(place, ...handles);
  const root = element("div", { className: "isi-frame" }, presets, view.element, status);
  const widget = addElement(node, "isi_frame", "isi_frame", root, {
    serialize: false, hideOnZoom: false, getMinHeight: () => HEIGHT, getValue: () => "", setValue: () => {},
  });
  widget.serialize = false;

  let extend = readExtend(node);
  let sides = { left: 0, top: 0, right: 0, bottom: 0 };
  let locked = false;
  /** What is being dragged: `{part, at, from, moved, room}`. */
  let drag = null;

  const size = () => view.size ?? STAND_IN;

  /** Takes over what the widgets say. */
  function refresh() {
    extend = readExtend(node);
    locked = node.inputs.some((input) => isExtend(input) && input.link != null);
    let trouble = "";
    try {
      sides = sidesOf(extend, size());
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      trouble = say(`frame.bad_${error.message}`);
    }
    const { width, height } = canvasSize(size(), sides);
    const parts = [`${size().width} × ${size().height} → ${width} × ${height}`];
    if (!view.size) parts[0] = say(view.state === "failed" ? "frame.failed" : "frame.unknown", { result: parts[0] });
    if (locked) parts.push(say("frame.locked"));
    status.textContent = trouble || parts.join(" · ");
    status.title = status.textContent;
    status.classList.toggle("isi-wrong", Boolean(trouble));
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
    const picture = { left: view.x(0), right: view.x(width), top: view.y(0), bottom: view.y(height) };
    const style = getComputedStyle(root);
    drawFrame(pen, edge, picture, {
      line: style.getPropertyValue("--isi-accent"), empty: view.size ? null : style.getPropertyValue("--isi-stand-in"),
    });
    drawOverlap(pen, edge, picture);
    drawAmounts(pen, edge, picture);
    const middle = { x: (edge.left + edge.right) / 2, y: (edge.top + edge.bottom) / 2 };
    for (const handle of handles) {
      const named = PARTS[handle.dataset.part];
      const across = named.find((side) => side === "left" || side === "right");
      const down = named.find((side) => side === "top" || side === "bottom");
      handle.style.left = `${across ? edge[across] : middle.x}px`;
      handle.style.top = `${down ? edge[down] : middle.y}px`;
      if (!down) handle.style.height = `${Math.max(12, edge.bottom - edge.top - 16)}px`;
      if (!across) handle.style.width = `${Math.max(12, edge.right - edge.left - 16)}px`;
    }
    place.style.left = `${picture.left}px`;
    place.style.top = `${picture.top}px`;
    place.style.width = `${picture.right - picture.left}px`;
    place.style.height = `${picture.bottom - picture.top}px`;
  }

  /** How far the mask reaches into the picture, as a dashed line on the sides that grow. */
  function drawOverlap(pen, edge, picture) {
    const reach = node.comfyClass === "ISI_OutpaintCanvas" ? widgetOf(node, "overlap")?.value : widgetOf(node, "blend")?.value;
    if (!(reach > 0)) return;
    const { width, height } = size();
    const inner = (side, at) => (sides[side] > 0 ? at : null);
    const [left, right] = [Math.max(edge.left, picture.left), Math.min(edge.right, picture.right)];
    const [top, bottom] = [Math.max(edge.top, picture.top), Math.min(edge.bottom, picture.bottom)];
    pen.strokeStyle = "rgb(255 255 255 / 75%)";
    pen.lineWidth = 1;
    pen.setLineDash([4, 3]);
    pen.beginPath();
    for (const x of [inner("left", view.x(reach)), inner("right", view.x(width - reach))]) {
      if (x > left && x < right) line(pen, x, top, x, bottom);
    }
    for (const y of [inner("top", view.y(reach)), inner("bottom", view.y(height - reach))]) {
      if (y > top && y < bottom) line(pen, left, y, right, y);
    }
    pen.stroke();
    pen.setLineDash([]);
  }

  /** How much each side adds or cuts, where there is room to write it. */
  function drawAmounts(pen, edge, picture) {
    pen.font = "11px system-ui, sans-serif";
    pen.textAlign = "center";
    pen.textBaseline = "middle";
    const middle = { x: (edge.left + edge.right) / 2, y: (edge.top + edge.bottom) / 2 };
    for (const [side, amount] of Object.entries(sides)) {
      if (!amount) continue;
      const text = signed(amount);
      const across = side === "left" || side === "right";
      const room = Math.abs(edge[side] - picture[side]);
      const long = pen.measureText(text).width + 10;
      if (room < (across ? long : 17)) continue;
      const between = (edge[side] + picture[side]) / 2;
      const [x, y] = across ? [between, middle.y] : [middle.x, between];
      pen.fillStyle = "rgb(0 0 0 / 62%)";
      pen.beginPath();
      pen.roundRect(x - long / 2, y - 8, long, 16, 4);
      pen.fill();
      pen.fillStyle = "#fff";
      pen.fillText(text, x, y + 0.5);
    }
  }

  whileInGraph(node, (lifetime) => {
    view.live(lifetime);
    watch(lifetime, () => [readExtend(node), node.inputs.map((input) => [input.name, input.link]),
      widgetOf(node, "overlap")?.value, widgetOf(node, "blend")?.value], refresh);
    lifetime.listen(presets, "click", ({ target }) => target.dataset.ratio && setRatio(target.dataset.ratio));
    lifetime.listen(view.element, "keydown", onKey);
    lifetime.listen(view.element, "pointerdown", onDown);
    lifetime.listen(view.element, "pointermove", onMove);
    for (const event of ["pointerup", "pointercancel"]) lifetime.listen(view.element, event, onUp);
    lifetime.listen(view.element, "dblclick", ({ target: { dataset: { part } } }) => PARTS[part] && !locked && empty(part));
    lifetime.atEnd(() => {
      drag = null;
    });
  });
}

function line(pen, x0, y0, x1, y1) {
  pen.moveTo(x0, y0);
  pen.lineTo(x1, y1);
}

/** The new room hatched, what is cut off darkened, and the frame. `empty` is the colour of a picture not known. */
function drawFrame(pen, edge, picture, { line: accent, empty }) {
  const box = (path, { left, top, right, bottom }) => path.rect(left, top, right - left, bottom - top);
  if (empty) {
    pen.fillStyle = empty;
    pen.fillRect(picture.left, picture.top, picture.right - picture.left, picture.bottom - picture.top);
  }
  const both = (first, second) => {
    const path = new Path2D();
    box(path, first);
    box(path, second);
    return path;
  };
  const inside = {
    left: Math.max(edge.left, picture.left), right: Math.min(edge.right, picture.right),
    top: Math.max(edge.top, picture.top), bottom: Math.min(edge.bottom, picture.bottom),
  };
  pen.fillStyle = "rgb(0 0 0 / 62%)";
  pen.fill(both(picture, inside), "evenodd");
  const fresh = both(edge, inside);
  pen.save();
  pen.clip(fresh, "evenodd");
  pen.globalAlpha = 0.14;
  pen.fillStyle = accent;
  pen.fill(fresh, "evenodd");
  pen.globalAlpha = 0.4;
  pen.strokeStyle = accent;
  pen.lineWidth = 1;
  pen.beginPath();
  const tall = edge.bottom - edge.top;
  for (let x = edge.left - tall; x < edge.right; x += 9) line(pen, x, edge.bottom, x + tall, edge.top);
  pen.stroke();
  pen.restore();
  pen.strokeStyle = accent;
  pen.lineWidth = 1.5;
  pen.strokeRect(edge.left, edge.top, edge.right - edge.left, tall);
}
