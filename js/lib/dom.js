/** Small helpers for the page. Text only ever becomes text: nothing here parses HTML. */

/**
 * An element with properties and children (strings become text nodes).
 * `data` sets data attributes, `aria` ARIA ones, `style` CSS properties.
 */
export function element(tag, { data, aria, style, ...properties } = {}, ...children) {
  const made = document.createElement(tag);
  Object.assign(made, properties);
  Object.assign(made.dataset, data);
  for (const [name, value] of Object.entries(aria ?? {})) made.setAttribute(`aria-${name}`, value);
  for (const [name, value] of Object.entries(style ?? {})) made.style.setProperty(name, value);
  made.append(...children);
  return made;
}

/** Loads the pack's style sheet, once. */
export function loadStyles() {
  const href = new URL("../isi.css", import.meta.url).href;
  if (document.querySelector(`link[href="${href}"]`)) return;
  document.head.append(element("link", { rel: "stylesheet", href }));
}

/** Calls `act` when the page has drawn `count` more frames. */
export function afterFrames(count, act) {
  requestAnimationFrame(() => (count > 1 ? afterFrames(count - 1, act) : act()));
}

/** Seconds as `0:07`, `12:34` or `1:02:03`. */
export function clock(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const two = (n) => String(n).padStart(2, "0");
  return h ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
}
