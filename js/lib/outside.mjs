/** What a subgraph node shows on a page whose Nodes 2.0 draws only the widgets of its inputs. */
import { everyTick } from "./watch.js";

/** Puts `root` below what Nodes 2.0 drew of `node`, as long as nothing else shows it. */
export function keepBelow(node, root, { getMinHeight }, lifetime) {
  if (lifetime.signal.aborted) return;
  everyTick(lifetime, () => {
    if (root.isConnected) return;
    const drawn = document.querySelector(`[data-node-id="${CSS.escape(node.id)}"] [data-testid="node-widgets"]`);
    if (!drawn) return;
    Object.assign(root.style, { gridColumn: "1 / -1", minHeight: `${getMinHeight()}px` });
    drawn.append(root);
  });
}
