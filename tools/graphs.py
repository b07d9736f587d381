"""Small changes to graphs in their API form, and the pictures that a run of one left behind."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
WORKFLOWS = ROOT / "workflows"

Graph = dict[str, dict[str, Any]]


def names() -> list[str]:
    """Every shipped workflow."""
    return sorted(path.stem for path in (WORKFLOWS / "api").glob("*.json") if "." not in path.stem)


def inputs() -> list[Path]:
    """The pictures and clips that shipped workflows start from."""
    return [path for path in (ROOT / "assets" / "examples").iterdir() if path.suffix in (".png", ".webp")]


def load(name: str) -> Graph:
    """The API form of the workflow `name`."""
    return json.loads((WORKFLOWS / "api" / f"{name}.json").read_text("utf-8"))


def nodes_of(graph: Graph, *classes: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """(id, node) of every node of one of the given classes."""
    return ((node_id, node) for node_id, node in graph.items() if node["class_type"] in classes)


def title(graph: Graph, node_id: str) -> str:
    """How the user sees the node called."""
    return graph[node_id].get("_meta", {}).get("title", graph[node_id]["class_type"])


def use_checkpoint(graph: Graph, ckpt_name: str) -> None:
    """Puts the user's checkpoint in place of the embedded model."""
    for _, node in nodes_of(graph, "ISI_MiniCheckpoint"):
        node["class_type"], node["inputs"] = "CheckpointLoaderSimple", {"ckpt_name": ckpt_name}


def set_inputs(graph: Graph, node_class: str, **values: Any) -> None:
    """Sets widgets of every node of a class."""
    for _, node in nodes_of(graph, node_class):
        node["inputs"].update(values)


def reseed(graph: Graph, by: int) -> None:
    """Moves every seed."""
    for node in graph.values():
        for name in ("seed", "noise_seed"):
            if isinstance(value := node["inputs"].get(name), int):
                node["inputs"][name] = value + by


def pictures(outputs: Graph, base: Path) -> dict[str, list[Path]]:
    """The picture files that each output node of a finished run wrote or showed, by node id."""
    found: dict[str, list[Path]] = {}
    for node_id, output in outputs.items():
        found[node_id] = [
            base / image["type"] / image["subfolder"] / image["filename"]
            for image in output.get("images", [])
            if isinstance(image, dict) and "filename" in image
        ]
    return {node_id: files for node_id, files in found.items() if files}
