/**
 * Calls `act(value)` now and whenever `read()` gives another value (compared as JSON), until the end.
 *
 * ComfyUI has no event for every way in which a graph changes (typed, dragged, undone, set by another extension, in
 * a subgraph), so the value is looked at ten times a second. `read` must be cheap. Returns a function that looks now.
 */
export function watch(lifetime, read, act) {
  let last;
  const look = () => {
    const value = read();
    const text = JSON.stringify(value);
    if (text === last) return;
    last = text;
    act(value);
  };
  const timer = setInterval(look, 100);
  lifetime.atEnd(() => clearInterval(timer));
  queueMicrotask(() => lifetime.signal.aborted || look()); // a node that is loaded gets its values after it is added
  return look;
}
