/** What the last run of ISI Pick found: the number of an object in each pixel, drawn as areas with an outline. */
import { element } from "./dom.js";
import { pictureUrl } from "./picture.js";

/** How thickly an object's colour lies on it, of 255. */
const AREA = 60;

export class FoundObjects {
  /** The picks that it was found by; null as long as nothing is known. */
  picks = null;
  #image = element("img", { alt: "" });
  #drawn = element("canvas");
  #changed;

  constructor(lifetime, colourOf, changed) {
    this.#changed = changed;
    lifetime.listen(this.#image, "load", () => {
      this.#paint(colourOf);
      changed();
    });
    lifetime.atEnd(() => this.#image.removeAttribute("src"));
  }

  /** Takes over what the node told, `{picks, found}`, or null. */
  show(ran) {
    this.picks = ran?.picks ?? null;
    this.#drawn.width = 0;
    if (ran) this.#image.src = pictureUrl(ran.found);
    this.#changed();
  }

  draw(pen, left, top, wide, high) {
    if (this.#drawn.width) pen.drawImage(this.#drawn, left, top, wide, high);
  }

  #paint(colourOf) {
    const { naturalWidth: width, naturalHeight: height } = this.#image;
    Object.assign(this.#drawn, { width, height });
    const pen = this.#drawn.getContext("2d", { willReadFrequently: true });
    pen.drawImage(this.#image, 0, 0);
    const pixels = pen.getImageData(0, 0, width, height);
    colour(pixels.data, width, (number) => rgb(colourOf(number - 1)));
    pen.putImageData(pixels, 0, 0);
  }
}

const rgb = (hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));

/** Turns numbers (in the red of RGBA `data`, lines of `width`) into colours: the rim of an object whole, the rest thin. */
function colour(data, width, colourOf) {
  const numbers = data.filter((_, at) => at % 4 === 0);
  const colours = new Map();
  numbers.forEach((number, at) => {
    if (number && !colours.has(number)) colours.set(number, colourOf(number));
    const x = at % width;
    const beside = [x > 0 && numbers[at - 1], x < width - 1 && numbers[at + 1], numbers[at - width], numbers[at + width]];
    const isRim = beside.some((other) => other !== number);
    data.set(number ? [...colours.get(number), isRim ? 255 : AREA] : [0, 0, 0, 0], 4 * at);
  });
}
