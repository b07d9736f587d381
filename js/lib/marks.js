/**
 * Stars and hidden iterations: what the user thinks of the pictures of a run. The server keeps stars, each user's own,
 * and this browser a copy of them, and what is hidden.
 */
import { api } from "../../../scripts/api.js";
import { read, renewed, write } from "./storage.js";

const MARKS = "isi.marks";
const MOST_RUNS = 300;

/** The marks of a run: `{starred, hidden}`, each the file names of pictures, which name an iteration for ever. */
export function marksOf(run) {
  const { starred = [], hidden = [] } = read(localStorage, MARKS)[run] ?? {};
  return { starred, hidden };
}

function keep(run, marks) {
  write(localStorage, MARKS, renewed(read(localStorage, MARKS), run, marks), MOST_RUNS);
}

/** Gives a run the stars that the server has of it; where it never had any (`null`), it gets those of this browser. */
export function takeStars(run, starred) {
  const marks = marksOf(run);
  if (starred) keep(run, { ...marks, starred });
  else if (starred === null && marks.starred.length) tellServer(run, { add: marks.starred });
}

/** Takes the marks of a run along to its new name; the server has taken the stars. */
export function renameMarks(run, name) {
  keep(name, marksOf(run));
}

function tellServer(run, change) {
  const told = { method: "POST", body: JSON.stringify(change), keepalive: true };
  api.fetchApi(`/isi/stars/${encodeURIComponent(run)}`, told).catch(() => {}); // this browser has it
}

/** Sets or takes away a mark (`starred` or `hidden`) of a picture of a run. */
export function toggleMark(run, mark, picture) {
  const marks = marksOf(run);
  const had = marks[mark].includes(picture);
  marks[mark] = had ? marks[mark].filter((each) => each !== picture) : [...marks[mark], picture];
  keep(run, marks);
  if (mark === "starred") tellServer(run, { [had ? "remove" : "add"]: [picture] });
}
