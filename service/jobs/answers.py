"""What ComfyUI answers: the files that a job made, and why a graph was refused, in sentences."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from .graphs import Graph, place_of


class NotDone(Exception):
    """The graph is wrong, or a node failed: trying again would not help."""

    def __init__(
        self,
        message: str,
        code: str = "node_execution_error",
        node: str | None = None,
        kind: str | None = None,
    ):
        self.message, self.code, self.node, self.kind = message, code, node, kind
        super().__init__(message)


def kept_files(
    outputs: Mapping[str, Any], graph: Graph, data: Path, previews: Path, folder: str
) -> list[tuple[str, str]]:
    """The files that nodes made in `data`/output, as (node, place below `data`), each once.

    Those that they speak of, and what else lies in the place `folder`: savers of models say nothing.
    What lies in `previews`, which ComfyUI empties, is copied there; texts are written there.
    """
    found: dict[tuple[str, str], None] = {}
    root = data.resolve()

    def add(node: str, path: Path) -> None:
        if path.resolve().is_relative_to(root / "output"):
            found[node, path.resolve().relative_to(root).as_posix()] = None

    def copy_of(name: str) -> Path:
        target = root / folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        return target

    for node, said in outputs.items():
        for file in _files(said):
            below = Path(str(file.get("subfolder") or ""), file["filename"])
            if file.get("type") == "output":
                add(node, root / "output" / below)
            elif file.get("type") == "temp" and (previews / below).is_file():
                target = copy_of(f"previews/{below.name}")
                shutil.copyfile(previews / below, target)
                add(node, target)
        if texts := [text for text in said.get("text") or () if isinstance(text, str)]:
            target = copy_of(f"text-{quote(node, safe='')[:60]}.txt")
            target.write_text("\n".join(texts), "utf-8")
            add(node, target)
    known = {place for _, place in found}
    for path in sorted((root / folder).rglob("*")):
        place = path.relative_to(root).as_posix()
        if place not in known and path.is_file():
            add(_writer(graph, place), path)
    return list(found)


def _writer(graph: Graph, place: str) -> str:
    """The node whose widget leads to a file; the first of several."""
    for name, node in graph.items():
        widget = place_of(node)
        if widget and place.startswith(f"output/{node['inputs'][widget]}"):
            return name
    return ""


def _files(said: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for value in said.values():
        for each in value if isinstance(value, list) else ():
            if isinstance(each, dict) and isinstance(each.get("filename"), str):
                yield each


def refusal(graph: Mapping[str, Any], answer: Mapping[str, Any]) -> NotDone:
    """ComfyUI's reasons against a graph, in sentences."""
    found = answer.get("node_errors") or {}
    reasons = [_reason(node, each["class_type"], e) for node, each in found.items() for e in each["errors"]]
    if not reasons:
        error = answer.get("error") or {}
        if isinstance(error, dict):
            error = f"{error.get('message') or 'ComfyUI refused the graph.'} {error.get('details') or ''}"
        reasons = [error.strip()]
    first = next(iter(found), None)
    kind = graph.get(first or "", {}).get("class_type")
    return NotDone("\n".join(reasons)[:4000], "invalid_workflow", first, kind)


def _reason(node: str, kind: str, error: Mapping[str, Any]) -> str:
    given = error.get("extra_info") or {}
    if error["type"] == "value_not_in_list":
        config = [*(given.get("input_config") or [])]
        there = (
            config[0] if config and isinstance(config[0], list) else (config[1:] or [{}])[0].get("options")
        )
        names = ", ".join(map(str, (there or [])[:20])) or "none"
        return (
            f"Node {node} ({kind}): {given.get('input_name')} is {given.get('received_value')!r}, which this "
            f"ComfyUI does not have. It has: {names}{', ...' if len(there or []) > 20 else ''}."
        )
    if error["type"] == "custom_validation_failed":  # the node's words, after the input's name
        return f"Node {node} ({kind}): {error['details'].partition(' - ')[2] or error['details']}"
    return f"Node {node} ({kind}): {error['message']} ({error['details']})"
