"""The key of a cell: its resolved graph, with the contents of the files that it names."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from comfy_execution.graph import DynamicPrompt

from ...core.grids.targets import is_link
from ...core.loop.plan import canonical
from ..keys.files import Files
from ..keys.graph import subgraph


class CellKeys:
    """Keys of graphs that differ from `graph` in widgets alone: each node that does not change is read once.

    Two graphs that compute the same have one key, whatever their ids, titles, and axes are.
    """

    def __init__(self, graph: Mapping[str, Any], link: list, files: Files):
        self.link, self.files = link, files
        found = subgraph(DynamicPrompt(dict(graph)), link, files, held=False)
        self.ids = [node for node in found.ids if node in graph]
        self.links = [_links(graph[node], found.ids) for node in self.ids]
        # Such a class sees the whole graph, so a change anywhere is one of it.
        self.whole = any("graph" in node for node in found.nodes)
        self.known: dict[tuple[str, str], str] = {}
        self.unchanged = {node: (graph[node], self._read(node, graph[node])) for node in self.ids}

    def key(self, graph: Mapping[str, Any]) -> str:
        """32 hex digits."""
        if self.whole:
            found = subgraph(DynamicPrompt(dict(graph)), self.link, self.files, held=False)
            return digest([found.output, found.nodes])
        return digest([self.link[1], self.links, [self._node(node, graph[node]) for node in self.ids]])

    def _node(self, node: str, values: Mapping[str, Any]) -> str:
        before, known = self.unchanged[node]
        if values is before:
            return known
        variant = node, canonical(values["inputs"])
        if variant not in self.known:
            self.known[variant] = self._read(node, values)
        return self.known[variant]

    def _read(self, node: str, values: Mapping[str, Any]) -> str:
        """The node alone: what it is linked to counts by its place, and is not there."""
        found = subgraph(DynamicPrompt({node: dict(values)}), [node, 0], self.files, held=False)
        return digest(found.nodes[0])


def _links(node: Mapping[str, Any], ids: list[str]) -> list[list[Any]]:
    links = ((name, value) for name, value in node["inputs"].items() if is_link(value))
    return [[name, ids.index(value[0]), value[1]] for name, value in sorted(links)]


def digest(value: Any) -> str:
    """32 hex digits, equal for equal JSON values."""
    return hashlib.blake2b(canonical(value).encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
