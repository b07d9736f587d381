/** Which characters of a script are what, for the eye; cheap, and steady while a text is half written. */

const TOKEN =
  /(?<escape>\\[{}();@*])|(?<global>[{｛](?:\\.|[^{}｛｝\\])*[}｝]?)|(?<separator>[;；])|(?<weight>[:：]\s*[-+.\d][\d.eE]*\s*(?=[)）])|[()（）])|(?<setting>@(?:denoise|cfg|seed|steps)\s*(?:=\s*[^\s@*();；]*)?|(?<!\d)\*[\d.]+(?=\s*(?:[;；@*]|$)))/giu;

/** Pieces `{text, kind}` that make up `text`; kind is "" for a local group's own words. */
export function pieces(text) {
  const found = [];
  let last = 0;
  for (const match of text.matchAll(TOKEN)) {
    if (match.index > last) found.push({ text: text.slice(last, match.index), kind: "" });
    const kind = Object.keys(match.groups).find((name) => match.groups[name] !== undefined);
    found.push({ text: match[0], kind });
    last = match.index + match[0].length;
  }
  if (last < text.length) found.push({ text: text.slice(last), kind: "" });
  return found;
}
