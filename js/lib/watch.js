/**
 * Looks at the open graph, ten times a second, for all that wants to know of it.
 *
 * ComfyUI has no event for every way in which a graph changes (typed, dragged, undone, set by another extension, in
 * a subgraph), so it is looked at. One timer serves all nodes, and rests while the page is hidden.
 */
const EVERY_MS = 100;

const looks = new Set();
let timer = 0;

function lookAll() {
  for (const look of [...looks]) {
    try {
      look();
    } catch (error) {
      reportError(error); // one node's trouble must not blind the others
    }
  }
}

function turn() {
  const wanted = looks.size > 0 && !document.hidden;
  if (wanted && !timer) timer = setInterval(lookAll, EVERY_MS);
  if (wanted || !timer) return;
  clearInterval(timer);
  timer = 0;
}

document.addEventListener("visibilitychange", () => {
  turn();
  if (!document.hidden) lookAll();
});

/** Calls `look` ten times a second until the end, except while nobody can see the page. It must be cheap. */
export function everyTick(lifetime, look) {
  const mine = () => look();
  looks.add(mine);
  lifetime.atEnd(() => {
    looks.delete(mine);
    turn();
  });
  turn();
}

/** Calls `act(value)` now and whenever `read()` gives another value (compared as JSON). Returns what looks now. */
export function watch(lifetime, read, act) {
  let last;
  const look = () => {
    const value = read();
    const text = JSON.stringify(value);
    if (text === last) return;
    last = text;
    act(value);
  };
  everyTick(lifetime, look);
  queueMicrotask(() => lifetime.signal.aborted || look()); // a node that is loaded gets its values after it is added
  return look;
}
