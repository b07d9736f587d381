/**
 * What the server says of a run, in the language of the page: how a plan calls its steps, and what changed since the run
 * before. Both come in English with their values in them. The English words of js/lib/words are the patterns by which
 * the values are found again; prompts, and names of nodes and inputs, stay as they are.
 */
const PLAN = "plan.";
const ARROW = " -> ";

/** `upscale {stage}/{of}` as a pattern: a prompt is any text, all other values are numbers. */
function pattern(text) {
  const literal = text.replace(/[.*+?^${}()|[\]\\/]/g, "\\$&");
  return new RegExp(`^${literal.replace(/\\\{(\w+)\\\}/g, (_, name) => `(?<${name}>${name === "prompt" ? "[^]*" : "[-+\\d., ]+"})`)}$`);
}

/** What says labels and changes by `say(key, values)`; `en` has the English words of all keys. */
export function runWords(en, say) {
  const labels = Object.keys(en).filter((key) => key.startsWith(PLAN)).map((key) => [key.slice(PLAN.length), pattern(en[key])]);

  /** A plan's name of a step; as it is where no plan of ours calls one so. */
  function label(text) {
    for (const [kind, made] of labels) {
      const found = made.exec(text);
      if (found) return say(`plan.${kind}`, found.groups ?? {});
    }
    return text;
  }

  function word(text) {
    const known = text.replaceAll(" ", "_");
    return en[`change.${known}`] === text ? say(`change.${known}`) : text;
  }

  /** A name on the way to a value: `model`, or `KSampler code`. */
  function name(text) {
    const [, node] = /^(.+) code$/.exec(text) ?? [];
    const [, number] = /^weights (\d+)$/.exec(text) ?? [];
    if (node) return say("change.code_of", { node });
    return number ? say("change.weights", { number }) : word(text);
  }

  function value(text) {
    return text.startsWith("from ") ? say("change.from", { node: text.slice(5) }) : word(text);
  }

  /** `model: LoraLoader strength_model: 1 -> 0.8`. */
  function change(text) {
    const at = text.indexOf(ARROW);
    const end = text.lastIndexOf(": ", at);
    if (at < 0 || end < 0) return text;
    const path = text.slice(0, end).split(": ").map(name).join(": ");
    return `${path}: ${value(text.slice(end + 2, at))}${ARROW}${value(text.slice(at + ARROW.length))}`;
  }

  return { label, change };
}
