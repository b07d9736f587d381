/** Which characters of a script are what, for the eye; cheap, and steady while a text is half written. */

const TOKEN =
  /(?<escape>\\[{}();@*])|(?<choice>[{｛](?:\\.|[^{}｛｝|\\])*\|(?:\\.|[^{}｛｝\\])*[}｝]|__(?!_)[^\s_{}()|;@][^\s{}()|;@]*?__)|(?<schedule>\[(?:[^\[\]|]*\|[^\[\]]*|[^\[\]|:]*:(?:[^\[\]|:]*:)?\s*[-+]?[\d.][\d.eE]*\s*)\]|<lora:[^<>;]{1,200}>|\b(?:AND|BREAK)\b)|(?<global>[{｛](?:\\.|[^{}｛｝\\])*[}｝]?)|(?<separator>[;；])|(?<weight>[:：]\s*[-+.\d][\d.eE]*\s*(?=[)）])|[()（）])|(?<setting>[@＠](?:negative\s*[=＝]\s*["“](?:\\.|[^"”\\])*["”]?|(?:denoise|cfg|seed|steps|negative|sampler|scheduler)\s*(?:[=＝]\s*[^\s@＠*＊();；]*)?)|(?<![\d０-９])[*＊][\d.．０-９]+(?=\s*(?:[;；@＠*＊]|$)))/giu;

/** A longer text stays plain from there on: a page takes seconds to lay out more. */
const MOST_PIECES = 4000;

/** Pieces `{text, kind}` that make up `text`; kind is "" for a local group's own words. */
export function pieces(text) {
  const found = [];
  let last = 0;
  const add = (end, kind) => {
    const piece = text.slice(last, end);
    if (found.at(-1)?.kind === kind) found.at(-1).text += piece;
    else if (piece) found.push({ text: piece, kind });
    last = end;
  };
  for (const match of text.matchAll(TOKEN)) {
    if (found.length >= MOST_PIECES) break;
    add(match.index, "");
    const kind = Object.keys(match.groups).find((name) => match.groups[name] !== undefined);
    add(match.index + match[0].length, /^(?:and|break)$/i.test(match[0]) && !/^[A-Z]+$/.test(match[0]) ? "" : kind);
  }
  add(text.length, "");
  return found;
}
