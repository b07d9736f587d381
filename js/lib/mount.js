import { afterFrames } from "./dom.js";
import { whileInGraph } from "./lifetime.js";

/**
 * `node.addDOMWidget`, made to survive a reload of the graph in Nodes 2.0.
 *
 * When a graph is loaded again (open, undo), Nodes 2.0 keeps what it drew for a node of the same id, and with it
 * the element of the node that is gone. The new node's element takes that place.
 */
export function addElement(node, name, type, root, options) {
  const widget = node.addDOMWidget(name, type, root, options);
  root.dataset.isiWidget = type;
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

/** What a node shows and no graph saves; `options` say how high it is. */
export function addPanel(node, type, root, options) {
  const widget = addElement(node, type, type, root, {
    serialize: false, hideOnZoom: false, getValue: () => "", setValue: () => {}, ...options,
  });
  widget.serialize = false;
  return widget;
}
