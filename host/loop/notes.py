"""What a picture's metadata says of the graph that made it, besides what the host says."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from comfy_execution.utils import get_executing_context


def with_shown(notes: Mapping[str, str], run: str, key: str) -> Mapping[str, str]:
    """`notes` with a workflow that opens with the executing node's strip at the iteration `key` of `run`."""
    context = get_executing_context()
    workflow = json.loads(notes.get("workflow", "null"))
    node = _node_at(workflow, context.node_id) if context and isinstance(workflow, dict) else None
    if node is None:
        return notes
    node["properties"] = {**(node.get("properties") or {}), "isi_run": run, "isi_key": key}
    return {**notes, "workflow": json.dumps(workflow)}


def _node_at(workflow: dict[str, Any], node_id: str) -> dict[str, Any] | None:
    """The node of an execution id (`7`, or `3:7` inside subgraphs) in a graph's UI form."""
    graphs = (workflow.get("definitions") or {}).get("subgraphs") or []
    inside: Any = workflow
    found = None
    for part in node_id.split(":"):
        nodes = inside.get("nodes") if isinstance(inside, dict) else None
        found = next((node for node in nodes or [] if str(node.get("id")) == part), None)
        if found is None:
            return None
        inside = next((graph for graph in graphs if graph.get("id") == found.get("type")), None)
    return found
