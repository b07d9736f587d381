/** What one can do with an iteration, wherever a strip shows it, and which one is kept to compare others with. */
import { toggleMark } from "./marks.js";
import { canCopy, copyPicture, openPicture, savePicture } from "./picture_acts.js";
import { say } from "./words.js";

/** The iteration that others are compared with, of whichever run; null where none is kept. */
let kept = null;
const listeners = new Set();

export const keptItem = () => kept;

export const isKept = (item) => Boolean(kept) && kept.run === item.run && kept.key === item.key;

/** Keeps `item` to compare others with, or none with null. */
export function keep(item) {
  kept = item;
  for (const act of listeners) act();
}

/** Calls `act` until the end of `lifetime` whenever another iteration is kept. */
export function onKept(lifetime, act) {
  listeners.add(act);
  lifetime.atEnd(() => listeners.delete(act));
}

/**
 * The entries of an iteration's menu, `[text, act]`: `look` opens it, `goOn` continues from it, `redo` samples again from
 * it on, `candidates` shows those of its step (undefined where that can't be); `changed` is called when its marks are others. `items` are those of its strip.
 */
export function iterationActs(item, items, { look, goOn, redo, changed, candidates }) {
  const mark = (name) => () => {
    toggleMark(item.run, name, item.picture.filename);
    changed();
  };
  return [
    [say("strip.look"), look],
    [say("viewer.continue"), goOn],
    ...(redo ? [[say("strip.redo"), redo]] : []),
    ...(candidates ? [[say("candidates.show"), candidates]] : []),
    [say(isKept(item) ? "strip.unkeep" : "strip.keep"), () => keep(isKept(item) ? null : item)],
    [say(item.starred ? "strip.unstar" : "strip.star"), mark("starred")],
    [say(items.isHidden(item) ? "strip.unhide" : "strip.hide_one"), mark("hidden")],
    [say("viewer.save"), () => savePicture(item)],
    ...(canCopy() ? [[say("viewer.copy"), () => copyPicture(item)]] : []),
    [say("viewer.open"), () => openPicture(item)],
  ];
}
