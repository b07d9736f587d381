/** What only the server knows of a script: words that are drawn, tokens, names that are not there. */
import { ask } from "./ask.js";
import { fileAtEnd, modelChain, nodesOf } from "./models.js";
import { pathTo, sourceOf, widgetValue } from "./source.js";
import { watch } from "./watch.js";

const PAUSE_MS = 300;
const SETTINGS = ["seed", "seed_mode", "choices", "steps"];

/** Loaders of text encoders alone: the types whose chunks are known, by the files' own kind, and the file's widget. */
const ENCODERS = { CLIPLoader: ["stable_diffusion", "clip_name"], DualCLIPLoader: ["sdxl", "clip_name1"] };
const MOST_PLANS = 100;

/** The nodes that make the plan of a loop: joined plans are made by several. */
function plansOf(loop) {
  const found = [];
  const waiting = [sourceOf(loop, "plan")];
  while (waiting.length && found.length < MOST_PLANS) {
    const source = waiting.shift();
    if (!source) continue;
    found.push(source.node);
    const plans = source.node.inputs.filter(({ type }) => type === "ISI_PLAN");
    waiting.push(...plans.map(({ name }) => sourceOf(source.node, name, source.path)));
  }
  return found;
}

/** The loops that run a script. */
export function* loopsOf(script) {
  for (const node of nodesOf()) if (node.comfyClass === "ISI_Iterate" && plansOf(node).includes(script)) yield node;
}

/** The file with the text encoder of the loop that runs this script; "" where the page does not know it. */
function encoderOf(script) {
  const [loop] = loopsOf(script);
  const chain = loop ? modelChain(loop, "CLIP") : [];
  const [type, file] = ENCODERS[chain.at(-1)?.comfyClass] ?? [];
  if (!type) return fileAtEnd(chain) ?? "";
  const loader = { node: chain.at(-1), path: pathTo(chain.at(-1).graph) ?? [] };
  const name = widgetValue(loader, "type") === type && widgetValue(loader, file);
  return name ? `text_encoders/${name}` : "";
}

/** `told(answer, text)` gets what `/isi/script` says of the text that what is returned was last called with; null is none. */
export function askServer(lifetime, node, told) {
  let [text, timer, asking] = [null, 0, new AbortController()];

  function settings() {
    const path = pathTo(node.graph) ?? [];
    const values = SETTINGS.map((name) => [name, widgetValue({ node, path }, name)]);
    return { ...Object.fromEntries(values), file: encoderOf(node) };
  }

  async function learn(asked, signal) {
    const answer = await ask("/isi/script", { method: "POST", body: JSON.stringify({ ...settings(), script: asked }), signal });
    if (answer?.steps) told(answer, asked);
  }

  function again(now = text) {
    text = now;
    clearTimeout(timer);
    asking.abort();
    asking = new AbortController();
    const { signal } = asking;
    if (text?.trim()) timer = setTimeout(() => learn(text, signal), PAUSE_MS);
  }

  watch(lifetime, settings, () => again());
  lifetime.atEnd(() => again(null));
  return again;
}
