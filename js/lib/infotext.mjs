/** What an infotext says, put into ISI Script and the loops that run it. */
import { app } from "../../../scripts/app.js";
import { ask } from "./ask.js";
import { asOneChange } from "./change.js";
import { loopsOf } from "./script_server.js";
import { inWords } from "./server_words.js";
import { isConnected } from "./source.js";
import { say } from "./words.js";

const LIFE_MS = 12_000;

function set(node, name, value) {
  const widget = node.widgets?.find((each) => each.name === name);
  if (!widget || value === null || isConnected(node, name)) return;
  widget.value = value;
  widget.callback?.(value);
}

/** Fills the script `node` and its loops with what `given` says, a picture file or a text, as one step to undo. */
export async function fill(node, given) {
  const said = await ask("/isi/infotext", { method: "POST", body: given });
  const { toast } = app.extensionManager;
  if (!said || said.error) {
    const detail = said ? inWords(said.error) : say("strip.no_answer");
    toast.add({ severity: "warn", summary: say("infotext.nothing"), detail, life: LIFE_MS });
    return;
  }
  asOneChange(() => {
    const { script, steps, cfg, seed, denoise } = said;
    const own = { script, steps, cfg, seed, denoise, final_denoise: denoise };
    for (const [name, value] of Object.entries(own)) set(node, name, value);
    const { negative, sampler, scheduler, width, height } = said;
    const others = { negative, sampler_name: sampler, scheduler, width, height };
    for (const loop of loopsOf(node)) for (const [name, value] of Object.entries(others)) set(loop, name, value);
  });
  app.canvas.setDirty(true, true);
  const detail = said.notes.map(inWords).join("\n");
  toast.add({ severity: "info", summary: say("infotext.taken"), detail, life: LIFE_MS });
}
