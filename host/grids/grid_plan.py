"""A grid before it is made: its cells, their graphs and keys, what is missing, and how long that may take."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from server import PromptServer

from ...core.grids.axes import Axes, read_axes
from ...core.grids.cells import Cell, cells, count, place
from ...core.grids.targets import Targets, find_targets, is_link
from ...core.grids.values import mistake
from ..keys.identity import files_of
from ..loop.home import home
from .cell_keys import CellKeys, digest
from .folder import GridFolder
from .kinds import kind_of, refused

GRID = "ISI_Grid"


@dataclass(frozen=True)
class GridPlan:
    """The grid of the node `node`; `keys` has the key of each cell, in the order of making."""

    node: str
    axes: Axes
    targets: Targets
    keys: Mapping[Cell, str]
    folder: GridFolder

    def graph(self, cell: Cell) -> dict[str, Any]:
        """The graph of a cell, the grid's node included."""
        return self.targets.graph_of(cell)

    def missing(self) -> dict[str, Cell]:
        """The cells that are not there, by their keys, in the order of making."""
        done = self.folder.done()
        return {key: cell for cell, key in self.keys.items() if key not in done}

    def values(self, cell: Cell) -> list[str]:
        """The text of each axis's value."""
        return [axis.values[at].text for axis, at in zip(self.axes.axes, cell, strict=True)]

    def view(self) -> dict[str, Any]:
        """What the viewer shows: axes with their values, and the key of each cell, the first axis fastest."""
        keys: list[str | None] = [None] * count(self.axes)
        for cell, key in self.keys.items():
            keys[place(self.axes, cell)] = key
        axes = [
            {"title": axis.title, "values": [value.text for value in axis.values]} for axis in self.axes.axes
        ]
        return {"version": 1, "name": self.folder.name, "axes": axes, "keys": keys}

    def seconds(self) -> float | None:
        """About how long a cell takes, as others did, or the graph itself; None where neither is known."""
        times = self.folder.times()
        if times:
            return statistics.median(times)
        classes = {node["class_type"] for id, node in self.targets.graph.items() if id != self.node}
        found = list(_history(classes))
        # A job whose results were all in the cache took no time.
        return statistics.median(each for each in found if each * 10 >= max(found)) if found else None


def plan_grid(prompt: Any, node: str | None = None, axes: str | None = None) -> GridPlan:
    """The grid that a graph in API form asks for, by its only ISI Grid or by that of the id `node`.

    `axes` are its axes where they come through a link. Raises ValueError for all that can be wrong, before
    anything is made: ScriptError, which is one, for a slip in the axes.
    """
    graph = clean_graph(prompt)
    node = _grid_node(graph, node)
    inputs = graph[node]["inputs"]
    link, text = inputs.get("image"), axes if axes is not None else inputs.get("axes")
    name = inputs.get("name", "")
    if not is_link(link) or link[0] not in graph:
        raise ValueError("ISI Grid has no image: connect the picture that is to be compared.")
    if not isinstance(text, str) or not isinstance(name, str):
        raise ValueError("The axes and the name of ISI Grid are texts: write them into the node.")
    read = read_axes(text)
    count(read)
    targets = find_targets(read, graph, node, kind_of)
    if any(id != node and each["class_type"] == GRID for id, each in targets.graph.items()):
        raise ValueError("An ISI Grid is behind the picture of another one: connect what that one compares.")
    _ask_host(read, targets, node)
    files = files_of(home() / "files.json")
    files.refresh()
    keys = CellKeys(targets.graph, link, files)
    found = {cell: keys.key(targets.graph_of(cell)) for cell in cells(read, targets.order(node))}
    files.save()
    if not found:
        raise mistake(read.source, len(read.source), "all_skipped", "The skip rules leave out every cell.")
    view = [[axis.title, [value.text for value in axis.values]] for axis in read.axes]
    named = name or f"grid-{digest([view, sorted(found.values())])[:12]}"
    return GridPlan(node, read, targets, found, GridFolder(named))


def clean_graph(prompt: Any) -> dict[str, Any]:
    """A graph without what the host writes into the nodes of one that runs. Raises ValueError."""
    nodes = prompt.values() if isinstance(prompt, dict) else []
    if not nodes or not all(
        isinstance(node, dict)
        and isinstance(node.get("class_type"), str)
        and isinstance(node.get("inputs"), dict)
        for node in nodes
    ):
        raise ValueError("A graph in API form is expected in `prompt`: export it with File > Export (API).")
    return {
        str(id): {name: node[name] for name in ("class_type", "inputs", "_meta") if name in node}
        for id, node in prompt.items()
    }


def _grid_node(graph: Mapping[str, Any], node: str | None) -> str:
    found = [id for id, each in graph.items() if each["class_type"] == GRID]
    if node is None and len(found) == 1:
        return found[0]
    if node not in found:
        known = ", ".join(found) or "none"
        raise ValueError(f"Expected the id of an ISI Grid in `node`; this graph has {len(found)}: {known}.")
    return node


def _ask_host(axes: Axes, targets: Targets, node: str) -> None:
    """Has the host check every value, each beside the graph's own. Raises ScriptError."""

    def each() -> Iterator[tuple[tuple[int, int], dict[str, Any]]]:
        for number, axis in enumerate(axes.axes):
            for at in range(len(axis.values)):
                alone = Targets(
                    targets.graph,
                    tuple(changes if i == number else () for i, changes in enumerate(targets.changes)),
                )
                cell = tuple(at if i == number else 0 for i in range(len(axes.axes)))
                yield (number, at), alone.graph_of(cell)

    wrong = refused(each(), node)
    if wrong:
        (number, at), why = wrong
        value = axes.axes[number].values[at]
        raise mistake(axes.source, value.offset, "refused", f"ComfyUI refuses this value: {why}")


def _history(classes: set[str]) -> Iterator[float]:
    """How long the jobs took, in seconds, that this server did with all of these node classes."""
    for job in PromptServer.instance.prompt_queue.get_history().values():
        prompt, status = job["prompt"][2], job.get("status") or {}
        said = dict(status.get("messages") or [])
        ends = [said.get(name, {}).get("timestamp") for name in ("execution_start", "execution_success")]
        if None not in ends and classes <= {node.get("class_type") for node in prompt.values()}:
            yield (ends[1] - ends[0]) / 1000
