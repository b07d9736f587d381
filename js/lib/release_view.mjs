/** The heat map of ISI Differential Diffusion: at which step each pixel of its mask is released, before any run. */
import { element } from "./dom.js";
import { inputMask, PictureView } from "./picture.js";
import { heat, releaseSteps, STEPS, thresholds } from "./release.mjs";
import { isConnected, sourceOf, widgetValue } from "./source.js";
import { watch } from "./watch.js";
import { say } from "./words.js";

/** A mask is looked at in at most this many pixels a side. */
const LARGEST = 512;
/** What the node itself shows without a mask: from black to white. */
const RAMP = { width: 512, height: 128 };
/** Nodes that put their mask into the LATENT that they give. */
const MASKED_LATENTS = ["SetLatentNoiseMask", "InpaintModelConditioning"];

const valueOf = (node, name) => widgetValue({ node, path: [] }, name);

/** The mask that the node would show: its own, else the one of the latent that it is to keep. */
function shownMask(node) {
  if (isConnected(node, "mask")) return inputMask(node, "mask");
  const latent = sourceOf(node, "original");
  return latent && MASKED_LATENTS.includes(latent.node.comfyClass) ? inputMask(latent.node, "mask", latent.path) : null;
}

/** How many steps the schedule at `sigmas` has, and whether it is the one that the page computes with. */
function schedule(node, mode) {
  if (!isConnected(node, "sigmas")) return { steps: STEPS, exact: false };
  const source = sourceOf(node, "sigmas");
  const steps = source && Number(widgetValue(source, "steps"));
  if (!(steps >= 1)) return { steps: STEPS, exact: false };
  const normal = source.node.comfyClass === "BasicScheduler" && widgetValue(source, "scheduler") === "normal";
  return { steps, exact: mode === "step" || (mode === "timestep" && normal) };
}

/** Shows the heat map of `node` in `root` as long as `lifetime` lasts. */
export function showRelease(node, root, lifetime) {
  const map = document.createElement("canvas");
  const bar = element("div", { className: "isi-heat-bar" });
  const never = element("div", { className: "isi-heat-never" });
  const [first, last] = [element("span"), element("span")];
  const legend = element("div", { className: "isi-heat-legend" }, bar, never, element("div", {}, first, last),
    element("span", {}, say("heat.never")));
  const note = element("div", { className: "isi-heat-note", role: "status" });
  const view = new PictureView(node, {
    find: () => shownMask(node)?.url ?? null,
    scene: (size) => ({ x: 0, y: 0, ...(size ?? RAMP) }),
    draw(pen) {
      const { width, height } = view.size ?? RAMP;
      pen.imageSmoothingEnabled = false;
      pen.drawImage(map, view.x(0), view.y(0), width * view.scale, height * view.scale);
    },
    changed: () => {
      greys = null;
      colour();
    },
  });
  view.element.classList.add("isi-heat-map");
  view.element.setAttribute("role", "img");
  view.element.setAttribute("aria-label", say("heat.label"));
  root.replaceChildren(view.element, legend, note);

  /** The mask's greys, 0..255, as large as they are shown; read once for each picture. */
  let greys = null;

  function readGreys() {
    const mask = shownMask(node);
    if (view.state === "shown" && mask) {
      const share = Math.min(1, LARGEST / Math.max(view.size.width, view.size.height));
      map.width = Math.max(1, Math.round(view.size.width * share));
      map.height = Math.max(1, Math.round(view.size.height * share));
      const pen = map.getContext("2d", { willReadFrequently: true });
      pen.drawImage(view.image, 0, 0, map.width, map.height);
      const { data } = pen.getImageData(0, 0, map.width, map.height);
      return Uint8Array.from({ length: data.length / 4 }, (_, i) => {
        const value = data[4 * i + mask.channel];
        return mask.inverted ? 255 - value : value;
      });
    }
    map.width = RAMP.width;
    map.height = 1;
    return Uint8Array.from({ length: RAMP.width }, (_, i) => Math.round((255 * i) / (RAMP.width - 1)));
  }

  function colour() {
    const mode = valueOf(node, "mode");
    const strength = valueOf(node, "strength");
    const { steps, exact } = schedule(node, mode);
    const released = releaseSteps(thresholds(mode, steps), strength);
    const colours = released.map((step) => heat(step, steps));
    greys ??= readGreys();
    const pixels = new Uint8ClampedArray(4 * greys.length).fill(255);
    for (let i = 0; i < greys.length; i++) {
      [pixels[4 * i], pixels[4 * i + 1], pixels[4 * i + 2]] = colours[greys[i]];
    }
    map.getContext("2d", { willReadFrequently: true }).putImageData(new ImageData(pixels, map.width), 0, 0);
    const stops = Array.from({ length: steps }, (_, step) => `rgb(${heat(step, steps)}) ${(100 * step) / steps}% ${(100 * (step + 1)) / steps}%`);
    bar.style.background = `linear-gradient(to right, ${stops})`;
    first.textContent = say("heat.first");
    last.textContent = steps.toLocaleString();
    note.textContent = [
      strength === 0 && say("heat.off"),
      !view.size && say(isConnected(node, "mask") ? "heat.unknown" : "heat.ramp"),
      say(exact ? "heat.exact" : mode === "calibrated" ? "heat.estimate_sd" : "heat.estimate", { count: steps }),
    ].filter(Boolean).join(" ");
    view.redraw();
  }

  view.live(lifetime);
  watch(lifetime, () => {
    const mode = valueOf(node, "mode");
    return [mode, valueOf(node, "strength"), schedule(node, mode), shownMask(node), isConnected(node, "mask")];
  }, () => {
    greys = null; // another channel of the same picture is another mask
    colour();
  });
}
