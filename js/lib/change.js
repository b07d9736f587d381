import { app } from "../../../scripts/app.js";
import { afterFrames } from "./dom.js";

/** By then Nodes 2.0 has measured a node that it drew for the first time. */
export const MEASURED = 4;

const openTracker = () => app.extensionManager.workflow.activeWorkflow.changeTracker;

/**
 * Does `act` to the open graph as one step of the page's own undo. Returns what `act` returns.
 *
 * The step ends some frames later: that a new node gets its size when it is drawn is no step of its own.
 */
export function asOneChange(act) {
  const tracker = openTracker();
  tracker.beforeChange();
  try {
    return act();
  } finally {
    afterFrames(MEASURED, () => {
      if (tracker === openTracker()) tracker.afterChange();
      else tracker.changeCount--; // another workflow was opened: what is on the canvas is not its state
    });
  }
}

/** What was done to the open graph up to now is a step of the page's own undo: it looks only after clicks. */
export function noteChange() {
  const tracker = openTracker();
  (tracker.captureCanvasState ?? tracker.checkState).call(tracker);
}
