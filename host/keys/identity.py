"""The identity of a MODEL, CLIP, VAE or conditioner: its provenance, and a look at the object as a guard.

What a key knows: the canonical graph behind the socket (`graph`), the content of every file that it names
(`files`), the code and settings of the packs in it (`code`, `state`), some values of each weight (`weights`).
What the graph does not decide counts by the live object, which only this process knows (`live.token`).
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from comfy_execution.progress import get_progress_state
from comfy_execution.utils import get_executing_context

from ...core.loop.plan import canonical
from . import graph, live, weights
from .files import CHANGED, Files, meet

NODE_PREFIX = "ISI_"
_files: dict[Path | None, Files] = {}


@dataclass(frozen=True)
class Identity:
    """`key` is equal for what gives equal pictures; `parts` says in words what it was made of."""

    key: str
    parts: Mapping[str, str] = field(default_factory=dict)


def files_of(memo: Path | None) -> Files:
    """The contents of files that this process knows; `memo` is where the next process finds them."""
    if memo not in _files:
        _files[memo] = Files(memo)
    return _files[memo]


def identities(
    values: Mapping[str, Any], files: Files, held: Mapping[str, Any] | None = None
) -> dict[str, Identity]:
    """The identity of each connected value, by the name of its input on the node that runs just now.

    `held` has, by the same names, pictures and numbers that a value holds and a graph may not decide. A value
    that came without a graph (a script calls us) is read whole.
    """
    context, prompt = get_executing_context(), None
    if context is not None:
        prompt = get_progress_state().dynprompt
    files.refresh()
    found = {}
    for name, value in values.items():
        link = _link(prompt, context, name)
        if link is None:
            given = [value, (held or {}).get(name)]
            found[name] = Identity(live.fingerprint(given), {"node": "given without a graph"})
        else:
            found[name] = identity_of(prompt, context, link, value, files, (held or {}).get(name))
    files.save()
    return found


def watch_files(server: Any) -> None:
    """Has each prompt's files noted when it is queued, before any node can load them. Called once.

    A file that is replaced after that may still be loaded with its old content: `files.CHANGED`.
    """

    def note(given: dict) -> dict:
        with suppress(Exception):  # whatever was posted; the host says what is wrong with it
            files = Files()
            files.refresh()
            for text in _texts(given["prompt"]):
                for path in files.named(text):
                    if os.path.isfile(path):
                        meet(path)
        return given

    server.add_on_prompt_handler(note)


def _texts(value: Any) -> Iterator[str]:
    """All texts in a JSON value."""
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, str):
            yield item
        elif isinstance(item, dict):
            waiting += item.values()
        elif isinstance(item, list | tuple):
            waiting += item


def files_in(value: Any, files: Files) -> list[str]:
    """The contents of all files that a JSON value names: embeddings in a prompt, a model that fills."""
    found: set[str] = set()
    for text in _texts(value):
        found |= set(graph.read_files(text, files, set()))
    return sorted(found)


def _link(prompt: Any, context: Any, name: str) -> list | None:
    """The link behind an input of the node that runs, if it is one of ours."""
    if prompt is None or not prompt.has_node(context.node_id):
        return None
    node = prompt.get_node(context.node_id)
    link = node["inputs"].get(name)
    return link if node["class_type"].startswith(NODE_PREFIX) and graph.is_link(link) else None


def identity_of(
    prompt: Any, context: Any, link: list, value: Any, files: Files, held: Any = None
) -> Identity:
    """The identity of `value`, which came through `link` of a `DynamicPrompt`, in an execution's context."""
    found = graph.subgraph(prompt, link, files)
    parts = describe(found)
    facts: list[Any] = [found.output, found.nodes]
    if found.lists:
        facts.append(["list", context.list_index])
        parts["element of a list"] = str(context.list_index)
    if found.fresh:
        facts.append(["fresh", context.prompt_id])
        parts["always another"] = context.prompt_id
    doubts = list(found.doubts)
    if found.paths & CHANGED:
        doubts.append("a file that it names was replaced while ComfyUI runs")
    if doubts:
        facts.append(["doubt", live.token(value)])
        parts["only known to this process"] = "; ".join(doubts)
    for number, patcher in enumerate(weights.patchers(value)):
        facts.append([weights.sample(patcher), live.precision(patcher)])
        parts[f"weights {number}"] = facts[-1][0]
    if held is not None:
        facts.append(live.fingerprint(held, models=False))
        parts["pictures and numbers"] = facts[-1]
    return Identity(hashlib.blake2b(canonical(facts).encode(), digest_size=16).hexdigest(), parts)


def describe(found: graph.Subgraph) -> dict[str, str]:
    """A subgraph in words, `CLASS INPUT` -> what it is set to: the same words in every process."""
    counts: dict[str, int] = {}
    labels = []
    for node in found.nodes:
        name = node.get("class", "missing node")
        counts[name] = counts.get(name, 0) + 1
        labels.append(name if counts[name] == 1 else f"{name} {counts[name]}")
    parts = {"node": labels[0]}
    for label, node in zip(labels, found.nodes, strict=True):
        parts[f"{label} code"] = _short(node.get("code", []))
        for name in ("changed", "graph", "id"):
            if name in node:
                parts[f"{label} {name}"] = _short(node[name])
        for name, value in node.get("inputs", {}).items():
            linked = isinstance(value, dict) and "node" in value
            parts[f"{label} {name}"] = f"from {labels[value['node']]}" if linked else _short(value)
    return parts


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else canonical(value)
    return text if len(text) <= 80 else "#" + hashlib.blake2b(text.encode(errors="replace")).hexdigest()[:16]
