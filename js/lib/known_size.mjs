/** How large a picture or a latent will be, as far as the page can tell before a run. */
import { pictureFrom } from "./picture.js";
import { isConnected, sourceOf, widgetValue } from "./source.js";
import { targetSize } from "./tiles.mjs";

const LONGEST = 100;
/** Pixels of which a VAE of nearly every model makes one latent cell; it cuts pictures to multiples of this. */
const CELL = 8;
const BY_PICTURE = { IMAGE: ["image", "pixels", "samples"], LATENT: ["pixels", "image", "samples", "latent_image", "latent"] };
/** Nodes that change the size, and how: what their widgets say becomes a step `[what, ...numbers]`. */
const STEPS = {
  ImageScale: (value) => ["fit", value("width"), value("height")],
  ImageScaleBy: (value) => ["by", value("scale_by")],
  LatentUpscale: (value) => ["fit", value("width"), value("height")],
  LatentUpscaleBy: (value) => ["by", value("scale_by")],
  ISI_UpscaleImage: (value) => ["target", value("factor"), value("height"), value("width")],
};
/** Nodes whose picture is as large as the one that comes in. Latents keep their size through all other nodes. */
const KEEP = ["ImageInvert", "ImageSharpen", "ImageBlur", "ISI_Equalize", "VAEDecode", "VAEDecodeTiled", "ISI_TiledVAEDecode"];

/**
 * What a source gives: `{url, size, steps}` with the address of the picture that its size is that of, or the `size`
 * `[height, width]` itself, and the steps that change it; null where the page does not know.
 */
export function knownSize(source, left = LONGEST) {
  if (!source || !left) return null;
  const { node, path } = source;
  const type = node.outputs[source.slot]?.type;
  const value = (name) => widgetValue(source, name);
  const url = pictureFrom(source);
  if (url) return { url, size: null, steps: [] };
  const names = BY_PICTURE[type]?.filter((name) => isConnected(node, name));
  if (!names) return null;
  if (!names.length) {
    const size = [value("height"), value("width")];
    return size.every((side) => side > 0) ? { url: null, size, steps: [] } : null;
  }
  const step = STEPS[node.comfyClass]?.(value);
  if (type === "IMAGE" && !step && !KEEP.includes(node.comfyClass)) return null;
  const before = knownSize(sourceOf(node, names[0], path), left - 1);
  if (!before) return null;
  const steps = step ? [step] : [];
  if (type === "LATENT") steps.push(["cells"]);
  return { ...before, steps: [...before.steps, ...steps] };
}

const APPLY = {
  by: ([height, width], by) => [Math.round(height * by), Math.round(width * by)],
  fit: (size, width, height) => (width || height ? targetSize(...size, 1, height, width) : size),
  target: (size, factor, height, width) => targetSize(...size, factor, height, width),
  cells: (size) => size.map((side) => Math.max(CELL, Math.floor(side / CELL) * CELL)),
};

/** The size `[height, width]` of what `known` describes; `natural` is that of its picture. Null if it is not known. */
export function sizeOf({ size, steps }, natural) {
  return steps.reduce((now, [what, ...numbers]) => now && APPLY[what](now, ...numbers), size ?? natural);
}
