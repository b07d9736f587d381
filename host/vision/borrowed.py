"""A node of ComfyUI or of a pack that takes one picture and settings alone, called by ISI itself."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import comfy.model_management
from torch import Tensor

from ..keys import code, live
from ..keys.identity import files_in, files_of
from ..loop.sampling import global_rng_kept

WIDGETS = ("INT", "FLOAT", "BOOLEAN", "STRING", "COMBO")
SHOWN = 20
"""Names of settings or choices that a sentence has at most."""


@dataclass(frozen=True, eq=False)
class Borrowed:
    """The node of the class `node`, with the values of all its widgets.

    `image` is the name of the input that gets the picture, `output` the index of what is taken of it.
    """

    node: str
    image: str
    values: Mapping[str, Any]
    output: int = 0

    def identity(self) -> list[Any]:
        """What comes out depends on: the node's code and the files it is set to, which no graph shows."""
        files = files_of(None)
        files.refresh()
        try:
            behaviour = code.behaviour(_classes()[self.node])
        except LookupError:
            behaviour = [live.token(_classes()[self.node])]
        named = files_in(list(self.values.values()), files)
        return [self.node, self.image, dict(self.values), named, behaviour]

    def __call__(self, pixels: Tensor) -> Any:
        """What the node makes of `pixels` `[B, H, W, 3]`; the global random state stays as it is."""
        with global_rng_kept(comfy.model_management.get_torch_device()):
            made = _called(_classes()[self.node], {**self.values, self.image: pixels})
        return made[self.output]


def find_node(name: str, borrower: str) -> tuple[str, Any]:
    """Name and class of the node that `name` means, by its class or its title.

    Raises ValueError where there is none, for the node called `borrower`.
    """
    from nodes import NODE_DISPLAY_NAME_MAPPINGS  # pyright: ignore[reportAttributeAccessIssue]

    classes, wanted = _classes(), name.strip()
    titles = {str(title).lower(): key for key, title in NODE_DISPLAY_NAME_MAPPINGS.items()}
    node = wanted if wanted in classes else titles.get(wanted.lower(), "")
    if node in classes:
        return node, classes[node]
    near = difflib.get_close_matches(wanted, classes, 3, 0.5)
    if near:
        raise ValueError(
            f"There is no node {wanted[:60]!r} in this ComfyUI: write the name of one into {borrower}, such "
            f"as {', '.join(near)}."
        )
    raise ValueError(
        f"There is no node {wanted[:60]!r} in this ComfyUI: write the name of one into {borrower}."
    )


def takes_picture(kind: Any) -> bool:
    """Whether a node has a picture in, and saves nothing."""
    return bool(_pictures(kind)) and not getattr(kind, "OUTPUT_NODE", False)


def borrow(node: str, kind: Any, settings: str, borrower: str, output: int = 0) -> Borrowed:
    """The node of a class with its `settings` (one a line: `name = value`).

    What is not set has the default of the node's widget. Raises ValueError for a setting that there is not,
    and for a node that needs more than one picture and its widgets.
    """
    inputs = kind.INPUT_TYPES()
    required, optional = inputs.get("required", {}), inputs.get("optional", {})
    image = next((key for key in _pictures(kind) if key in required), _pictures(kind)[0])
    missing = [key for key, spec in required.items() if key != image and _type(spec) not in WIDGETS]
    if missing or getattr(kind, "INPUT_IS_LIST", False) or kind.FUNCTION == "EXECUTE_NORMALIZED_ASYNC":
        what = ", ".join(missing) or "to be run by ComfyUI itself"
        raise ValueError(
            f"The node {node} needs {what}: {borrower} takes nodes that need one picture and settings alone."
        )
    specs = {key: spec for key, spec in (required | optional).items() if _type(spec) in WIDGETS}
    values = dict(_defaults(node, specs))
    for key, written in _lines(settings, borrower):
        if key not in specs:
            there = ", ".join(list(specs)[:SHOWN]) or "none"
            raise ValueError(f"The node {node} has no setting {key[:40]!r}: there are {there}.")
        values[key] = _value(node, key, specs[key], written)
    return Borrowed(node, image, values, output)


def _pictures(kind: Any) -> list[str]:
    """The names of a node's inputs of pictures."""
    inputs = kind.INPUT_TYPES()
    return [
        key
        for group in ("required", "optional")
        for key, spec in inputs.get(group, {}).items()
        if spec[0] == "IMAGE"
    ]


def _classes() -> Mapping[str, Any]:
    # Imported here: ComfyUI's `nodes` are whole once all packs are loaded.
    from nodes import NODE_CLASS_MAPPINGS  # pyright: ignore[reportAttributeAccessIssue]

    return NODE_CLASS_MAPPINGS


def _lines(settings: str, borrower: str) -> Iterator[tuple[str, str]]:
    for line in settings.splitlines():
        key, given, value = (part.strip() for part in line.partition("="))
        if not line.strip():
            continue
        if not given or not key:
            raise ValueError(
                f"Settings of {borrower} are one a line, such as low_threshold = 0.2, not "
                f"{line.strip()[:60]!r}."
            )
        yield key, value


def _type(spec: Any) -> str:
    """The type of an input; a list of choices is a COMBO."""
    return "COMBO" if isinstance(spec[0], list | tuple) else spec[0]


def _options(spec: Any) -> Mapping[str, Any]:
    return spec[1] if len(spec) > 1 and isinstance(spec[1], Mapping) else {}


def _choices(spec: Any) -> list[Any]:
    return list(spec[0] if isinstance(spec[0], list | tuple) else _options(spec).get("options", []))


def _defaults(node: str, specs: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """What the page sends of widgets that nobody touched."""
    for key, spec in specs.items():
        kind, options = _type(spec), _options(spec)
        if kind == "COMBO" and not _choices(spec):
            raise ValueError(
                f"{key} of the node {node} has nothing to choose from: put its file where the node looks for "
                "it, and reload the page."
            )
        if kind == "COMBO":
            yield key, options.get("default", _choices(spec)[0])
        else:
            empty = {"INT": 0, "FLOAT": 0.0, "BOOLEAN": False, "STRING": ""}[kind]
            yield key, options.get("default", options.get("min", empty))


def _value(node: str, key: str, spec: Any, written: str) -> Any:
    """The value of a widget that `written` says. Raises ValueError."""
    kind, options = _type(spec), _options(spec)
    if kind == "STRING":
        return written
    if kind == "COMBO":
        found = [one for one in _choices(spec) if str(one) == written]
        if not found:
            there = ", ".join(map(str, _choices(spec)[:SHOWN]))
            raise ValueError(f"{key} of the node {node} is one of {there}, not {written[:60]!r}.")
        return found[0]
    if kind == "BOOLEAN":
        if written.lower() not in ("true", "false"):
            raise ValueError(f"{key} of the node {node} is true or false, not {written[:60]!r}.")
        return written.lower() == "true"
    low, high = options.get("min", float("-inf")), options.get("max", float("inf"))
    try:
        value = int(written) if kind == "INT" else float(written)
    except ValueError:
        value = None
    if value is None or not low <= value <= high:
        raise ValueError(f"{key} of the node {node} is a number from {low} to {high}, not {written[:60]!r}.")
    return value


def _called(kind: Any, values: Mapping[str, Any]) -> Any:
    """The outputs of a node of either of ComfyUI's two kinds."""
    if hasattr(kind, "EXECUTE_NORMALIZED"):
        return kind.PREPARE_CLASS_CLONE(None).EXECUTE_NORMALIZED(**values)
    found = getattr(kind(), kind.FUNCTION)(**values)
    return found["result"] if isinstance(found, dict) else found
