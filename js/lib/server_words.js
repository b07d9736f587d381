/**
 * What the server says, in the language of the page: errors, what it tells on a node, reports and tables. Python speaks
 * English; sentences/<language>.json has its sentences as templates, and each message is changed before the page's
 * own listeners see it.
 */
import { api } from "../../../scripts/api.js";
import { app } from "../../../scripts/app.js";
import { nodeAt } from "./jobs.js";
import { planLabel } from "./words.js";

const LANGUAGES = ["ko", "zh"];
const translators = {};
const loading = {};

const language = () => app.extensionManager.setting.get("Comfy.Locale");

async function load(chosen) {
  const answer = await fetch(new URL(`./sentences/${chosen}.json`, import.meta.url));
  const { translator } = await import("./sentences.mjs");
  if (answer.ok) translators[chosen] = translator(await answer.json(), planLabel);
}

/** Fetches the sentences of the page's language, once; in English there are none. A page without them is in English. */
function loadSentences() {
  const chosen = language();
  if (!LANGUAGES.includes(chosen)) return Promise.resolve();
  return (loading[chosen] ??= load(chosen).catch(() => delete loading[chosen]));
}

/** A text of the server in the language of the page; as it is where that has no translation. */
export const inWords = (text) => translators[language()]?.(text) ?? text;

/** Changes what a refused prompt says of its nodes: `script - Script, line 1, ...`, the input before the dash. */
function sayErrors(answer) {
  for (const { errors } of Object.values(answer?.node_errors ?? {})) {
    for (const error of errors ?? []) {
      const [input, ...said] = String(error.details ?? "").split(" - ");
      if (said.length) error.details = `${input} - ${inWords(said.join(" - "))}`;
    }
  }
}

function sayText({ output, display_node: id, node }) {
  const isOurs = nodeAt(id ?? node)?.comfyClass?.startsWith("ISI_");
  if (isOurs && Array.isArray(output?.text)) output.text = output.text.map(inWords);
}

/** What is changed in the messages of each kind. */
const SAID = {
  execution_error: (detail) => void (detail.exception_message = inWords(detail.exception_message)),
  progress_text: (detail) => void (detail.text = inWords(detail.text)),
  executed: sayText,
};

/**
 * Says what comes from now on in the page's language; the sentences are there before a run can say any.
 *
 * The page adds its listeners before it loads extensions, and copies out of an error at once: only what hands the
 * messages out comes before them. Nothing but texts is changed.
 */
export async function followServer() {
  const { dispatchCustomEvent: dispatch, queuePrompt: queue } = api;
  api.dispatchCustomEvent = function (type, detail) {
    try {
      if (detail) SAID[type]?.(detail);
    } catch (error) {
      console.error("ISI", error); // the message itself must reach the page, whatever becomes of its words
    }
    return dispatch.call(this, type, detail);
  };
  api.queuePrompt = async function (...given) {
    await loadSentences();
    try {
      const answer = await queue.apply(this, given);
      sayErrors(answer);
      return answer;
    } catch (error) {
      sayErrors(error.response);
      throw error;
    }
  };
  await loadSentences();
}
