/**
 * The picture of ISI Pick: a click sets a point of the chosen object, a drag its box. The widget `picks` is the truth,
 * this is a view of it.
 */
import { asOneChange } from "./change.js";
import { element } from "./dom.js";
import { FoundObjects } from "./pick_found.mjs";
import { PictureView, inputPicture, pictureUrl } from "./picture.js";
import { PickError, cleanName, picksSomething, readPicks, writePicks } from "./picks.mjs";
import { isConnected, outputsOf, pathTo, pickOf } from "./source.js";
import { watch } from "./watch.js";
import { say } from "./words.js";

const COLOURS = ["#ff5c5c", "#4dabff", "#5ad469", "#ffc53d", "#c77dff", "#ff8f3f", "#3fd8d4", "#ff7ac6"];
const BLANK = { width: 512, height: 512 };
/** Units of the element: a point's radius, how near a click means it, from where on a press is a drag. */
const [RADIUS, NEAR, DRAG] = [7, 12, 6];
/** How far an arrow key moves the cross, in percent, and with Shift. */
const [STEP, LARGE_STEP] = [1, 8];
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

const colourOf = (index) => COLOURS[index % COLOURS.length];

/**
 * Shows the picture of `node` in `root` as long as `lifetime` lasts: of an ISI Pick, or of a subgraph node that has the
 * picks of one inside on its outside.
 */
export function showPicks(node, root, lifetime) {
  const { pick, name } = pickOf(node);
  const widget = () => node.widgets.find((each) => each.name === name);
  const given = () => inputPicture(pick, "image", pick === node ? undefined : [...(pathTo(node.graph) ?? []), node]);
  const told = () => outputsOf({ node: pick })?.isi_pick?.[0] ?? null;
  /** What comes in; where nodes make it, as the last run had it, which is another file each time. */
  const picture = () => given() ?? (told() && pictureUrl(told().picture));
  const which = () => given() ?? told()?.which ?? null;
  const chips = element("div", { className: "isi-pick-objects", role: "group", aria: { label: say("pick.objects") } });
  const named = element("input", { type: "text", className: "isi-pick-name", maxLength: 80, aria: { label: say("pick.name") } });
  const away = button("pick.take_away", () => { taking = !taking; refresh(); }, "−");
  const undo = button("pick.last", () => change((object) => { if (!object.points.pop()) object.box = null; }), "⌫");
  const clear = button("pick.clear", () => change((object) => { object.points = []; object.box = null; }), "✕");
  const tools = element("div", { className: "isi-pick-tools" }, named, away, undo, clear);
  const status = element("div", { className: "isi-frame-status", role: "status" });
  const view = new PictureView(node, { find: picture, scene: (size) => ({ x: 0, y: 0, ...(size ?? BLANK) }), draw, changed: () => refresh() });
  const found = new FoundObjects(lifetime, colourOf, () => view.redraw());
  view.element.classList.add("isi-frame-stage", "isi-pick-stage");
  view.element.tabIndex = 0;
  view.element.setAttribute("role", "application");
  view.element.setAttribute("aria-label", say("pick.stage"));
  root.replaceChildren(chips, view.element, tools, status);

  /** Lines of the text; which object is chosen (one beyond the last is a new one); whether clicks take away. */
  let lines = [];
  let chosen = 0;
  /** What this view wrote last: the text that no one else changed. */
  let written = null;
  let taking = false;
  let locked = false;
  let trouble = "";
  /** The cross of the keyboard in percent, the corner where its box began, and the press that may be a drag. */
  let cross = { x: 50, y: 50 };
  let corner = null;
  let press = null;
  /** The picture that the marks were seen on last, and the one that the masks of the last run are of. */
  let markedOn = null;
  let foundOn = null;

  function button(word, act, sign) {
    const made = element("button", { type: "button", className: "isi-button", textContent: sign, title: say(word), aria: { label: say(word) } });
    lifetime.listen(made, "click", act);
    return made;
  }

  const objects = () => lines.filter((line) => typeof line !== "string");
  const fresh = (index) => ({ name: say("pick.object", { number: index + 1 }), points: [], box: null });
  const current = () => objects()[chosen] ?? fresh(chosen);

  /** Takes over what the widget says. */
  function refresh() {
    trouble = "";
    try {
      lines = readPicks(String(widget()?.value ?? ""));
    } catch (error) {
      if (!(error instanceof PickError)) throw error;
      trouble = say("pick.unreadable", { line: error.line });
    }
    locked = isConnected(node, name);
    const there = objects();
    chosen = Math.min(chosen, there.length);
    const names = [...there.map(({ name }) => name), say("pick.new")];
    const off = Boolean(trouble) || locked;
    if (chips.children.length !== names.length) {
      chips.replaceChildren(...names.map((_, index) => {
        const chip = element("button", { type: "button", className: "isi-button isi-pick-object" });
        lifetime.listen(chip, "click", () => { chosen = index; refresh(); });
        return chip;
      }));
    }
    names.forEach((name, index) => {
      const chip = chips.children[index];
      chip.textContent = name || say("pick.object", { number: index + 1 });
      chip.style.setProperty("--isi-pick", colourOf(index));
      chip.setAttribute("aria-pressed", String(index === chosen));
    });
    for (const control of [...chips.children, named, away, undo, clear]) control.disabled = off;
    undo.disabled ||= !there[chosen];
    clear.disabled ||= !there[chosen];
    named.disabled ||= !there[chosen];
    if (document.activeElement !== named) named.value = current().name;
    away.setAttribute("aria-pressed", String(taking));
    root.classList.toggle("isi-frame-off", off);
    status.classList.toggle("isi-wrong", Boolean(trouble));
    const { points, box } = current();
    status.textContent = trouble || [
      there.length ? say("pick.count", { count: there.length }) : say("pick.nothing"),
      ...(there[chosen] ? [`${current().name}: ${say("pick.points", { count: points.length })}${box ? `, ${say("pick.box")}` : ""}`] : []),
      ...(locked ? [say("frame.locked")] : []),
      ...(isOther() ? [say("pick.other_picture")] : []),
    ].join(" · ");
    view.redraw();
  }

  /** Changes the chosen object as one step of the page's undo; one that adds nothing any more goes. */
  function change(act) {
    if (trouble || locked) return;
    const object = current();
    if (!objects()[chosen]) lines = [...lines.filter((line) => line !== ""), object];
    act(object);
    markedOn = which();
    const kept = picksSomething(object);
    asOneChange(() => {
      written = widget().value = writePicks(lines);
      node.setDirtyCanvas?.(true, true);
    });
    if (!kept) chosen = Math.max(0, Math.min(chosen, objects().length - 2));
    refresh();
  }

  /** Whether marks are there that were set on another picture than the one that is shown. */
  function isOther() {
    if (view.state !== "shown") return false;
    markedOn = objects().length ? markedOn ?? which() : null;
    return markedOn !== null && markedOn !== which();
  }

  const place = ({ x, y }) => [view.x(x / 100 * size().width), view.y(y / 100 * size().height)];
  const size = () => view.size ?? BLANK;

  /** Where an event is, in units of the element and in percent of the picture; null outside it. */
  function at(event) {
    const bounds = view.element.getBoundingClientRect();
    const zoom = bounds.width / view.element.clientWidth;
    const [left, top] = [(event.clientX - bounds.left) / zoom, (event.clientY - bounds.top) / zoom];
    const x = (left - view.x(0)) / view.scale / size().width * 100;
    const y = (top - view.y(0)) / view.scale / size().height * 100;
    return { left, top, x, y, inside: x >= 0 && x <= 100 && y >= 0 && y <= 100 };
  }

  /** The number of the chosen object's point that is meant by a place in units of the element, or -1. */
  const pointAt = (left, top) => current().points.findIndex((point) => {
    const [x, y] = place(point);
    return Math.hypot(x - left, y - top) <= NEAR;
  });

  /** Sets a point; what takes away, on a point that is there, takes that. */
  function mark(x, y, left, top, takes) {
    const near = takes ? pointAt(left, top) : -1;
    if (near < 0 && takes && !objects()[chosen]) return; // there is nothing yet to take away from
    change(({ points }) => (near >= 0 ? points.splice(near, 1) : points.push({ x, y, add: !takes })));
  }

  function setBox(from, to) {
    const held = (value) => Math.min(100, Math.max(0, value));
    const [left, right] = [from.x, to.x].map(held).sort((a, b) => a - b);
    const [top, bottom] = [from.y, to.y].map(held).sort((a, b) => a - b);
    if (right > left && bottom > top) change((object) => { object.box = [left, top, right, bottom]; });
  }

  function onDown(event) {
    if (event.button === 1) return;
    event.stopPropagation();
    const from = at(event);
    if (!from.inside || trouble || locked) return;
    view.element.focus({ preventScroll: true });
    view.element.setPointerCapture(event.pointerId);
    press = { from, to: from, takes: event.button === 2 || event.altKey || taking };
  }

  function onMove(event) {
    if (!press) return;
    event.stopPropagation();
    press.to = at(event);
    view.redraw();
  }

  const isDrag = ({ from, to }) => Math.hypot(to.left - from.left, to.top - from.top) >= DRAG;

  function onUp(event) {
    if (!press) return;
    event.stopPropagation();
    const { from, to, takes } = press;
    const dragged = isDrag(press);
    press = null;
    if (dragged && !takes) setBox(from, to);
    else mark(from.x, from.y, from.left, from.top, takes);
  }

  function onKey(event) {
    const arrow = ARROWS[event.key];
    if (event.ctrlKey || event.metaKey) return;
    const acts = { Enter: () => setAtCross(taking || event.altKey), " ": () => setAtCross(taking || event.altKey), "-": () => setAtCross(true), b: boxAtCross, n: next };
    const act = acts[event.key.length > 1 ? event.key : event.key.toLowerCase()];
    if (!arrow && !act) return;
    event.preventDefault();
    event.stopPropagation(); // the page moves the node, or the graph, with these keys
    if (arrow) {
      const step = event.shiftKey ? LARGE_STEP : STEP;
      const held = (value) => Math.min(100, Math.max(0, value));
      cross = { x: held(cross.x + arrow[0] * step), y: held(cross.y + arrow[1] * step) };
      status.textContent = say("pick.cross", cross);
      view.redraw();
    } else act();
  }

  const setAtCross = (takes) => mark(cross.x, cross.y, ...place(cross), takes);

  /** The first time a corner, the second time the box. */
  function boxAtCross() {
    if (corner) setBox(corner, cross);
    corner = corner ? null : { ...cross };
    view.redraw();
  }

  function next() {
    chosen = (chosen + 1) % (objects().length + 1);
    refresh();
  }

  function draw(pen) {
    if (found.picks === widget()?.value && foundOn === which()) {
      const { width, height } = size();
      found.draw(pen, view.x(0), view.y(0), width * view.scale, height * view.scale);
    }
    objects().forEach(({ points, box }, index) => {
      pen.globalAlpha = index === chosen ? 1 : 0.55;
      if (box) outline(pen, { x: box[0], y: box[1] }, { x: box[2], y: box[3] }, colourOf(index), []);
      for (const point of points) dot(pen, ...place(point), colourOf(index), point.add);
    });
    pen.globalAlpha = 1;
    if (press && isDrag(press) && !press.takes) outline(pen, press.from, press.to, colourOf(chosen), [5, 4]);
    if (corner) outline(pen, corner, cross, colourOf(chosen), [5, 4]);
    if (view.element.matches(":focus-visible")) target(pen, ...place(cross));
  }

  function outline(pen, from, to, colour, dash) {
    const [[left, top], [right, bottom]] = [place(from), place(to)];
    pen.setLineDash(dash);
    for (const [width, style] of [[4, "rgb(0 0 0 / 60%)"], [2, colour]]) {
      pen.lineWidth = width;
      pen.strokeStyle = style;
      pen.strokeRect(left, top, right - left, bottom - top);
    }
    pen.setLineDash([]);
  }

  view.live(lifetime);
  watch(lifetime, told, (ran) => {
    foundOn = which();
    found.show(ran);
  });
  watch(lifetime, () => [widget()?.value, isConnected(node, name)], () => {
    refresh();
    if (widget()?.value !== written && chosen && !objects()[chosen]) { // written anew elsewhere, or undone
      chosen = Math.max(0, objects().length - 1);
      refresh();
    }
  });
  lifetime.listen(view.element, "pointerdown", onDown);
  lifetime.listen(view.element, "pointermove", onMove);
  lifetime.listen(view.element, "pointerup", onUp);
  lifetime.listen(view.element, "pointercancel", () => { press = null; view.redraw(); });
  lifetime.listen(view.element, "contextmenu", (event) => { event.preventDefault(); event.stopPropagation(); });
  lifetime.listen(view.element, "keydown", onKey);
  for (const event of ["focus", "blur"]) lifetime.listen(view.element, event, () => view.redraw());
  lifetime.listen(named, "change", () => {
    const name = cleanName(named.value);
    if (objects()[chosen] && name) change((object) => { object.name = name; });
  });
  lifetime.listen(named, "keydown", (event) => event.stopPropagation());
}

function dot(pen, x, y, colour, add) {
  pen.beginPath();
  pen.arc(x, y, RADIUS, 0, 2 * Math.PI);
  pen.fillStyle = add ? colour : "#1a1a1a";
  pen.fill();
  pen.lineWidth = 2;
  pen.strokeStyle = add ? "#fff" : colour;
  pen.stroke();
  pen.beginPath();
  pen.moveTo(x - 3, y);
  pen.lineTo(x + 3, y);
  if (add) {
    pen.moveTo(x, y - 3);
    pen.lineTo(x, y + 3);
  }
  pen.strokeStyle = "#fff";
  pen.stroke();
}

/** Where the keyboard is. */
function target(pen, x, y) {
  for (const [width, style] of [[3, "rgb(0 0 0 / 70%)"], [1, "#fff"]]) {
    pen.lineWidth = width;
    pen.strokeStyle = style;
    pen.beginPath();
    for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
      pen.moveTo(x + 4 * dx, y + 4 * dy);
      pen.lineTo(x + 14 * dx, y + 14 * dy);
    }
    pen.stroke();
  }
}
