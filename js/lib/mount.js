import { afterFrames } from "./dom.js";
import { whileInGraph } from "./lifetime.js";

/**
 * `node.addDOMWidget`, made to survive a reload of the graph in Nodes 2.0.
 *
 * When a graph is loaded again (open, undo), Nodes 2.0 keeps what it drew for a node of the same id, with the element of
 * the node that is gone. The new one's takes its place.
 */
export function addElement(node, name, type, root, options) {
  const widget = node.addDOMWidget(name, type, root, options);
  root.dataset.isiWidget = type;
  if (!node.widgets.includes(widget)) keepOutside(node, widget, root, options);
  whileInGraph(node, (lifetime) => {
    delete root.dataset.isiEnded;
    lifetime.atEnd(() => {
      root.dataset.isiEnded = "";
    });
    afterFrames(2, () => { // the page has by then drawn what changed before
      if (lifetime.signal.aborted || root.isConnected) return;
      document
        .querySelector(`[data-node-id="${CSS.escape(node.id)}"] [data-isi-widget="${type}"][data-isi-ended]`)
        ?.replaceWith(root);
    });
  });
  return widget;
}

/** Older pages ask a subgraph node for the widgets of its inputs alone. */
function keepOutside(node, widget, root, options) {
  const own = Object.getOwnPropertyDescriptor(node, "widgets");
  Object.defineProperty(node, "widgets", { ...own, get() { return [...own.get.call(this), widget]; } });
  whileInGraph(node, async (lifetime) => (await import("./outside.mjs")).keepBelow(node, root, options, lifetime));
}

/** What a node shows and no graph saves; `options` say how high it is. */
export function addPanel(node, type, root, options) {
  const widget = addElement(node, type, type, root, {
    serialize: false, hideOnZoom: false, getValue: () => "", setValue: () => {}, ...options,
  });
  widget.serialize = false;
  return widget;
}
