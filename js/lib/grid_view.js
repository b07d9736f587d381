/** A button on ISI Grid that opens the viewer of the grid that the node made last. */
import { api } from "../../../scripts/api.js";
import { chain } from "./lifetime.js";
import { say } from "./words.js";

const GRID = "isi_grid";

export function addGridView(node) {
  const button = node.addWidget("button", say("grid.open"), null, () => {
    const name = node.properties[GRID];
    if (name) window.open(api.apiURL(`/isi/grids/${encodeURIComponent(name)}/index.html`), "_blank", "noopener");
  }, { serialize: false });
  button.serialize = false;
  const show = () => {
    button.disabled = !node.properties[GRID];
  };
  chain(node, "onConfigure", show);
  chain(node, "onExecuted", (output) => {
    node.properties[GRID] = output?.[GRID]?.[0]?.name ?? node.properties[GRID];
    show();
  });
  show();
}
