/** What the server answers to a question of ours. */
import { api } from "../../../scripts/api.js";

/** The JSON of an answer, also of one that refuses; null where none came, or where `options.signal` ended the asking. */
export async function ask(path, options = {}) {
  try {
    const answer = await (await api.fetchApi(path, options)).json();
    return options.signal?.aborted ? null : answer;
  } catch (error) {
    if (options.signal?.aborted || error instanceof TypeError || error instanceof SyntaxError) return null;
    throw error;
  }
}

/** What the server has of a run on its disk, whole: `{of, iterations, choices, versions}` or `{error}`. Large ones come in pages. */
export async function askRun(name, signal) {
  const address = `/isi/runs/${encodeURIComponent(name)}`;
  const answer = await (await api.fetchApi(address, { signal })).json();
  for (let { next } = answer; next;) {
    const more = await (await api.fetchApi(`${address}?from=${next}`, { signal })).json();
    answer.iterations.push(...(more.iterations ?? []));
    answer.choices.push(...(more.choices ?? []));
    next = more.next;
  }
  return answer;
}
