/**
 * Colours of the script, of notes and of errors that can be read in every theme, the user's own too: each is moved
 * towards white or black until it stands out from what it may lie on.
 */
import { element } from "./dom.js";

/** WCAG 2.2, 1.4.3 asks for 4.5; rounding to whole levels takes a little. */
const CONTRAST = 4.7;
const WISHED = { global: [[124, 183, 255], [18, 88, 176]], weight: [[240, 163, 94], [160, 77, 0]], setting: [[143, 207, 122], [44, 107, 22]], mark: [[229, 127, 179], [163, 32, 95]] };
/** Notes and errors, which stand on the node itself too, and in the sidebar. */
const ON_NODES = { quiet: [[153, 153, 153], [85, 85, 85]], error: [[255, 107, 107], [176, 0, 32]] };
/** What the editor's field is filled with in the classic renderer and in Nodes 2.0. */
const FIELDS = ["var(--comfy-input-bg, #222)", "var(--component-node-widget-background, var(--comfy-input-bg, #222))"];

/** Relative luminance of `[red, green, blue]`, 0..255, after WCAG. */
function luminance(colour) {
  const [red, green, blue] = colour.map((level) => (level / 255 <= 0.04045 ? level / 255 / 12.92 : ((level / 255 + 0.055) / 1.055) ** 2.4));
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

/** How much two colours stand out from each other: 1 to 21. */
export function contrast(one, other) {
  const [low, high] = [luminance(one), luminance(other)].sort((a, b) => a - b);
  return (high + 0.05) / (low + 0.05);
}

/** `colour`, mixed with white or black as far as it has to be to be read on all of `fields`. */
export function readable(colour, fields, towards) {
  for (let share = 0; share <= 1; share += 0.02) {
    const mixed = colour.map((level) => Math.round(level + (towards - level) * share));
    if (fields.every((field) => contrast(mixed, field) >= CONTRAST)) return mixed;
  }
  return [towards, towards, towards];
}

/** The colour that a CSS colour comes to, `[red, green, blue]`. */
function resolved(probe, colour) {
  probe.style.backgroundColor = colour;
  const canvas = new OffscreenCanvas(1, 1).getContext("2d");
  canvas.fillStyle = getComputedStyle(probe).backgroundColor;
  canvas.fillRect(0, 0, 1, 1);
  return [...canvas.getImageData(0, 0, 1, 1).data.slice(0, 3)];
}

function choose() {
  const probe = element("div", { hidden: true });
  document.body.append(probe);
  const fields = FIELDS.map((field) => resolved(probe, field));
  const nodes = [LiteGraph.NODE_DEFAULT_BGCOLOR, "var(--component-node-background, var(--comfy-menu-bg, #353535))", "var(--comfy-menu-bg, #222)"];
  const grounds = [...fields, ...nodes.map((node) => resolved(probe, node))];
  probe.remove();
  const isLight = Math.min(...fields.map((field) => contrast(field, [255, 255, 255]))) < Math.min(...fields.map((field) => contrast(field, [0, 0, 0])));
  const root = document.documentElement;
  for (const [name, [onDark, onLight]] of Object.entries({ ...WISHED, ...ON_NODES })) {
    const under = name in ON_NODES ? grounds : fields;
    const colour = `rgb(${readable(isLight ? onLight : onDark, under, isLight ? 0 : 255).join(" ")})`;
    if (root.style.getPropertyValue(`--isi-${name}`) !== colour) root.style.setProperty(`--isi-${name}`, colour);
  }
}

/** Chooses the colours now and whenever the page gets another theme. */
export function followTheme() {
  choose();
  let frame = 0;
  const later = () => {
    frame ||= requestAnimationFrame(() => {
      frame = 0;
      choose();
    });
  };
  const observer = new MutationObserver(later);
  for (const target of [document.documentElement, document.body]) observer.observe(target, { attributes: true, attributeFilter: ["style", "class"] });
}
