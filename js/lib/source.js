/** Where the value of an input comes from, as far as the page can follow it. */
import { app } from "../../../scripts/app.js";

const [MUTED, BYPASSED] = [2, 4];
/** More links than any sane chain; ends the walk in a graph that is connected in a circle. */
const LONGEST = 100;

/** Whether a node runs: it is neither muted nor bypassed. */
export const isActive = (node) => node.mode !== MUTED && node.mode !== BYPASSED;

/** The link into an input, or null. A subgraph node's own `getInputLink` means the other side of its border. */
export function linkInto(node, index) {
  if (!node.graph || !node.inputs[index]) return null;
  return window.LGraphNode.prototype.getInputLink.call(node, index) ?? null;
}

const slotOf = (node, name) => node.inputs.findIndex((input) => input.name === name);

/** Whether something is connected to the input `name`. */
export const isConnected = (node, name) => Boolean(linkInto(node, slotOf(node, name)));

/** The subgraph nodes that lead from the root graph to `graph`, outermost first. Of several copies the first. */
export function pathTo(graph, from = app.rootGraph) {
  if (graph === from) return [];
  for (const node of from.nodes) {
    const rest = node.subgraph && pathTo(graph, node.subgraph);
    if (rest) return [node, ...rest];
  }
  return null;
}

/**
 * The node that makes what comes into the input `name` of `node`: `{node, slot, path}`, or null. Reroutes, Set and
 * Get, bypassed nodes and the borders of subgraphs are walked through; `path` are the subgraph nodes round the node.
 */
export function sourceOf(node, name, path = pathTo(node.graph)) {
  return path && fromInput(node, slotOf(node, name), path, LONGEST);
}

function fromInput(node, index, path, left) {
  return fromLink(linkInto(node, index), node.graph, path, left);
}

function fromLink(link, graph, path, left) {
  if (!link || !left) return null;
  if (link.originIsIoNode) {
    const host = path.at(-1);
    return host ? fromInput(host, link.origin_slot, path.slice(0, -1), left - 1) : null;
  }
  const node = graph.getNodeById(link.origin_id);
  const slot = link.origin_slot;
  if (!node || node.mode === MUTED) return null;
  if (node.mode === BYPASSED) {
    const { type } = node.outputs[slot];
    const same = node.inputs[slot]?.type === type ? slot : node.inputs.findIndex((input) => input.type === type);
    return fromInput(node, same, path, left - 1);
  }
  if (node.subgraph) {
    const inner = node.subgraph.outputNode.slots[slot]?.getLinks()[0];
    return fromLink(inner, node.subgraph, [...path, node], left - 1);
  }
  if (node.isVirtualNode) return fromLink(node.getInputLink(slot), graph, path, left - 1);
  return { node, slot, path };
}

/** What the widget `name` of a source says; undefined where a node decides it. */
export function widgetValue({ node, path }, name) {
  const link = linkInto(node, node.inputs.findIndex((each) => (each.widget?.name ?? each.name) === name));
  if (!link) return node.widgets?.find((widget) => widget.name === name)?.value;
  const host = path.at(-1);
  if (!link.originIsIoNode || !host) return undefined;
  return widgetValue({ node: host, path: path.slice(0, -1) }, host.inputs[link.origin_slot]?.name);
}

/** What the node of a source showed when it last ran. */
export function outputsOf({ node }) {
  return app.nodeOutputs[node.graph === app.rootGraph ? String(node.id) : `${node.graph.id}:${node.id}`];
}

/** The ISI Pick that `node` is, or has inside with its picks outside, under a `name`: `{pick, name}`, or null. */
export function pickOf(node) {
  if (node.comfyClass === "ISI_Pick") return { pick: node, name: "picks" };
  for (const pick of node.subgraph?.nodes ?? []) {
    const link = pick.comfyClass === "ISI_Pick" && linkInto(pick, slotOf(pick, "picks"));
    if (link?.originIsIoNode) return { pick, name: node.inputs[link.origin_slot].name };
  }
  return null;
}
