/** The sidebar tab "ISI runs": what fills it is loaded when it is first opened. */
import { app } from "../../../scripts/app.js";
import { element } from "./dom.js";
import { Lifetime } from "./lifetime.js";
import { say } from "./words.js";

export function addRunsTab() {
  let lifetime = null;
  const end = () => lifetime?.end();
  app.extensionManager.registerSidebarTab({
    id: "isi-runs",
    icon: "pi pi-images",
    title: say("runs.title"),
    tooltip: say("runs.title"),
    type: "custom",
    async render(place) {
      end();
      const mine = (lifetime = new Lifetime());
      const root = element("section", { className: "isi-runs", data: { isiWidget: "isi_runs" }, aria: { label: say("runs.title") } });
      place.replaceChildren(root);
      const { showRuns } = await import("./runs_panel.mjs");
      if (!mine.signal.aborted) showRuns(root, mine);
    },
    destroy: end,
  });
}
