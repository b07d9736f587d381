/** The text fields that hold prompts: names are completed in them, by what is loaded with the first one's focus. */
import { app } from "../../../scripts/app.js";

/** Nodes whose fields of several lines are all prompts in our language. */
const NODES = ["ISI_ComposeGuider", "ISI_Iterate", "ISI_Prompt", "ISI_Regions", "ISI_Script"];

/** The node that a field belongs to: in Nodes 2.0 it stands in the node, else it is a widget's own, or in it. */
function nodeOf(field) {
  const { graph } = app.canvas;
  const around = field.closest("[data-node-id]");
  if (around) return graph.getNodeById(around.dataset.nodeId);
  return graph.nodes.find(({ widgets }) => widgets?.some((widget) => widget.element?.contains(field)));
}

/** Completes names in the fields of all nodes, from now on. */
export function followFields() {
  document.addEventListener("focusin", async ({ target: field }) => {
    if (field.tagName !== "TEXTAREA" || !NODES.includes(nodeOf(field)?.comfyClass)) return;
    const before = field.value;
    const { offerNames } = await import("./completion.mjs");
    if (document.activeElement === field) offerNames(field, field.value !== before);
  });
}
