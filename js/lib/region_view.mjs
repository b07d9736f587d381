/** The regions of ISI Regions over the picture, before any run: as the widgets say, numbered, with their words. */
import { choiceBraces } from "./choices.js";
import { downstream } from "./downstream.mjs";
import { element } from "./dom.js";
import { knownSize, sizeOf } from "./known_size.mjs";
import { PictureView, pictureFrom, pictureUrl } from "./picture.js";
import { readPrompt } from "./prompts.js";
import { MOST_REGIONS, readRatios, regionBoxes, regionPixels } from "./region_masks.mjs";
import { parse, ScriptError } from "./script.js";
import { TextError } from "./script_text.js";
import { isConnected, outputsOf, pathTo, sourceOf, widgetValue } from "./source.js";
import { watch } from "./watch.js";
import { say } from "./words.js";

/** The masks are drawn in so many pixels a side, and stretched over the picture, as the node's own are. */
const SIDE = 256;
const BLANK = { width: 512, height: 512 };
/** How thickly the colours lie over a picture, and over nothing. */
const [OVER_PICTURE, ALONE] = [0.45, 0.8];
const LEAST_ROOM = 16;
const LATENTS = ["latent_image", "samples", "latent"];

/** Shows the regions of `node` in `root` as long as `lifetime` lasts. */
export function showRegions(node, root, lifetime) {
  const map = element("canvas");
  /** The regions as the last run had them: what is shown where the page can't compute them. */
  const ran = element("img", { alt: "" });
  const status = element("div", { className: "isi-regions-status", role: "status" });
  const view = new PictureView(node, { find: () => place.url, scene: (size) => ({ x: 0, y: 0, ...(size ?? frame()) }), draw, changed: () => tell() });
  view.element.setAttribute("role", "img");
  root.replaceChildren(view.element, status);
  let place = { url: null };
  let asked = {};
  let rows = [];
  let fault = "";

  const frame = () => {
    const size = place.known && sizeOf(place.known, null);
    return size ? { width: size[1], height: size[0] } : BLANK;
  };

  function draw(pen) {
    const { width, height } = view.size ?? frame();
    const [left, top, wide, high] = [view.x(0), view.y(0), width * view.scale, height * view.scale];
    pen.globalAlpha = view.state === "shown" ? OVER_PICTURE : ALONE;
    if (rows.length) pen.drawImage(map, left, top, wide, high);
    else if (asked.run && ran.naturalWidth) pen.drawImage(ran, left, top, wide, high);
    pen.globalAlpha = 1;
    regionBoxes(rows).forEach((box, i) => {
      const [x, y, w, h] = [left + box.x * wide, top + box.y * high, box.width * wide, box.height * high];
      border(pen, x, y, w, h);
      if (Math.min(w, h) >= LEAST_ROOM) write(pen, i, x + w / 2, y + h / 2, w - 6, h);
    });
  }

  function write(pen, index, x, y, room, height) {
    const words = height >= 3 * LEAST_ROOM ? wordsOf(index) : "";
    pen.textAlign = "center";
    pen.textBaseline = "middle";
    outlined(pen, String(index + 1), "600 14px system-ui, sans-serif", x, words ? y - 8 : y);
    outlined(pen, fitted(pen, words, room), "11px system-ui, sans-serif", x, y + 8);
  }

  const wordsOf = (index) => asked.parts?.[index + (asked.base > 0 ? 1 : 0)] ?? "";

  /** Says what there is, and what is wrong with it. */
  function tell() {
    const { parts, base, run } = asked;
    const wanted = rows.length ? regionBoxes(rows).length : 0;
    const expected = wanted + (base > 0 ? 1 : 0);
    const other = wanted && parts && parts.length !== expected;
    status.classList.toggle("isi-wrong", Boolean(fault || other));
    status.textContent = fault || (other && say("regions.parts", { count: parts.length, wanted: expected }))
      || (run !== undefined ? say(run ? "regions.as_run" : "regions.after_run") : say("regions.count", { count: wanted }));
    const named = Array.from({ length: wanted }, (_, i) => [i + 1, wordsOf(i)].filter(Boolean).join(" "));
    view.element.setAttribute("aria-label", [say("regions.label"), ...named].join("; "));
    view.redraw();
  }

  function colour(now) {
    asked = now;
    rows = [];
    fault = "";
    if (now.run === undefined) {
      try {
        rows = readRatios(now.ratios);
      } catch (error) {
        if (!(error instanceof RangeError)) throw error;
        fault = error.message === "many" ? say("regions.many", { most: MOST_REGIONS }) : say("regions.unreadable");
      }
    } else if (now.run) {
      ran.src = now.run;
    }
    if (rows.length) {
      map.width = map.height = SIDE;
      map.getContext("2d").putImageData(new ImageData(regionPixels(rows, SIDE, SIDE, now.feather), SIDE), 0, 0);
    }
    tell();
  }

  lifetime.listen(ran, "load", () => view.redraw());
  watch(lifetime, () => placeOf(node), (now) => {
    place = now;
    tell();
  });
  view.live(lifetime);
  watch(lifetime, () => settings(node), colour);
}

/** What the widgets say: `{ratios, base, feather, parts}`, with `run` in place of ratios that only a run knows. */
function settings(node) {
  const source = { node, path: pathTo(node.graph) ?? [] };
  const [ratios, base, feather] = ["ratios", "base", "feather"].map((name) => widgetValue(source, name));
  const parts = partsOf(textOf(source));
  if (!isConnected(node, "masks") && [ratios, feather].every((value) => value !== undefined)) return { ratios: String(ratios), base, feather, parts };
  const [made] = outputsOf(source)?.images ?? [];
  return { run: made ? pictureUrl(made) : null, base, parts };
}

/** The text that is cut: the node's own, else the first prompt of the loop that it is connected to; null for none. */
function textOf(source) {
  const own = widgetValue(source, "text");
  if (own === undefined || own.trim()) return own ?? null;
  for (const { node: loop, path } of downstream(source.node, [0], source.path)) {
    const script = loop.comfyClass === "ISI_Iterate" && sourceOf(loop, "plan", path);
    if (script?.node.comfyClass !== "ISI_Script") continue;
    try {
      const { global, groups } = parse(widgetValue(script, "script") ?? "");
      return groups.length ? [global, groups[0].text].filter(Boolean).join(", ") : null;
    } catch (error) {
      if (!(error instanceof ScriptError)) throw error;
      return null;
    }
  }
  return null;
}

/** Its first part (AND) cut at BREAK; null for none, and where only the server knows how often it is cut. */
function partsOf(text) {
  if (!text?.trim() || text.includes("__")) return null;
  try {
    const { schedules, parts, breaks } = readPrompt(text);
    const drawn = [...choiceBraces(text).values(), ...schedules];
    if (drawn.some(({ start, end }) => breaks.some((at) => start < at && at < end))) return null;
    const last = parts[0]?.at ?? parts[1]?.and ?? text.length;
    const ends = [...breaks.filter((at) => at < last), last];
    return ends.map((end, i) => text.slice(i ? ends[i - 1] + "BREAK".length : 0, end).trim());
  } catch (error) {
    if (!(error instanceof TextError)) throw error;
    return null;
  }
}

/**
 * `{url, known}`: the picture that the regions lie on, the last that a run made with them, else the one that it begins
 * with; and what is known of its size where there is none.
 */
function placeOf(node) {
  let start = null;
  for (const { node: next, path } of downstream(node, [0, 1])) {
    const shown = outputsOf({ node: next })?.images?.at(-1);
    if (shown) return { url: pictureUrl(shown), known: null };
    start ??= startOf(next, path);
  }
  return { url: start?.url ?? null, known: start };
}

function startOf(next, path) {
  if (next.comfyClass === "ISI_Iterate") {
    if (isConnected(next, "image")) return { url: pictureFrom(sourceOf(next, "image", path)), size: null, steps: [] };
    const size = ["height", "width"].map((name) => widgetValue({ node: next, path }, name));
    return size.every((side) => side > 0) ? { url: null, size, steps: [] } : null;
  }
  const latent = LATENTS.find((name) => isConnected(next, name));
  return latent ? knownSize(sourceOf(next, latent, path)) : null;
}

function border(pen, ...box) {
  pen.lineWidth = 1;
  pen.strokeStyle = "rgb(255 255 255 / 60%)";
  pen.strokeRect(...box);
}

function outlined(pen, text, font, x, y) {
  pen.font = font;
  pen.lineWidth = 3;
  pen.strokeStyle = "rgb(0 0 0 / 75%)";
  pen.fillStyle = "#fff";
  pen.strokeText(text, x, y);
  pen.fillText(text, x, y);
}

/** As much of the start of `text` as has room. */
function fitted(pen, text, room) {
  pen.font = "11px system-ui, sans-serif";
  const letters = [...text.slice(0, 80)];
  if (letters.length === text.length && pen.measureText(text).width <= room) return text;
  let kept = letters.length;
  while (kept && pen.measureText(`${letters.slice(0, kept).join("")}…`).width > room) kept -= 1;
  return kept ? `${letters.slice(0, kept).join("")}…` : "";
}
