/** What a model still needs connected in the open graph. */
import { modelChain, nodesOf } from "./models.js";
import { sourceOf } from "./source.js";

/** Nodes that take a MODEL and that models with more channels than the latent's are made for. */
const CONSUMERS = ["ISI_ConcatConditioning", "ISI_ICLight", "ISI_EditGuider", "ISI_Iterate"];
const FILLERS = ["ISI_ConcatConditioning", "ISI_ICLight"];
const CONDITIONER = "ISI_ConcatConditioner";
const LONGEST = 100;

/** Which of the inputs `names` a node has but nothing comes into. */
function unconnected(node, names) {
  const inputs = new Set(node.inputs.filter((input) => !input.widget).map((input) => input.name));
  return [...new Set(names)].filter((name) => inputs.has(name) && !sourceOf(node, name));
}

const required = (node) => Object.keys(node.constructor.nodeData?.input?.required ?? {});

/** The facts of the kind that a model is to `node`, whose own `kind` may decide; null if that stays open. */
function factsAt(node, kinds) {
  const chosen = node.widgets?.find((widget) => widget.name === "kind")?.value;
  return kinds.find((kind) => kind.name === chosen) ?? (kinds.length === 1 ? kinds[0] : null);
}

/**
 * `{rows, connect}`: `rows` are the nodes that the model of one of `loaders` goes to, `{node, missing}` with the
 * names of inputs that it needs there and that nothing comes into. `connect` are the facts of the kind if no node
 * fills its channels yet, else null. `kinds` are the facts of what the model may be, from /isi/model.
 */
export function needsOf(loaders, kinds) {
  const rows = [];
  const add = (node, names) => rows.push({ node, missing: unconnected(node, names) });
  let filled = false;
  for (const node of nodesOf()) {
    const hosts = kinds.some((kind) => kind.host_node === node.comfyClass);
    if (hosts) add(node, required(node));
    if (!CONSUMERS.includes(node.comfyClass)) {
      filled ||= hosts;
      continue;
    }
    const chain = modelChain(node);
    if (!loaders.some((loader) => chain.includes(loader))) continue;
    const facts = factsAt(node, kinds);
    const before = chain.some((each) => FILLERS.includes(each.comfyClass));
    filled ||= FILLERS.includes(node.comfyClass);
    if (node.comfyClass === "ISI_Iterate" && facts?.needs.length && !before) {
      const image = facts.needs.includes("image") ? ["image"] : [];
      add(node, [...required(node), ...image, "conditioner"]);
      const conditioner = conditionerOf(node);
      if (conditioner) add(conditioner, facts.needs.filter((name) => name !== "mask"));
      filled ||= Boolean(conditioner);
    } else if (node.comfyClass === "ISI_ICLight") {
      const light = String(node.widgets.find((widget) => widget.name === "file")?.value);
      add(node, [...required(node), ...(/fbc/i.test(light) ? ["background"] : [])]);
    } else {
      add(node, [...(before ? [] : (facts?.needs ?? [])), ...required(node)]);
    }
  }
  const [facts] = kinds;
  return { rows, connect: kinds.length === 1 && facts.node && !filled ? facts : null };
}

/** The conditioner of an ISI Iterate that fills a model's channels, among those that act one after the other. */
function conditionerOf(node) {
  let source = sourceOf(node, "conditioner");
  for (let left = LONGEST; source && left; left--) {
    if (source.node.comfyClass === CONDITIONER) return source.node;
    source = sourceOf(source.node, "conditioner", source.path);
  }
  return null;
}
