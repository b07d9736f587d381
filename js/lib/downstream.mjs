/** Where what a node gives goes on to: the other way round than source.js. */
import { isActive, pathTo } from "./source.js";

/** Nodes that are looked at: in a larger graph what is further away is not found. */
const MOST = 300;

/**
 * The active nodes behind the outputs `slots` of `node`, the nearest first, as `{node, path}`: `path` are the subgraph
 * nodes round it. Borders of subgraphs are walked through.
 */
export function* downstream(node, slots, path = pathTo(node.graph)) {
  const waiting = path ? slots.flatMap((slot) => (node.outputs[slot]?.links ?? []).map((id) => [node.graph.getLink(id), node.graph, path])) : [];
  const seen = new Set([node]);
  for (let left = MOST; waiting.length && left; left--) {
    const [link, graph, around] = waiting.shift();
    if (!link) continue;
    let next = graph.getNodeById(link.target_id);
    let on = around;
    let outputs = next?.outputs ?? [];
    if (link.targetIsIoNode) {
      next = around.at(-1);
      on = around.slice(0, -1);
      outputs = next ? [next.outputs[link.target_slot]] : [];
    } else if (next?.subgraph) {
      const inner = next.subgraph.inputNode.slots[link.target_slot]?.getLinks() ?? [];
      waiting.push(...inner.map((one) => [one, next.subgraph, [...around, next]]));
      continue;
    }
    if (!next || (seen.has(next) && !link.targetIsIoNode) || !isActive(next)) continue;
    seen.add(next);
    if (!link.targetIsIoNode) yield { node: next, path: on };
    for (const output of outputs) {
      waiting.push(...(output?.links ?? []).map((id) => [next.graph.getLink(id), next.graph, on]));
    }
  }
}
