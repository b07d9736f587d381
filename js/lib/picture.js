/** The picture that comes into a node, and a drawing over it: what widgets that work on a picture share. */
import { api } from "../../../scripts/api.js";
import { app } from "../../../scripts/app.js";
import { element } from "./dom.js";
import { outputsOf, sourceOf, widgetValue } from "./source.js";
import { watch } from "./watch.js";

const LOADERS = ["LoadImage", "LoadImageOutput"];
/** The drawing's longest side in device pixels. */
const LARGEST = 2048;
/** From this enlargement on a picture's own pixels are shown, not a blur of them. */
const PIXELATED = 4;

/** The address of a picture on the server; `small` asks for a light copy of it. */
export function pictureUrl({ filename, subfolder = "", type = "output" }, small = false) {
  const query = new URLSearchParams({ filename, subfolder, type, ...(small && { preview: "webp;75" }) });
  return api.apiURL(`/view?${query}`);
}

/** The address of a file as a loader's widget names it: `name.png`, `folder/name.png`, `name.png [output]`. */
export function fileUrl(value) {
  const parts = String(value).split("/");
  return pictureUrl({ filename: parts.pop(), subfolder: parts.join("/"), type: "input" });
}

/** The address of the picture that comes into the input `name` of `node`, where the page knows it; else null. */
export const inputPicture = (node, name = "image", path = undefined) => pictureFrom(sourceOf(node, name, path));

/** The address of the picture that a source gives, where the page knows it; else null. */
export function pictureFrom(source) {
  if (source?.node.outputs[source.slot]?.type !== "IMAGE") return null;
  const file = LOADERS.includes(source.node.comfyClass) && widgetValue(source, "image");
  if (file) return fileUrl(file);
  const shown = outputsOf(source)?.images?.[0];
  return shown ? pictureUrl(shown) : null;
}

const wholePicture = (size) => size && { x: 0, y: 0, ...size };

/**
 * The mask that comes into the input `name` of `node`, where the page knows it; else null: `{url, channel, inverted}`,
 * with the channel of the picture there that holds it (0 to 3, red to alpha), from 0 to 255.
 */
export function inputMask(node, name = "mask", path = undefined) {
  const source = sourceOf(node, name, path);
  if (source?.node.outputs[source.slot]?.type !== "MASK") return null;
  if (source.node.comfyClass === "InvertMask") {
    const mask = inputMask(source.node, "mask", source.path);
    return mask && { ...mask, inverted: !mask.inverted };
  }
  if (source.node.comfyClass === "ImageToMask") {
    return channelOf(inputPicture(source.node, "image", source.path), widgetValue(source, "channel"), false);
  }
  const file = [...LOADERS, "LoadImageMask"].includes(source.node.comfyClass) && widgetValue(source, "image");
  if (!file) return null;
  return channelOf(fileUrl(file), LOADERS.includes(source.node.comfyClass) ? "alpha" : widgetValue(source, "channel"), true);
}

/** The mask of a picture's channel, as the host's loaders read it: of transparency, the transparent is 1. */
function channelOf(url, name, alphaInverted) {
  const channel = ["red", "green", "blue", "alpha"].indexOf(name);
  if (!url || channel < 0) return null;
  if (channel === 3) return { url, channel, inverted: alphaInverted };
  return { url: `${url}&channel=rgb`, channel, inverted: false }; // colours that no transparency has darkened
}

/**
 * The picture at an input of a node, fitted into `element`, with a drawing over it.
 *
 * A view shows a part of the plane that the picture lies on, in the picture's pixels: `scene(size)` gives it as
 * `{x, y, width, height}` (the picture itself is 0, 0, its width, its height; more than that is room round it), for
 * a `size` that is null as long as no picture is known. Without a scene nothing is drawn.
 * `draw(pen, view)` draws: `pen` is a 2D context in units of the element (CSS pixels), and `view.x`, `view.y` and
 * `view.scale` take the picture's pixels there. `changed(view)` is called when the picture is another one.
 * `find()` gives the picture's address, or null; without it, it is the one at the input `image`. `drawn()` gives the
 * size at which the picture lies in the scene, or null for its own.
 */
export class PictureView {
  /** `{width, height}` of the picture in its own pixels; null as long as it is not known. */
  size = null;
  /** Units of the element per pixel of the picture. */
  scale = 1;
  /** `none`, `loading`, `shown` or `failed`. */
  state = "none";
  #origin = [0, 0];
  /** The `img` itself; its pixels can be read while the state is `shown`. */
  image = element("img", { className: "isi-picture-image", alt: "", draggable: false, decoding: "async" });
  #canvas = element("canvas", { className: "isi-picture-over", aria: { hidden: "true" } });
  #options;
  #frame = 0;

  constructor(node, { find = () => inputPicture(node), scene = wholePicture, drawn, draw, changed }) {
    this.#options = { find, scene, drawn, draw, changed };
    this.element = element("div", { className: "isi-picture" }, this.image, this.#canvas);
  }

  /** Follows the source of the picture and the size of the element as long as `lifetime` lasts. */
  live(lifetime) {
    lifetime.listen(this.image, "load", () => {
      const { naturalWidth: width, naturalHeight: height } = this.image;
      this.#become("shown", { width, height });
    });
    lifetime.listen(this.image, "error", () => {
      if (this.state !== "loading") return;
      // What a browser can't show (TIFF, for one) the server may be able to turn into what it can.
      if (!this.image.src.includes("&preview=")) this.image.src += "&preview=jpeg;85";
      else this.#become("failed", null);
    });
    watch(lifetime, this.#options.find, (url) => this.#load(url));
    watch(lifetime, () => Math.round(this.#density() * 100), () => this.redraw());
    const resized = new ResizeObserver(() => this.redraw());
    resized.observe(this.element);
    lifetime.atEnd(() => {
      resized.disconnect();
      cancelAnimationFrame(this.#frame);
      this.#frame = 0;
      this.image.removeAttribute("src");
      this.#canvas.width = this.#canvas.height = 0;
      Object.assign(this, { state: "none", size: null });
    });
  }

  /** Draws again with the next frame. */
  redraw() {
    this.#frame ||= requestAnimationFrame(() => {
      this.#frame = 0;
      this.#draw();
    });
  }

  /** Across: pixels of the picture to units of the element. */
  x(across) {
    return this.#origin[0] + across * this.scale;
  }

  /** Down: pixels of the picture to units of the element. */
  y(down) {
    return this.#origin[1] + down * this.scale;
  }

  #load(url) {
    if (url) this.image.src = url + app.getRandParam(); // a file may have been written anew under its name
    else this.image.removeAttribute("src");
    this.#become(url ? "loading" : "none", url ? this.size : null);
  }

  #become(state, size) {
    this.state = state;
    this.size = size;
    this.#options.changed?.(this);
    this.#draw(); // in its place before it is seen
    this.image.hidden = !size;
  }

  /** Device pixels per unit of the element: the screen's, times how far the canvas is zoomed in. */
  #density() {
    const { clientWidth } = this.element;
    const zoom = clientWidth ? this.element.getBoundingClientRect().width / clientWidth : 1;
    return window.devicePixelRatio * zoom;
  }

  #draw() {
    const { clientWidth: width, clientHeight: height } = this.element;
    if (!width || !height) return;
    const scene = this.#options.scene(this.size);
    const density = Math.min(this.#density(), LARGEST / Math.max(width, height));
    this.#canvas.width = Math.max(1, Math.round(width * density));
    this.#canvas.height = Math.max(1, Math.round(height * density));
    if (!scene) return;
    this.scale = Math.min(width / scene.width, height / scene.height);
    this.#origin = [
      (width - scene.width * this.scale) / 2 - scene.x * this.scale,
      (height - scene.height * this.scale) / 2 - scene.y * this.scale,
    ];
    if (this.size) {
      const { style } = this.image;
      style.left = `${this.x(0)}px`;
      style.top = `${this.y(0)}px`;
      const { width: across, height: down } = this.#options.drawn?.() ?? this.size;
      style.width = `${across * this.scale}px`;
      style.height = `${down * this.scale}px`;
      style.imageRendering = this.scale >= PIXELATED ? "pixelated" : "auto";
    }
    const pen = this.#canvas.getContext("2d");
    pen.scale(density, density);
    this.#options.draw?.(pen, this);
  }
}
