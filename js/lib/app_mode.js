/** The strip in the page's App mode, which hides the graph and every node in it. */
import { app } from "../../../scripts/app.js";
import { element } from "./dom.js";
import { watch } from "./watch.js";

const isAppMode = () => Boolean(app.extensionManager._p?._s?.get("canvas")?.linearMode);

function panel() {
  const found = document.querySelector(".isi-app");
  if (found) return found;
  const made = element("div", { className: "isi-app" });
  document.body.append(made);
  return made;
}

/** Shows `holder`, the element of a node's widget, over the page as long as that is in App mode. */
export function showInAppMode(lifetime, holder) {
  let home = null;

  function back() {
    if (holder.closest(".isi-app")) {
      if (home?.isConnected) home.append(holder);
      else holder.remove(); // the page puts it into the node that it draws anew
    }
    home = null;
    const left = document.querySelector(".isi-app");
    if (left && !left.children.length) left.remove();
  }

  watch(lifetime, isAppMode, (inAppMode) => {
    if (!inAppMode) return back();
    home = holder.parentElement;
    panel().append(holder);
  });
  lifetime.atEnd(back);
}
