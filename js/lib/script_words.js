/** The mistakes of a script in the language of the page; in English they are the server's own words. */
import { say } from "./words.js";

const MARKED = { repeat: "script.repeat", candidates: "script.candidates" };
const called = (setting) => (MARKED[setting] ? say(MARKED[setting]) : `@${setting}`);

/** What is wrong, as a sentence: the text of a ScriptError. */
export function reasonOf({ key, values }) {
  const said = { ...values };
  if (values.range) said.range = say("script.range", { low: values.range[0], high: values.range[1] });
  if (values.setting) said.setting = called(values.setting);
  if (values.kind) said.kind = values.kind === "whole" ? say("script.whole_number") : say("script.number");
  if (values.written === "") said.written = say("script.nothing");
  return say(`script.${key}`, said);
}
