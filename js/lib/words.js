/**
 * What our widgets say, in the language of the page. English is words/en.js, the others words/<language>.json.
 *
 * The page itself translates nodes, settings and commands from locales/, but lends its translations to no
 * extension, and answers /i18n only with those of all packs at once; hence these small tables.
 */
import { app } from "../../../scripts/app.js";
import { runWords } from "./run_words.mjs";
import en from "./words/en.js";

const LANGUAGES = ["ko", "zh"];
const tables = { en };

/** Fetches all languages, so that a change of the page's language needs no more than new nodes. */
export function loadWords() {
  return Promise.all(LANGUAGES.map(async (language) => {
    const answer = await fetch(new URL(`./words/${language}.json`, import.meta.url));
    if (answer.ok) tables[language] = await answer.json();
  }));
}

/**
 * The text `key`, with `values` in the places of its `{names}`; numbers are written as the language does.
 * A text that has plural forms takes the one for `values.count`. The result is plain text, never HTML.
 */
export function say(key, values = {}) {
  const chosen = app.extensionManager.setting.get("Comfy.Locale");
  const language = tables[chosen]?.[key] === undefined ? "en" : chosen;
  const forms = tables[language][key];
  const text = typeof forms === "string" ? forms : forms[new Intl.PluralRules(language).select(values.count)];
  return text.replace(/\{(\w+)\}/g, (place, name) => {
    const value = values[name];
    if (value === undefined) return place;
    return typeof value === "number" ? value.toLocaleString(language) : value;
  });
}

/** How a plan calls a step, and what changed since the run before, as the server says both. */
export const { label: planLabel, change: sayChange } = runWords(en, say);
