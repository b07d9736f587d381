/**
 * Which open workflow a job of the queue belongs to, and which run each node made last.
 *
 * Only one workflow is on the canvas, and nodes of several may have the same id: what the server says of a job is for
 * the nodes of its own workflow, now or when that one is opened again. What a node last made is remembered here,
 * beside the page's undo history, so that neither Ctrl+Z nor F5 right after a run loses it.
 */
import { api } from "../../../scripts/api.js";
import { app } from "../../../scripts/app.js";
import { read, renewed, write } from "./storage.js";

const JOBS = "isi.jobs";
const RUNS = "isi.runs";
const MOST_JOBS = 64;
const MOST_WORKFLOWS = 100;

const keyOf = (path, id) => `${id} ${path}`;

/** The open workflow, as it stays over a reload of the page: a template that was opened twice is two. */
export const workflowKey = () => keyOf(app.extensionManager.workflow.activeWorkflow?.path, app.rootGraph.id);

/** Whether the page is opening a graph: its nodes are there, but the workflow before it is still the open one. */
export const isOpening = () => Boolean(window.comfyAPI?.changeTracker?.ChangeTracker?.isLoadingGraph);

/** The workflow of a job, from the page's own record; after a reload from ours. Undefined where neither has it. */
function workflowOf(job) {
  const { queuedJobs, queuedPrompts } = app.extensionManager._p?._s?.get("execution") ?? {};
  const workflow = (queuedJobs ?? queuedPrompts)?.[job]?.workflow;
  if (!workflow) return read(sessionStorage, JOBS)[job];
  const open = workflow.path === app.extensionManager.workflow.activeWorkflow?.path;
  return keyOf(workflow.path, open ? app.rootGraph.id : workflow.activeState?.id);
}

/** Whether a job of the queue belongs to the workflow on the canvas; one that nothing is known of does. */
export const isOfThisWorkflow = (job) => (workflowOf(job) ?? workflowKey()) === workflowKey();

/** The node that an execution id (`7`, or `3:7` inside subgraphs) means; null where there is none. */
export function nodeAt(id) {
  let graph = app.rootGraph;
  let node = null;
  for (const part of String(id).split(":")) {
    node = graph?.nodes.find((each) => String(each.id) === part) ?? null;
    graph = node?.subgraph;
  }
  return node;
}

/** The run that `node` made last in this browser; undefined where it made none in the open workflow. */
export function lastRun(node) {
  const runs = Object.entries(read(localStorage, RUNS)[workflowKey()] ?? {});
  return runs.findLast(([id]) => nodeAt(id) === node)?.[1];
}

function remember(workflow, node, run) {
  const all = read(localStorage, RUNS);
  if (Object.entries(all[workflow] ?? {}).at(-1)?.join() === [node, run].join()) return;
  write(localStorage, RUNS, renewed(all, workflow, renewed(all[workflow] ?? {}, String(node), run)), MOST_WORKFLOWS);
}

/** Follows the queue as long as the page is open. */
export function followJobs() {
  api.addEventListener("execution_start", ({ detail }) => {
    const workflow = workflowOf(detail.prompt_id);
    if (workflow) write(sessionStorage, JOBS, renewed(read(sessionStorage, JOBS), detail.prompt_id, workflow), MOST_JOBS);
  });
  const made = ({ prompt_id: job, node }, run) => run && remember(workflowOf(job) ?? workflowKey(), node, run);
  api.addEventListener("isi.iteration", ({ detail }) => made(detail, detail.run));
  api.addEventListener("executed", ({ detail }) => made(detail, detail.output?.isi_run?.[0]?.run));
}
