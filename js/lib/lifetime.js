/** What lives as long as a node is in a graph: listeners, timers. All of it ends with the node. */

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

/** Runs `begin(lifetime)` whenever the node enters a graph, and ends the lifetime when it leaves it. */
export function whileInGraph(node, begin) {
  let lifetime = null;
  chain(node, "onAdded", () => {
    lifetime ??= new Lifetime();
    begin(lifetime);
  });
  chain(node, "onRemoved", () => {
    lifetime?.end();
    lifetime = null;
  });
}
