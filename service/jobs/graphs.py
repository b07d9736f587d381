"""What a graph may be: checked when it is submitted, given names of its own when it is tried.

Pure functions. Whatever they refuse, they say in one sentence.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from ...core.language.choices import Option
from ...core.language.mistakes import ScriptError
from ...core.language.resolve import every
from ...core.language.script import parse

Graph = dict[str, dict[str, Any]]
EXPORT = "Export it with File > Export (API) in ComfyUI."
HERE = ("nodes", "comfy_extras.")
"""Modules whose nodes need no permission: ComfyUI's own. So do ours, by their name."""
TEXTS = frozenset({"text", "script", "negative", "prompt", "text_g", "text_l", "clip_l", "t5xxl"})
"""Inputs that are prompts: there a slash is text. What a prompt names is in ComfyUI's own folders."""
FOLDERS = {
    "SaveLoRA": "prefix",
    "SaveImageDataSetToFolder": "folder_name",
    "SaveImageTextDataSetToFolder": "folder_name",
    "SaveTrainingDataset": "folder_name",
}
"""Nodes of ComfyUI that write where another widget than filename_prefix says."""
OUTSIDE = re.compile(r"[/\\]|~[/\\]|[A-Za-z]:[/\\]")
UP = re.compile(r"(^|[/\\])\.\.([/\\]|$)")
LONGEST_NAME = 60
"""Characters of a run's or a prefix's name that are kept beside the job's id."""


class BadGraph(Exception):
    """A sentence, a code of Comfy API v2, and details for programs."""

    def __init__(self, message: str, code: str = "invalid_workflow", **details: Any):
        self.message, self.code, self.details = message, code, details
        super().__init__(message)


@dataclass(frozen=True)
class Limits:
    """What one request, one graph and all of them together may be."""

    body: int = 2 << 20  # bytes of a request that is no upload
    upload: int = 100 << 20  # bytes of a picture
    pixels: int = 64 << 20  # of a picture, and of what a graph asks for
    nodes: int = 500
    text: int = 100_000  # characters of a text in a graph
    steps: int = 2_000  # iterations of a script, repeats, choices and candidates counted
    waiting: int = 10_000  # jobs
    streams: int = 64  # event streams at once
    uploads: int = 8  # uploads at once
    slow: float = 60.0  # seconds for a request to arrive; an upload has ten times that
    hours: float = 12.0  # of one job


class AnyLine:
    """Stands for wildcard files where only the number of steps counts: the door does not have them."""

    def options(self, name: str) -> tuple[Option, ...]:
        return (Option(1.0, (name,)),)


def check_form(graph: Mapping[str, Any], limits: Limits) -> None:
    """Raises BadGraph where `graph` is not ComfyUI's API form, or too large in what can be read from it."""
    if isinstance(graph.get("nodes"), list):
        raise BadGraph(
            f"This is a graph as the page saves it, not its API form. {EXPORT}", "workflow_format_ui"
        )
    if not graph:
        raise BadGraph(f"The graph has no nodes. {EXPORT}")
    if len(graph) > limits.nodes:
        raise BadGraph(f"A graph may have {limits.nodes} nodes, and this one has {len(graph)}.")
    for name, node in graph.items():
        kind = node.get("class_type") if isinstance(node, dict) else None
        if not isinstance(kind, str) or not isinstance(node.get("inputs", {}), dict):
            raise BadGraph(f"Node {name[:40]!r} has no class_type and inputs. {EXPORT}")
    for name, node in graph.items():
        for given, value in node.get("inputs", {}).items():
            _check_value(f"Node {name} ({node['class_type']}): {given}", given, value, limits)
        if node["class_type"] == "ISI_Script":
            _check_script(name, graph, limits)
        if node["class_type"] == "ISI_Grid":
            raise BadGraph(
                f"Node {name} (ISI_Grid) queues prompts of its own, which no job of a service may: connect "
                "its image to a SaveImage, and send each cell as a job (python run.py batch with --set)."
            )


def _check_value(where: str, given: str, value: Any, limits: Limits) -> None:
    if not isinstance(value, str):
        return
    if len(value) > limits.text:
        raise BadGraph(f"{where} has {len(value):,} characters; {limits.text:,} are allowed.")
    if given not in TEXTS and (OUTSIDE.match(value) or UP.search(value)):
        raise BadGraph(
            f"{where} is {value[:80]!r}: no path may lead out of ComfyUI's folders. Upload the picture, and "
            "name it as the answer does."
        )


def literal(graph: Mapping[str, Any], value: Any) -> Any:
    """A value, or the one widget of the primitive node that it is linked to."""
    if isinstance(value, list) and len(value) == 2:
        source = graph.get(str(value[0])) or {}
        if str(source.get("class_type")).startswith("Primitive"):
            return source.get("inputs", {}).get("value")
    return value


def _check_script(name: str, graph: Mapping[str, Any], limits: Limits) -> None:
    """Reads the script as the node will. Raises BadGraph with its line, column and caret."""
    inputs = graph[name].get("inputs", {})
    text = literal(graph, inputs.get("script"))
    if not isinstance(text, str):
        return  # what another node writes is known only when it has run: then the job is stopped
    try:
        script = parse(text)
        groups = list(script.groups)
        if len(groups) <= limits.steps and inputs.get("choices") == "all":
            groups = [each.group for each in every(script, AnyLine())]
    except ScriptError as error:
        raise BadGraph(f"Node {name} (ISI_Script): {error}", node=name) from error
    most = _candidates(graph)
    steps = sum(group.candidates or most for group in groups)  # each candidate is sampled
    if steps > limits.steps:
        raise BadGraph(
            f"Node {name} (ISI_Script): the script makes {steps:,} steps; {limits.steps:,} are allowed."
        )


def _candidates(graph: Mapping[str, Any]) -> int:
    """The most that an ISI Iterate of the graph gives a step which does not say how many it has."""
    loops = (node.get("inputs", {}) for node in graph.values() if node["class_type"] == "ISI_Iterate")
    given = (literal(graph, inputs.get("candidates")) for inputs in loops)
    return max((value for value in given if type(value) is int), default=1)


def check_nodes(graph: Mapping[str, Any], known: Mapping[str, str], allowed: tuple[str, ...]) -> None:
    """Raises BadGraph for nodes that ComfyUI does not have, or that nobody allowed.

    `known` is each node's Python module; `allowed` are patterns of nodes of other packs, `*` all of them.
    """
    kinds = sorted({node["class_type"] for node in graph.values()})
    if missing := [kind for kind in kinds if kind not in known]:
        ours = (
            " Those that begin with ISI_ are of a newer isi-nodes."
            if any(k.startswith("ISI_") for k in missing)
            else ""
        )
        raise BadGraph(
            f"ComfyUI does not have {_some(missing)}: install the pack that has it (ComfyUI Manager finds "
            f"packs by the names of nodes) and start the service again.{ours}",
            nodes=missing[:50],
        )
    for kind in kinds:
        module = known[kind]
        free = module == HERE[0] or module.startswith(HERE[1]) or kind.startswith("ISI_")
        if not free and not any(fnmatchcase(kind, pattern) for pattern in allowed):
            pack = module.rpartition("custom_nodes.")[2].split(".")[0]
            raise BadGraph(
                f"The node {kind} is of the pack {pack}, which this service does not allow: start it with "
                f"--allow-nodes '{kind}' if you trust that pack.",
                nodes=[kind],
            )


def packs_of_page(graph: Mapping[str, Any], known: Mapping[str, str]) -> str:
    """Of a graph as the page saves it: which nodes are missing, and the packs that it names for them."""
    missing: dict[str, str] = {}
    for node in graph.get("nodes") or ():
        if (
            isinstance(node, dict)
            and isinstance(kind := node.get("type"), str)
            and known
            and kind not in known
        ):
            properties = node.get("properties")
            pack = (
                properties.get("cnr_id") or properties.get("aux_id") if isinstance(properties, dict) else None
            )
            if pack:
                missing[kind] = str(pack)[:100]
    if not missing:
        return ""
    return (
        " ComfyUI also lacks "
        + _some([f"{kind} (pack {pack})" for kind, pack in sorted(missing.items())])
        + "."
    )


def _some(names: list[str]) -> str:
    return ", ".join(name[:80] for name in names[:8]) + (
        f" and {len(names) - 8} more" if len(names) > 8 else ""
    )


def with_assets(graph: Graph, name_of: Callable[[str], str | None]) -> Graph:
    """`graph` with file names for its references to uploaded pictures. Raises BadGraph (`missing_asset`)."""
    found: Graph = {}
    for name, node in graph.items():
        inputs = dict(node.get("inputs", {}))
        for given, value in inputs.items():
            if isinstance(value, dict) and value.get("__type") == "core/ASSET":
                info = value.get("info")
                asset = info.get("id") if isinstance(info, dict) else None
                file = name_of(asset) if isinstance(asset, str) else None
                if file is None:
                    raise BadGraph(
                        f"Node {name}: {given} names an asset that is not here; upload it.", "missing_asset"
                    )
                inputs[given] = file
        found[name] = {**node, "inputs": inputs}
    return found


def job_folder(job: str, attempt: int) -> str:
    """Where an attempt's files go, below the output folder."""
    return f"jobs/{job}/{attempt}"


def place_of(node: Mapping[str, Any]) -> str | None:
    """The widget that says where a node writes its files, if it has one."""
    inputs = node.get("inputs", {})
    place = FOLDERS.get(node["class_type"], "filename_prefix")
    return place if place in inputs else None


def _prefix(given: Any, folder: str) -> str:
    """`folder`, and of the name that somebody gave as much as a file's name may have."""
    name = given[-LONGEST_NAME:].strip("/\\ ") if isinstance(given, str) else ""
    return f"{folder}/{name or 'ComfyUI'}"


def for_attempt(graph: Graph, job: str, attempt: int) -> tuple[Graph, dict[str, str]]:
    """The graph that an attempt runs, and the node behind each of its ISI runs, by the run's name.

    No two jobs share a file: prefixes and folders lead into the attempt's own folder, runs have the job's id
    in their names. Two attempts share their runs, whose pictures are named by content.
    """
    own: Graph = json.loads(json.dumps(graph))
    runs: dict[str, str] = {}
    for name, node in own.items():
        inputs = node.setdefault("inputs", {})
        if place := place_of(node):
            inputs[place] = _prefix(inputs[place], job_folder(job, attempt))
            if place == "folder_name" and "filename_prefix" in inputs:
                # ComfyUI does not hold it to that folder.
                inputs["filename_prefix"] = re.split(r"[/\\]", _prefix(inputs["filename_prefix"], ""))[-1]
        if node["class_type"] == "ISI_Iterate":
            wanted = inputs.get("run_name")
            wanted = f"{wanted[:LONGEST_NAME].strip()}-" if isinstance(wanted, str) and wanted.strip() else ""
            run = f"{wanted}{job}"
            while run in runs:
                run = f"{run}-{len(runs) + 1}"
            inputs["run_name"] = run
            runs[run] = name
    return own, runs
