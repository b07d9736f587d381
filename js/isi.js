/** The pack's front end: what ComfyUI's page calls, and nothing else. Each part is a module in lib/. */
import { app } from "../../scripts/app.js";
import { loadStyles } from "./lib/dom.js";
import { addGridView } from "./lib/grid_view.js";
import { followJobs } from "./lib/jobs.js";
import { chain, endLost } from "./lib/lifetime.js";
import { addModelBadge } from "./lib/model_badge.js";
import {
  addOutpaintFrame, addPickView, addRegionView, addReleaseView, addTiledSamplingGrid, addUpscaleCostGrid,
} from "./lib/panels.js";
import { followFields } from "./lib/prompt_fields.js";
import { addRunView, STRIP_SIZE } from "./lib/run_view.js";
import { addRunsTab } from "./lib/runs_tab.js";
import { scriptWidget } from "./lib/script_editor.js";
import { followServer } from "./lib/server_words.js";
import { pickOf } from "./lib/source.js";
import { addLoop } from "./lib/starter.js";
import { followTheme } from "./lib/theme.js";
import { loadWords, say } from "./lib/words.js";

/** What each kind of node gets when it is made. */
const WIDGETS = {
  ISI_DifferentialDiffusion: addReleaseView,
  ISI_Grid: addGridView,
  ISI_InspectModel: addModelBadge,
  ISI_Iterate: addRunView,
  ISI_LoadConcatModel: addModelBadge,
  ISI_Outpaint: addOutpaintFrame,
  ISI_OutpaintCanvas: addOutpaintFrame,
  ISI_Pick: addPickView,
  ISI_Regions: addRegionView,
  ISI_TiledSampling: addTiledSamplingGrid,
  ISI_UpscaleCost: addUpscaleCostGrid,
};

const runViewOf = (node) => node?.widgets?.find((widget) => widget.runView)?.runView;

/** The run that a command means: of a selected node, or the only one that has any pictures. */
function currentRun() {
  const chosen = Object.values(app.canvas.selected_nodes ?? {});
  return [...chosen, ...app.canvas.graph.nodes].map(runViewOf).find((view) => view?.length);
}

app.registerExtension({
  name: "ISI",

  settings: [
    {
      id: "ISI.StoreGiB",
      category: ["ISI", "Runs", "Store"],
      name: "Size of the store of finished iterations (GiB)",
      tooltip: "Finished iterations are kept so that a run can go on where it stopped. The oldest go first. 0 keeps none.",
      type: "number",
      attrs: { min: 0, max: 4096, step: 0.5 },
      defaultValue: 2,
    },
    {
      id: STRIP_SIZE,
      category: ["ISI", "Runs", "Strip"],
      name: "Size of the thumbnails of ISI Iterate (pixels)",
      tooltip: "For nodes that are added or loaded from now on.",
      type: "slider",
      attrs: { min: 48, max: 256, step: 16 },
      defaultValue: 96,
    },
  ],

  commands: [
    { id: "ISI.AddLoop", label: "ISI: Add a script and its loop", icon: "pi pi-refresh", function: () => addLoop() },
    { id: "ISI.ShowIterations", label: "ISI: Look at the iterations", icon: "pi pi-images", function: () => void currentRun()?.open() },
    {
      id: "ISI.ContinueFromLast",
      label: "ISI: Continue from the last iteration",
      icon: "pi pi-arrow-right",
      function: () => void currentRun()?.continueFrom(),
    },
  ],
  menuCommands: [{ path: ["Extensions", "ISI"], commands: ["ISI.AddLoop", "ISI.ShowIterations", "ISI.ContinueFromLast"] }],

  async init() {
    loadStyles();
    followTheme();
    followJobs();
    followFields();
    await Promise.all([loadWords(), followServer()]);
  },

  setup() {
    addRunsTab();
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

  afterConfigureGraph() {
    endLost();
  },

  nodeCreated(node) {
    if (node.isSubgraphNode?.()) pickOf(node) && addPickView(node);
    else WIDGETS[node.comfyClass]?.(node);
  },

  getNodeMenuItems(node) {
    const view = runViewOf(node);
    if (!view?.length) return [];
    return [
      { content: say("menu.look"), callback: () => void view.open() },
      { content: say("menu.continue"), callback: () => void view.continueFrom() },
    ];
  },
});
