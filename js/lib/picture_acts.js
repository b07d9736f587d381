/** What one can do with a finished picture besides looking at it: save, copy, open, drag it somewhere. */
import { element } from "./dom.js";

/** Browsers let pages copy pictures only over a safe connection: from this machine, or over https. */
export const canCopy = () => Boolean(navigator.clipboard?.write && window.ClipboardItem);

const nameOf = ({ run, picture }) => `${run}-${picture.filename}`;

export function savePicture(item) {
  element("a", { href: item.full, download: nameOf(item) }).click();
}

export async function copyPicture(item) {
  const picture = fetch(item.full).then((answer) => answer.blob());
  await navigator.clipboard.write([new ClipboardItem({ "image/png": picture })]);
}

export function openPicture(item) {
  window.open(item.full, "_blank", "noopener");
}

/** Lets `event` (dragstart) carry the picture: onto Load Image, which copies it into input, or out of the page. */
export function dragPicture(event, item, shown) {
  const address = new URL(item.full, location.href).href;
  event.dataTransfer.effectAllowed = "copy";
  event.dataTransfer.setData("text/uri-list", address);
  event.dataTransfer.setData("text/plain", address);
  event.dataTransfer.setData("DownloadURL", `image/png:${nameOf(item)}:${address}`);
  event.dataTransfer.setDragImage(shown, 16, 16);
}
