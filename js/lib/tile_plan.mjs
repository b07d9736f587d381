/** What the open graph says about tiles: the settings, the picture that they lie on, and the sampling. */
import { knownSize } from "./known_size.mjs";
import { fileAtEnd, modelChain, nodesOf } from "./models.js";
import { pathTo, sourceOf, widgetValue } from "./source.js";

const TILED = "ISI_TiledSampling";
/** Names of the inputs of Python's `Tiling` in the nodes that have them. */
const tilingOf = (value) => ({
  tile: value("tile_size"), tileHeight: value("tile_height") ?? 0, overlap: value("overlap"), batch: value("tile_batch"), shift: value("shift_grid"), wrap: value("wrap"),
});

const valuesOf = (node, path = pathTo(node.graph) ?? []) => (name) => widgetValue({ node, path }, name);

/** The nodes that the guider, or else the model, of a sampler comes through. */
function chainOf(node) {
  const guider = sourceOf(node, "guider");
  return guider ? [guider.node, ...modelChain(guider.node)] : modelChain(node);
}

/** The sampler, loop or cost node that the model of `node` leads to; samplers come first. */
function samplerOf(node) {
  const found = [...nodesOf()].filter((each) => each !== node && sizeInput(each) && chainOf(each).includes(node));
  return found.sort((a, b) => ORDER.indexOf(sizeInput(a)) - ORDER.indexOf(sizeInput(b)))[0] ?? null;
}

const ORDER = ["latent_image", "image"];
/** The input of a sampling node whose size is that of what it samples. */
function sizeInput(node) {
  if (node.inputs.some((input) => input.name === "latent_image")) return "latent_image";
  return ["ISI_Iterate", "ISI_UpscaleCost"].includes(node.comfyClass) ? "image" : null;
}

/** `{steps, cfg}` of a sampler, whichever node of its own says them. */
function samplingOf(sampler) {
  const places = [sampler, sourceOf(sampler, "sigmas")?.node, sourceOf(sampler, "guider")?.node];
  const first = (name) => places.map((node) => node && valuesOf(node)(name)).find((value) => typeof value === "number");
  return { steps: first("steps"), cfg: first("cfg") ?? 1 };
}

const numberedBy = (node) => Boolean(node && sourceOf(node, "tile_prompts"));

/** What ISI Tiled Sampling will do: in the sampler that its model leads to. */
export function readTiledSampling(node) {
  const sampler = samplerOf(node);
  const source = sampler && sourceOf(sampler, sizeInput(sampler));
  const alone = sampler && !source && sampler.comfyClass === "ISI_Iterate";
  const value = sampler && valuesOf(sampler);
  return {
    tiling: tilingOf(valuesOf(node)),
    known: alone ? { url: null, size: [value("height"), value("width")], steps: [] } : knownSize(source),
    ...(sampler ? samplingOf(sampler) : {}),
    numbered: numberedBy(node),
    model: fileAtEnd(modelChain(node)),
    lacks: !sampler ? "sampler" : "latent",
  };
}

/** What ISI Upscale Cost is asked about: the plan of an ISI Upscale, or the model of an ISI Tiled Sampling. */
export function readUpscaleCost(node) {
  const chain = modelChain(node);
  const value = valuesOf(node);
  const model = fileAtEnd(chain);
  const plan = sourceOf(node, "plan");
  if (plan) {
    if (plan.node.comfyClass !== "ISI_Upscale") return { tiling: null, known: null, model, lacks: "plan" };
    const of = valuesOf(plan.node, plan.path);
    return {
      tiling: tilingOf(of),
      known: knownSize(sourceOf(plan.node, "image", plan.path) ?? sourceOf(node, "image")),
      steps: of("steps"),
      cfg: of("cfg"),
      upscale: {
        factor: of("factor"), height: of("height"), width: of("width"), stages: of("stages"), demofusion: of("demofusion"),
      },
      model,
      lacks: "image",
    };
  }
  const tiled = chain.find((each) => each.comfyClass === TILED);
  return {
    tiling: tiled ? tilingOf(valuesOf(tiled)) : null,
    known: knownSize(sourceOf(node, "image")),
    steps: value("steps"),
    cfg: value("cfg"),
    numbered: numberedBy(tiled),
    model,
    lacks: tiled ? "image" : "tiling",
  };
}
