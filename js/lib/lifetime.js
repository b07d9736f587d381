/** What lives as long as a node is in a graph: listeners, timers. All of it ends with the node. */
import { app } from "../../../scripts/app.js";

/** The nodes that are in a graph, by their lifetimes. */
const living = new Map();

export class Lifetime {
  #controller = new AbortController();

  /** Aborts at the end; for `fetch` and whatever else takes a signal. */
  get signal() {
    return this.#controller.signal;
  }

  /** `target.addEventListener`, until the end. ComfyUI's own `api` has no `signal`, hence both ways. */
  listen(target, type, handler, options = {}) {
    target.addEventListener(type, handler, options);
    this.atEnd(() => target.removeEventListener(type, handler, options));
  }

  /** Calls `tidy` at the end. */
  atEnd(tidy) {
    this.signal.addEventListener("abort", tidy, { once: true });
  }

  end() {
    living.delete(this);
    this.#controller.abort();
  }
}

/** Calls `added` after whatever the node itself does at that event. Only this one node is changed. */
export function chain(node, event, added) {
  const before = node[event];
  node[event] = function (...given) {
    const result = before?.apply(this, given);
    added.apply(this, given);
    return result;
  };
}

/**
 * Ends what belongs to nodes whose graph is gone. When another graph is opened, ComfyUI tells the nodes of the root
 * graph that they are removed, but not those inside of subgraphs.
 */
export function endLost() {
  for (const [lifetime, { graph }] of living) {
    if (graph !== app.rootGraph && app.rootGraph.subgraphs.get(graph?.id) !== graph) lifetime.end();
  }
}

/** Runs `begin(lifetime)` whenever the node enters a graph, and ends the lifetime when it leaves it. */
export function whileInGraph(node, begin) {
  let lifetime = null;
  chain(node, "onAdded", () => {
    if (!lifetime || lifetime.signal.aborted) lifetime = new Lifetime();
    living.set(lifetime, node);
    begin(lifetime);
    queueMicrotask(endLost);
  });
  chain(node, "onRemoved", () => {
    lifetime?.end();
    lifetime = null;
  });
}
