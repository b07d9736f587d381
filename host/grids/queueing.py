"""Cells as ordinary prompts of ComfyUI's own queue, and the node that stands in each of them.

ISI Grid is in two kinds of prompts. In a *cell's* it takes the picture and writes it down; everything behind
it is sampled as always. In all others it takes no picture: it queues some of the missing cells and then
itself once more, until each cell was tried, and ends with the sheet. So the queue stays short for any number
of cells, who clears it stops the grid, and what a killed server loses is the cell that was being made.
"""

from __future__ import annotations

import copy
import threading
import time
import uuid
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import execution
from comfy_execution.graph_utils import ExecutionBlocker, is_link
from comfy_execution.utils import get_executing_context
from server import PromptServer
from torch import Tensor

from ...core.grids.cells import Cell
from ...core.grids.targets import SEEDS
from ..keys.graph import node_classes
from ..loop.home import job_user, note_job
from ..loop.progress import say_on_node
from .folder import GridFolder
from .grid_plan import GridPlan, clean_graph, plan_grid

ROUND = 32
"""Cells in the queue at once. ComfyUI's page reads the whole queue again whenever it changes."""


@dataclass
class CellJob:
    """A cell in the queue: what it is, and when its prompt came to it (s)."""

    folder: GridFolder
    key: str
    graph: Mapping[str, Any]
    began: float = 0.0


@dataclass
class Making:
    """A grid that is being made: the cells that were not tried yet, and with what its prompts are queued."""

    plan: GridPlan
    prompt: Mapping[str, Any]
    extra: Mapping[str, Any]
    sensitive: Mapping[str, Any]
    user: str
    todo: deque[tuple[str, Cell]] = field(default_factory=deque)


CHANGING = ("randomize", "increment", "decrement")
"""What the page does with a seed after each queueing, but for `fixed`."""

_cells: dict[str, CellJob] = {}
_makings: dict[str, Making] = {}
"""By the ids of their prompts in the queue; a server that is killed forgets both, as it does its queue."""
_lock = threading.Lock()
"""Requests queue grids too, each in a thread of its own."""


def wants_picture() -> bool:
    """Whether the prompt that runs just now is that of a cell, and the cell is not there yet."""
    job = _cells.get(_running())
    if job is None or job.folder.has(job.key):
        return False
    job.began = job.began or time.perf_counter()
    return True


def shown(folder: GridFolder) -> dict[str, Any]:
    """What tells the page which grid a node made."""
    return {"isi_grid": [{"name": folder.name}]}


def take_pictures(pictures: Sequence[Tensor | None]) -> dict[str, Any] | None:
    """Ends a cell: writes its `pictures`, each `[B, H, W, C]` in 0..1; what the page shows of it.

    None where the prompt that runs just now is no cell's. Raises ValueError where it can't be written.
    """
    job = _cells.pop(_running(), None)
    if job is None:
        return None
    each = [picture for batch in pictures if batch is not None for picture in batch]
    if each:
        job.folder.write_cell(job.key, each, job.graph, time.perf_counter() - job.began)
    return {"images": [job.folder.picture(job.key)]} | shown(job.folder)


def go_on(prompt: Mapping[str, Any], axes: str) -> tuple[GridPlan, bool]:
    """Queues what comes next of the grid whose node runs just now; its plan, and whether that was all.

    `prompt` is the whole graph in API form. Raises ValueError, before anything is queued.
    """
    context = get_executing_context()
    making = _makings.pop(_running(), None)
    if making is None:
        plan = plan_grid(prompt, context.node_id if context else None, axes)
        extra, sensitive = _given(_running())
        making = start(plan, prompt, extra, sensitive, job_user())
        say_on_node(_beginning(making))
    if making.todo:
        queue_round(making)
        return making.plan, False
    left = len(making.plan.missing())
    if left:
        many = len(making.plan.keys)
        say_on_node(f"{left} of {many} cells could not be made: queue the grid again to try them once more.")
    return making.plan, True


def start(
    plan: GridPlan,
    prompt: Mapping[str, Any],
    extra: Mapping[str, Any],
    sensitive: Mapping[str, Any],
    user: str,
) -> Making:
    """A grid that is about to be made; its viewer is written. Raises ValueError where that fails."""
    plan.folder.write_view(plan.view())
    return Making(plan, clean_graph(prompt), extra, sensitive, user, deque(plan.missing().items()))


def queue_round(making: Making) -> list[str]:
    """Queues the next cells, and the grid's own prompt behind them; the ids of these prompts."""
    plan, ids = making.plan, []
    with _lock:
        _forget()
        for key, cell in [making.todo.popleft() for _ in range(min(ROUND, len(making.todo)))]:
            graph = copy.deepcopy(plan.graph(cell))
            ids.append(str(uuid.uuid4()))
            # Known before it is queued: the queue may begin it at once.
            _cells[ids[-1]] = CellJob(plan.folder, key, graph)
            _put(ids[-1], graph, [plan.node], making)
        outputs = [plan.node] if making.todo else [plan.node, *_after(making.prompt, plan.node)]
        ids.append(str(uuid.uuid4()))
        _makings[ids[-1]] = making
        _put(ids[-1], copy.deepcopy(dict(making.prompt)), outputs, making)
    return ids


def nothing_yet() -> ExecutionBlocker:
    """What an output is that has no value: nodes behind it do not run, without an error."""
    return ExecutionBlocker(None)


def _put(prompt_id: str, graph: dict[str, Any], outputs: list[str], making: Making) -> None:
    server = PromptServer.instance
    number = server.number
    server.number += 1
    note_job(prompt_id, making.user)
    extra = {**copy.deepcopy(dict(making.extra)), "create_time": int(time.time() * 1000)}
    server.prompt_queue.put((number, prompt_id, graph, extra, outputs, dict(making.sensitive)))


def _forget() -> None:
    """Drops what was in a queue that someone cleared."""
    running, queued = PromptServer.instance.prompt_queue.get_current_queue_volatile()
    there = {item[1] for item in (*running, *queued)} | {_running()}
    for known in (_cells, _makings):
        for gone in known.keys() - there:
            del known[gone]


def _running() -> str:
    context = get_executing_context()
    return context.prompt_id if context else ""


def _given(prompt_id: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """With what the running prompt was queued: its client, its workflow; and its keys for paid services."""
    running, _ = PromptServer.instance.prompt_queue.get_current_queue_volatile()
    for item in running:
        if item[1] == prompt_id:
            return item[3], item[5]
    return {"client_id": PromptServer.instance.client_id}, {}


def split_extra(extra: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What `extra_data` of a request has, as the queue keeps it: all else, and what no one may read there."""
    secret = set(execution.SENSITIVE_EXTRA_DATA_KEYS)
    return {k: v for k, v in extra.items() if k not in secret}, {
        k: v for k, v in extra.items() if k in secret
    }


def _after(prompt: Mapping[str, Any], node: str) -> list[str]:
    """The nodes with results to see or to save that come after `node`."""
    found = {node}
    while more := {
        id
        for id, each in prompt.items()
        if id not in found and any(is_link(value) and value[0] in found for value in each["inputs"].values())
    }:
        found |= more
    return [
        id for id in found - {node} if getattr(node_classes()[prompt[id]["class_type"]], "OUTPUT_NODE", False)
    ]


def _beginning(making: Making) -> str:
    many, missing = len(making.plan.keys), len(making.todo)
    if not missing:
        return f"All {many} cells are there."
    seconds = making.plan.seconds()
    said = f"{missing} of {many} cells are to be made; how long one takes is not known yet."
    if seconds is not None:
        said = f"{missing} of {many} cells are to be made, which takes about {duration(missing * seconds)}."
    loose = _loose_seeds(making)
    if loose:
        said = f"{said} Set the seed of {loose} to fixed: with another seed all cells are made anew."
    return said


def _loose_seeds(making: Making) -> str:
    """The nodes behind the picture whose seed the page changes with each queueing, as the page says."""
    workflow = (making.extra.get("extra_pnginfo") or {}).get("workflow") or {}
    varied = {
        change.node for changes in making.plan.targets.changes for change in changes if change.widget in SEEDS
    }
    behind = making.plan.targets.graph.keys() - varied
    found = [
        node.get("title") or node.get("type")
        for node in workflow.get("nodes", [])
        if str(node.get("id")) in behind
        and any(way in (node.get("widgets_values") or ()) for way in CHANGING)
    ]
    return ", ".join(map(str, found))


def duration(seconds: float) -> str:
    """About how long that is."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def overview(plan: GridPlan) -> dict[str, Any]:
    """What is known of a grid before it is made: its cells, those that are missing, how long (s)."""
    missing, seconds = len(plan.missing()), plan.seconds()
    return {
        "name": plan.folder.name,
        "folder": str(plan.folder.path),
        "cells": len(plan.keys),
        "missing": missing,
        "seconds": None if seconds is None else round(missing * seconds, 1),
    }


def queue_grid(body: Any, user: str) -> dict[str, Any]:
    """Plans the grid of a graph, and queues it unless `dry` is true. Raises ValueError."""
    if not isinstance(body, dict):
        raise ValueError("Expected a JSON object with a graph in API form as `prompt`.")
    node, extra = body.get("node"), body.get("extra_data") or {}
    plan = plan_grid(body.get("prompt"), None if node is None else str(node))
    told = overview(plan)
    if body.get("dry"):
        return told
    extra, sensitive = split_extra(extra if isinstance(extra, dict) else {})
    if isinstance(body.get("client_id"), str):
        extra["client_id"] = body["client_id"]
    making = start(plan, body["prompt"], extra, sensitive, user)
    return told | {"prompt_ids": queue_round(making)}
