"""What the graph in a ComfyUI picture says: the texts and settings of the sampler that made it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from .info import Infotext
from .names import infotext_names

_WORDS = ("text", "prompt", "text_g", "t5xxl", "clip_l", "value", "string")
_MOST = 10_000
"""Nodes of a graph that are looked at."""


def from_graph(graph: Mapping[str, Any]) -> Infotext | None:
    """The infotext of a graph in API form, by its last sampler; None where no node samples."""
    nodes = {str(key): node for key, node in graph.items() if isinstance(node, Mapping)}
    for key in _last_first(nodes):
        given = _inputs(nodes, key)
        if any(name in given for name in ("seed", "noise_seed", "noise")) and (
            "positive" in given or "guider" in given
        ):
            return _sampled(nodes, key)
    return None


def _sampled(nodes: Mapping[str, Any], key: str) -> Infotext:
    guider = _behind(nodes, key, "guider") or key
    positive = _behind(nodes, guider, "positive") or _behind(nodes, guider, "conditioning")
    schedule = _behind(nodes, key, "sigmas") or key
    noise, sampler = _behind(nodes, key, "noise") or key, _behind(nodes, key, "sampler") or key
    name, kind = _value(nodes, sampler, "sampler_name"), _value(nodes, schedule, "scheduler")
    if isinstance(name, str):
        name, kind = infotext_names(name, kind if isinstance(kind, str) else "normal")
    size = _first(nodes, key, ("latent_image", "latent"), ("width", "height"))
    seed = _value(nodes, noise, "seed")
    found = {
        "Steps": _value(nodes, schedule, "steps"),
        "Sampler": name,
        "Schedule type": kind,
        "CFG scale": _value(nodes, guider, "cfg"),
        "Seed": _value(nodes, noise, "noise_seed") if seed is None else seed,
        "Size": size and f"{size[0]}x{size[1]}",
        "Denoising strength": _value(nodes, schedule, "denoise"),
        "Model": model_name(nodes, guider),
    }
    settings = tuple((name, str(value)) for name, value in found.items() if value is not None)
    return Infotext(_words(nodes, positive), _words(nodes, _behind(nodes, guider, "negative")), settings)


def model_name(graph: Mapping[str, Any], key: str) -> str | None:
    """The file that the model of a node comes from, without its folder and ending; None if none says."""
    found = _first(graph, key, ("model", "unet", "guider"), ("ckpt_name",)) or _first(
        graph, key, ("model", "unet", "guider"), ("unet_name",)
    )
    name = found and found[0]
    return name.replace("\\", "/").rsplit("/", 1)[-1].rsplit(".", 1)[0] if isinstance(name, str) else None


def _last_first(nodes: Mapping[str, Any]) -> Iterator[str]:
    """Nodes from those whose results nobody takes upwards."""
    taken = {link for key in nodes for name in _inputs(nodes, key) if (link := _behind(nodes, key, name))}
    waiting, seen = [key for key in nodes if key not in taken], set()
    while waiting and len(seen) < _MOST:
        key = waiting.pop(0)
        if key not in seen:
            seen.add(key)
            yield key
            waiting += [link for name in _inputs(nodes, key) if (link := _behind(nodes, key, name))]


def _inputs(nodes: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    node = nodes.get(key)
    given = node.get("inputs") if isinstance(node, Mapping) else None
    return given if isinstance(given, Mapping) else {}


def _behind(nodes: Mapping[str, Any], key: str, name: str) -> str | None:
    """The node that an input is linked to."""
    link = _inputs(nodes, key).get(name)
    return str(link[0]) if isinstance(link, list) and len(link) == 2 and str(link[0]) in nodes else None


def _value(nodes: Mapping[str, Any], key: str, name: str) -> Any:
    """A widget's value, or that of the primitive that is linked to it."""
    if (link := _behind(nodes, key, name)) is not None:
        key, name = link, "value"
    value = _inputs(nodes, key).get(name)
    return value if isinstance(value, str | int | float) else None


def _first(
    nodes: Mapping[str, Any], key: str, ways: tuple[str, ...], names: tuple[str, ...]
) -> list[Any] | None:
    """The values of `names` of the first node that has all of them, going up by the inputs `ways`."""
    waiting, seen = [key], set()
    while waiting and len(seen) < _MOST:
        at = waiting.pop(0)
        if at in seen:
            continue
        seen.add(at)
        values = [_value(nodes, at, name) for name in names]
        if at != key and all(value is not None for value in values):
            return values
        given = _inputs(nodes, at)
        waiting += [link for name in given if name in ways and (link := _behind(nodes, at, name))]
    return None


def _words(nodes: Mapping[str, Any], key: str | None) -> str:
    """The first text upwards of a conditioning."""
    waiting, seen = [key], set()
    while waiting and len(seen) < _MOST:
        at = waiting.pop(0)
        if at is None or at in seen:
            continue
        seen.add(at)
        given = _inputs(nodes, at)
        for name in _WORDS:
            if isinstance(given.get(name), str):
                return given[name]
        # Not up to the models: their text is a file's name.
        waiting += [_behind(nodes, at, name) for name in given if name not in ("clip", "model", "vae")]
    return ""
