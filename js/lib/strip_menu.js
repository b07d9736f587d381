/** The menu of a thumbnail: a short list beside the pointer, for mouse and keyboard. */
import { element } from "./dom.js";
import { Lifetime } from "./lifetime.js";

/** Opens a menu of `entries` (`[text, act]`) at `[x, y]` of the window; it goes when something is chosen or left. */
export function openMenu([x, y], label, entries) {
  const lifetime = new Lifetime();
  const before = document.activeElement;
  const items = entries.map(([text]) => element("button", { type: "button", className: "isi-menu-item", tabIndex: -1 }, text));
  for (const item of items) item.setAttribute("role", "menuitem");
  const menu = element("div", { className: "isi-menu", aria: { label } }, ...items);
  menu.setAttribute("role", "menu");

  function close(back = true) {
    lifetime.end();
    menu.remove();
    if (back) before?.focus?.({ preventScroll: true });
  }

  function walk(event) {
    event.stopPropagation(); // the page's own shortcuts must not act behind the menu
    const at = items.indexOf(document.activeElement);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: -1 }[event.key];
    if (event.key === "Escape" || event.key === "Tab") close();
    else if (to !== undefined) items.at(to % items.length).focus();
    else return;
    event.preventDefault();
  }

  lifetime.listen(menu, "keydown", walk);
  lifetime.listen(menu, "contextmenu", (event) => event.preventDefault());
  items.forEach((item, i) => lifetime.listen(item, "click", () => {
    close();
    entries[i][1]();
  }));
  lifetime.listen(window, "pointerdown", (event) => menu.contains(event.target) || close(false), { capture: true });
  lifetime.listen(window, "wheel", () => close(false), { capture: true });
  lifetime.listen(window, "blur", () => close(false));
  document.body.append(menu);
  menu.style.left = `${Math.max(0, Math.min(x, window.innerWidth - menu.offsetWidth - 4))}px`;
  menu.style.top = `${Math.max(0, Math.min(y, window.innerHeight - menu.offsetHeight - 4))}px`;
  items[0]?.focus({ preventScroll: true });
}
