/** Small things that the browser keeps for us, as JSON: they are a convenience, and may be lost. */

/** What is kept under `name`: an object, empty where there is nothing. */
export function read(storage, name) {
  try {
    return JSON.parse(storage.getItem(name)) ?? {};
  } catch {
    return {};
  }
}

/** Keeps the `most` newest of `entries`; a storage that is full or shut costs the memory, nothing else. */
export function write(storage, name, entries, most) {
  try {
    storage.setItem(name, JSON.stringify(Object.fromEntries(Object.entries(entries).slice(-most))));
  } catch {
    // nothing depends on it
  }
}

/** `entries` with `value` under `key`, as the newest. */
export function renewed(entries, key, value) {
  const { [key]: _, ...others } = entries;
  return { ...others, [key]: value };
}
