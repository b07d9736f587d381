import { app } from "../../../scripts/app.js";

/** Does `act` to the open graph as one step of the page's own undo. Returns what `act` returns. */
export function asOneChange(act) {
  app.canvas.emitBeforeChange();
  try {
    return act();
  } finally {
    app.canvas.emitAfterChange();
  }
}
