import { app } from "../../../scripts/app.js";
import { asOneChange } from "./change.js";

/** Adds ISI Script and ISI Iterate, connected, in the middle of what is in sight. One step to undo. */
export function addLoop() {
  const { graph, visible_area: [x, y, width, height] } = app.canvas;
  asOneChange(() => {
    const script = window.LiteGraph.createNode("ISI_Script");
    const loop = window.LiteGraph.createNode("ISI_Iterate");
    const middle = [x + width / 2, y + height / 2];
    script.pos = [middle[0] - script.size[0] - 30, middle[1] - script.size[1] / 2];
    loop.pos = [middle[0] + 30, script.pos[1]];
    graph.add(script);
    graph.add(loop);
    script.connect(0, loop, loop.inputs.findIndex((input) => input.name === "plan"));
    app.canvas.selectItems?.([script, loop]);
  });
}
