/** Models in the open graph: who loads which file, and through which nodes a MODEL comes. */
import { app } from "../../../scripts/app.js";
import { isActive, pathTo, sourceOf, widgetValue } from "./source.js";

/** Loaders, the folder that each lists, and the widget that names the file in it. */
const LOADERS = {
  ISI_LoadConcatModel: ["", "file"],
  CheckpointLoaderSimple: ["checkpoints/", "ckpt_name"],
  UNETLoader: ["diffusion_models/", "unet_name"],
  ISI_MiniCheckpoint: ["mini/", "kind"],
};
const LONGEST = 100;

/** The nodes of a graph and of the subgraphs in it, without muted and bypassed ones. */
export function* nodesOf(graph = app.rootGraph) {
  for (const node of graph.nodes.filter(isActive)) {
    yield node;
    if (node.subgraph) yield* nodesOf(node.subgraph);
  }
}

/** The file that a loader loads, as `FOLDER/NAME`; undefined for other nodes and where another node decides it. */
export function fileOf(node, path = pathTo(node.graph)) {
  const [folder, name] = LOADERS[node.comfyClass] ?? [];
  const value = name && path && widgetValue({ node, path }, name);
  return value && folder + value;
}

/** The active nodes in the graph that load `file`. */
export const loadersOf = (file) => [...nodesOf()].filter((node) => fileOf(node) === file);

/** The nodes that the MODEL (or CLIP) at an input of `node` comes through, the nearest first; the last one loads it. */
export function modelChain(node, type = "MODEL") {
  const chain = [];
  let source = sourceOf(node, type.toLowerCase());
  while (source && chain.length < LONGEST) {
    chain.push(source.node);
    const next = source.node.inputs.find((input) => input.type === type);
    source = next ? sourceOf(source.node, next.name, source.path) : null;
  }
  return chain;
}

/** The file that the loader at the end of a chain loads; null where that is not known. */
export const fileAtEnd = (chain) => (chain.length && fileOf(chain.at(-1))) || null;
