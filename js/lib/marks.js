/** Stars and hidden iterations: what the user thinks of the pictures of a run, kept in this browser. */
import { read, renewed, write } from "./storage.js";

const MARKS = "isi.marks";
const MOST_RUNS = 300;

/** The marks of a run: `{starred, hidden}`, each the file names of pictures, which name an iteration for ever. */
export function marksOf(run) {
  const { starred = [], hidden = [] } = read(localStorage, MARKS)[run] ?? {};
  return { starred, hidden };
}

/** Sets or takes away a mark (`starred` or `hidden`) of a picture of a run. */
export function toggleMark(run, mark, picture) {
  const marks = marksOf(run);
  const had = marks[mark].includes(picture);
  marks[mark] = had ? marks[mark].filter((each) => each !== picture) : [...marks[mark], picture];
  write(localStorage, MARKS, renewed(read(localStorage, MARKS), run, marks), MOST_RUNS);
}
