/** What one can do with a whole run of the disk: open its graph, go on from it, give it another name, remove it. */
import { app } from "../../../scripts/app.js";
import { ask } from "./ask.js";
import { continueFrom } from "./continuing.js";
import { afterFrames } from "./dom.js";
import { isOpening, lastRun } from "./jobs.js";
import { renameMarks } from "./marks.js";
import { inWords } from "./server_words.js";
import { say } from "./words.js";

const LIFE_MS = 8_000;
/** Frames that a graph may take to be there once it is opened. */
const PATIENCE = 180;
const UNITS = ["byte", "kilobyte", "megabyte", "gigabyte", "terabyte"];

const language = () => app.extensionManager.setting.get("Comfy.Locale");

/** A number of bytes as people read it. */
export function bytesText(bytes) {
  const power = Math.min(UNITS.length - 1, Math.floor(Math.log10(Math.max(1, bytes)) / 3));
  const form = { style: "unit", unit: UNITS[power], unitDisplay: power ? "short" : "long", maximumFractionDigits: 1 };
  return new Intl.NumberFormat(language(), form).format(bytes / 1000 ** power);
}

/** A time of the server (s) as people read it. */
export const timeText = (seconds) => new Date(1000 * seconds).toLocaleString(language(), { dateStyle: "medium", timeStyle: "short" });

function tell(severity, summary, detail = "") {
  app.extensionManager.toast.add({ severity, summary, detail, life: LIFE_MS });
}

/** The answer to a question about a run; null where it was refused, which is said. */
async function asked(name, path, options) {
  const answer = await ask(`/isi/runs/${encodeURIComponent(name)}${path}`, options);
  if (answer && !answer.error) return answer;
  tell("error", say("runs.refused"), answer ? inWords(answer.error) : say("strip.no_answer"));
  return null;
}

/** Asks for another name; the new one, or null where it keeps its own. */
export async function renameRun(name) {
  const wish = await app.extensionManager.dialog.prompt({ title: say("runs.rename"), message: say("runs.new_name"), defaultValue: name });
  const given = wish?.trim();
  if (!given || given === name) return null;
  const answer = await asked(name, "/name", { method: "POST", body: JSON.stringify({ name: given }) });
  if (answer) renameMarks(name, answer.name);
  return answer?.name ?? null;
}

/** Removes a run, if the user is sure; whether it is gone. */
export async function removeRun(name) {
  const room = await asked(name, "/room");
  if (!room) return false;
  const message = [say("runs.gives_back", { size: bytesText(room.bytes) })];
  if (room.shared) message.push(say("runs.shared", { count: room.shared }));
  const sure = await app.extensionManager.dialog.confirm({
    title: say("runs.remove_this", { run: name }), message: message.join(" "), type: "delete",
  });
  const gone = sure && (await asked(name, "", { method: "DELETE" }));
  if (gone) tell("success", say("runs.removed", { run: name }), say("runs.gave_back", { size: bytesText(gone.bytes) }));
  return Boolean(gone);
}

function* loops(graph) {
  for (const node of graph.nodes) {
    if (node.comfyClass === "ISI_Iterate") yield node;
    if (node.subgraph) yield* loops(node.subgraph);
  }
}

/** The loop on the canvas that shows the run of an item. */
function loopOf({ run, key }) {
  const shows = (node) => (lastRun(node) ?? node.properties.isi_run) === run || node.properties.isi_key === key;
  return [...loops(app.rootGraph)].find(shows);
}

/** Opens the graph that made an iteration, as it is in its picture, as if that was dropped. */
export async function openGraph(item) {
  try {
    const picture = await (await fetch(item.full)).blob();
    await app.handleFile(new File([picture], `${item.run}.png`, { type: "image/png" }));
  } catch {
    tell("error", say("runs.refused"), say("viewer.gone"));
  }
}

/** Goes on from an iteration: beside the loop that shows its run, whose graph is opened where it is not. */
export async function continueRun(item) {
  if (loopOf(item)) return continueFrom(loopOf(item), item);
  await openGraph(item);
  const goOn = (left) => {
    const loop = isOpening() ? null : loopOf(item);
    if (loop) continueFrom(loop, item);
    else if (left) afterFrames(1, () => goOn(left - 1));
    else tell("warn", say("runs.no_graph"));
  };
  goOn(PATIENCE);
}
