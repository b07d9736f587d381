"""The subgraph behind a socket, in one form for all graphs that compute the same.

A node counts by its class, the code behind it, its widgets and its links; not by its id, title or place, nor
by what is beside the socket. Files count by their contents (`files`), packs by their code (`code`).
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, field
from typing import Any

from comfy_api.internal import _ComfyNodeInternal, first_real_override
from comfy_execution.graph_utils import is_link

from ...core.loop.plan import canonical
from . import code
from .files import Files

TENSORS = {"IMAGE", "MASK"}
CONDITIONER = "ISI_CONDITIONER"


@dataclass
class Subgraph:
    """`nodes` as JSON values, the one behind the socket first; and what the graph does not decide.

    `lists`: some node hands out lists, so the result also depends on which element this is. `fresh`: a node
    says that it is another one each time. `doubts`: sentences on what can't be read from the graph at all.
    """

    output: int
    nodes: list[dict[str, Any]] = field(default_factory=list)
    lists: bool = False
    fresh: bool = False
    doubts: list[str] = field(default_factory=list)
    paths: set[str] = field(default_factory=set)
    """All files that were read."""
    ids: list[str] = field(default_factory=list)
    """The id of each node, in the order of `nodes`."""


def node_classes() -> dict[str, type]:
    """Every node class by its name."""
    import nodes  # the host's module of this name; at this file's top it would be one move of the host away

    return nodes.NODE_CLASS_MAPPINGS  # pyright: ignore[reportAttributeAccessIssue]


def display_names() -> dict[str, str]:
    """What the page calls node classes, by their names; not all have such a name."""
    import nodes

    return nodes.NODE_DISPLAY_NAME_MAPPINGS  # pyright: ignore[reportAttributeAccessIssue]


def subgraph(graph: Any, link: list, files: Files, held: bool = True) -> Subgraph:
    """What lies behind `link` of a `DynamicPrompt`, breadth first, links by sorted input names.

    Pictures and masks that go straight into a conditioner are left out: it holds them, and is read. Where
    nobody reads it, `held` is False, and they count by the graph as all else.
    """
    found = Subgraph(int(link[1]))
    order = {link[0]: 0}
    waiting = found.ids
    waiting.append(link[0])
    for node_id in waiting:  # grows while it is read; a node is read once, so a circle of links ends
        if not graph.has_node(node_id):
            found.doubts.append(f"there is no node {node_id}")
            found.nodes.append({})
            continue
        node = graph.get_node(node_id)
        name = node["class_type"]
        kind = node_classes().get(name)
        if kind is None:
            found.doubts.append(f"there is no node class {name}")
            found.nodes.append({"class": name})
            continue
        facts: dict[str, Any] = {"class": name, "code": _behaviour(kind, name, found)}
        _ask_about(kind, graph, node_id, node, facts, found)
        cut = held and _is_conditioner(kind)
        inputs = {}
        for key in sorted(node["inputs"]):
            value = node["inputs"][key]
            if not is_link(value):
                inputs[key] = _constant(value, files, found)
                continue
            if cut and _type_of(graph, value) in TENSORS:
                inputs[key] = "held by the conditioner"
                continue
            if value[0] not in order:
                order[value[0]] = len(order)
                waiting.append(value[0])
            inputs[key] = {"node": order[value[0]], "output": int(value[1])}
        facts["inputs"] = inputs
        found.nodes.append(facts)
    return found


def _behaviour(kind: type, name: str, found: Subgraph) -> list[str]:
    try:
        return code.behaviour(kind)
    except (LookupError, OSError) as error:
        found.doubts.append(f"the code of {name} can't be proven ({error})")
        return []


def _ask_about(kind: type, graph: Any, node_id: str, node: dict, facts: dict, found: Subgraph) -> None:
    """What a class says of itself: its lists, its hidden inputs, and whether it is another one each time."""
    if any(getattr(kind, "OUTPUT_IS_LIST", None) or ()):
        found.lists = True
    hidden = _hidden(kind)
    if "UNIQUE_ID" in hidden or getattr(kind, "NOT_IDEMPOTENT", False):
        facts["id"] = node_id  # as the host's own cache does
    if hidden & {"PROMPT", "DYNPROMPT", "EXTRA_PNGINFO"} and not node["class_type"].startswith("ISI_"):
        facts["graph"] = _whole(graph)
    changed = _changed(kind, node)
    if changed is None:
        return
    try:
        facts["changed"] = canonical(_jsonable(changed))
    except _Fresh:
        found.fresh = True


def _hidden(kind: type) -> set[str]:
    try:
        return {
            str(value) for value in kind.INPUT_TYPES().get("hidden", {}).values() if isinstance(value, str)
        }
    except Exception:  # a stranger's class may raise anything
        return {"DYNPROMPT"}


def _whole(graph: Any) -> str:
    """All that a node can see of the graph, but our own nodes: a script changes no stranger's model."""
    seen = {
        key: [node["class_type"], node["inputs"]]
        for key, node in graph.get_original_prompt().items()
        if not node["class_type"].startswith("ISI_")
    }
    return canonical(seen)


def _changed(kind: type, node: dict) -> Any:
    """The answer to `fingerprint_inputs` or IS_CHANGED: the host's own, or asked where it did not ask."""
    if "is_changed" in node:
        return node["is_changed"] or None
    ask = getattr(kind, "IS_CHANGED", None)
    if issubclass(kind, _ComfyNodeInternal):
        ask = first_real_override(kind, "fingerprint_inputs")
    if ask is None:
        return None
    try:
        answer = ask(**{key: None if is_link(value) else value for key, value in node["inputs"].items()})
        return [math.nan if hasattr(answer, "__await__") else answer]
    except Exception:  # the host takes an exception for "always another" too
        return [math.nan]


class _Fresh(Exception):
    """A value that equals nothing, not even itself."""


def _jsonable(value: Any) -> Any:
    if isinstance(value, float) and math.isnan(value):
        raise _Fresh
    if isinstance(value, dict):
        return {str(key): _jsonable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_jsonable(item) for item in value]
    if isinstance(value, set | frozenset):
        return sorted(canonical(_jsonable(item)) for item in value)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, bytes):
        return value.hex()
    raise _Fresh


def _constant(value: Any, files: Files, found: Subgraph) -> Any:
    """A widget's value: 7 and 7.0 are one, and a text that names files has their contents beside it."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    if isinstance(value, list | tuple):
        return [_constant(item, files, found) for item in value]
    if isinstance(value, dict):
        return {str(key): _constant(item, files, found) for key, item in value.items()}
    if isinstance(value, str):
        contents = read_files(value, files, found.paths)
        return {"text": _base(value), "files": contents} if contents else value
    if value is None or isinstance(value, bool | int | float):
        return value
    found.doubts.append(f"a widget holds a {type(value).__name__}")
    return None


def read_files(text: str, files: Files, paths: set[str]) -> list[str]:
    """The contents of all files that a text names; their paths go into `paths`.

    What can't be read counts by that.
    """
    contents = set()
    for path in files.named(text):
        paths.add(os.path.abspath(path))
        try:
            contents.add(files.content(path))
        except OSError as error:
            contents.add(f"unreadable ({error.errno})")
    return sorted(contents)


def _base(text: str) -> str:
    """A file's name without its folder, which differs from machine to machine; other texts as they are."""
    plain = text.replace("\\", "/")
    return (
        plain.rsplit("/", 1)[-1] if "/" in plain and "\n" not in text and "embedding:" not in text else text
    )


def _is_conditioner(kind: type) -> bool:
    return CONDITIONER in [str(name) for name in getattr(kind, "RETURN_TYPES", ())]


def _type_of(graph: Any, link: list) -> str:
    node = graph.get_node(link[0]) if graph.has_node(link[0]) else {}
    types = getattr(node_classes().get(node.get("class_type", "")), "RETURN_TYPES", ())
    return str(types[link[1]]) if 0 <= link[1] < len(types) else ""
