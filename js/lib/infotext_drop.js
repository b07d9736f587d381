/** Pictures of other programs, and the texts in them, that are dropped onto ISI Script or pasted into it. */

const PICTURE = /^image\/(png|jpeg|webp)$/;
/** A line of settings as A1111, Civitai and the others write it: nobody means it as words of a prompt. */
const INFOTEXT = /(^|\n)\s*Steps: \d+, .*\bSeed: \d/;

function infotextOf(data) {
  const picture = [...(data?.files ?? [])].find((file) => PICTURE.test(file.type));
  const text = data?.getData("text/plain") ?? "";
  return picture ?? (INFOTEXT.test(text) ? text : null);
}

export function acceptInfotexts(lifetime, node, root) {
  function take(event, data) {
    const given = infotextOf(data);
    if (!given) return false;
    event.preventDefault();
    event.stopPropagation(); // the page would open the graph in a picture
    import("./infotext.mjs").then(({ fill }) => fill(node, given));
    return true;
  }

  lifetime.listen(root, "dragover", (event) => {
    if (event.dataTransfer?.types.includes("Files")) event.preventDefault();
  });
  lifetime.listen(root, "drop", (event) => take(event, event.dataTransfer));
  lifetime.listen(root, "paste", (event) => take(event, event.clipboardData));
  node.onDragOver = (event) => Boolean(event.dataTransfer?.types.includes("Files"));
  node.onDragDrop = (event) => take(event, event.dataTransfer);
}
