/** What an iteration's PNG tells of itself: the text `isi` that host/loop/run.py writes into it. */

const SIGNATURE = [137, 80, 78, 71, 13, 10, 26, 10];
const KEYWORD = "isi";
const HEAD = 8;

/** The JSON value in the text chunk `isi` of a PNG file; null where there is none. */
export function storyOf(bytes) {
  if (SIGNATURE.some((byte, i) => bytes[i] !== byte)) return null;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = SIGNATURE.length; at + HEAD <= bytes.length; ) {
    const length = view.getUint32(at);
    const type = String.fromCharCode(...bytes.subarray(at + 4, at + HEAD));
    if (type === "IDAT" || type === "IEND") return null;
    const data = bytes.subarray(at + HEAD, at + HEAD + length);
    const end = data.indexOf(0);
    if (type === "tEXt" && new TextDecoder("latin1").decode(data.subarray(0, end)) === KEYWORD) {
      try {
        return JSON.parse(new TextDecoder("latin1").decode(data.subarray(end + 1)));
      } catch {
        return null;
      }
    }
    at += HEAD + length + 4;
  }
  return null;
}

/** The story of the PNG at `url`; null where it can't be had. */
export async function fetchStory(url, signal) {
  try {
    const answer = await fetch(url, { signal });
    return answer.ok ? storyOf(new Uint8Array(await answer.arrayBuffer())) : null;
  } catch {
    return null;
  }
}
