"""What ComfyUI says of its node classes, as the axes of a grid read it; and its own check of a graph."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import execution

from ...core.grids.targets import NodeKind
from ..keys.graph import display_names, node_classes


def kind_of(name: str) -> NodeKind:
    """The title and the inputs of a node class. Raises KeyError where there is none."""
    kind = node_classes()[name]
    title = display_names().get(name) or name
    try:
        groups: Any = kind.INPUT_TYPES()
        inputs = {
            each: (given[0], given[1] if len(given) > 1 else {})
            for group in ("required", "optional")
            for each, given in groups.get(group, {}).items()
        }
    except Exception:  # a stranger's class may raise anything, or have inputs of any form
        inputs = {}
    return NodeKind(title, inputs)


def refused(graphs: Iterable[tuple[Any, dict[str, Any]]], output: str) -> tuple[Any, str] | None:
    """The mark of the first graph whose node `output` ComfyUI refuses, and why; None where it takes all.

    `graphs` are pairs of a mark and a graph in API form.
    """

    async def look() -> tuple[Any, str] | None:
        for mark, graph in graphs:
            valid, error, _, node_errors = await execution.validate_prompt("", copy.deepcopy(graph), [output])
            if not valid:
                return mark, _first_reason(graph, error, node_errors)
        return None

    # A loop of its own, since the one that runs nodes is busy with this one.
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, look()).result()


def _first_reason(graph: dict[str, Any], error: Any, node_errors: dict[str, Any]) -> str:
    for node, found in node_errors.items():
        for each in found["errors"]:
            own = each["type"] == "custom_validation_failed"  # a node's own words, after the input's name
            said = each["details"].partition(" - ")[2] if own else ""
            return f"{graph[node]['class_type']}: {said or each['message'] + ' (' + each['details'] + ')'}"
    return f"{error['message']} {error.get('details', '')}".strip()
