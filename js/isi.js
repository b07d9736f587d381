/** The pack's front end: what ComfyUI's page calls, and nothing else. Each part is a module in lib/. */
import { app } from "../../scripts/app.js";
import { loadStyles } from "./lib/dom.js";
import { chain } from "./lib/lifetime.js";
import { scriptWidget } from "./lib/script_editor.js";

app.registerExtension({
  name: "ISI",

  init() {
    loadStyles();
  },

  addCustomNodeDefs(definitions) {
    // The input stays a STRING; only this page shows it with an editor of its own.
    const script = definitions.ISI_Script?.input?.required?.script;
    if (script) script[1].widgetType = "ISI_SCRIPT";
  },

  getCustomWidgets() {
    return {
      ISI_SCRIPT(node, name, spec) {
        const made = scriptWidget(node, name, spec);
        chain(node, "onExecuted", (output) => made.showPlan(output?.text?.[0] ?? ""));
        return made;
      },
    };
  },
});
