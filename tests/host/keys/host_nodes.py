"""Graphs for every node of the host that takes a MODEL, CLIP or VAE and gives one: found by their schemas.

A new host's nodes are here the day it is pinned.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

CARRIERS = ("MODEL", "CLIP", "VAE")
# What stands behind an input of a type, where the first node that gives it would need a large file.
SOURCES: dict[str, tuple[str, dict[str, Any]]] = {
    "MODEL": ("ISI_MiniCheckpoint", {"kind": "base"}),
    "CLIP": ("ISI_MiniCheckpoint", {"kind": "base"}),
    "VAE": ("ISI_MiniCheckpoint", {"kind": "base"}),
    "CONDITIONING": ("CLIPTextEncode", {"text": "a red circle"}),
    "IMAGE": ("EmptyImage", {"width": 64, "height": 64, "batch_size": 1, "color": 255}),
    "MASK": ("SolidMask", {"value": 0.5, "width": 64, "height": 64}),
    "LATENT": ("EmptyLatentImage", {"width": 64, "height": 64, "batch_size": 1}),
}
Spec = dict[str, tuple[Any, dict, bool]]


def make_files(models: Path) -> None:
    """Two files in each folder that a node of the host may pick from: small, real, and different.

    What is there stays: a file that is written again is one that was replaced while ComfyUI runs.
    """
    for number in (1, 2):
        torch.manual_seed(number)
        down, up = torch.randn(4, 64) / 8, torch.randn(32, 4) / 8
        key = "lora_unet_input_blocks_1_1_proj_in"
        lora = {f"{key}.lora_down.weight": down[:, :32, None, None].contiguous()}
        lora |= {
            f"{key}.lora_up.weight": up[:, :, None, None].contiguous(),
            f"{key}.alpha": torch.tensor(4.0),
        }
        for folder in ("loras", "model_patches", "hypernetworks", "clip_vision", "audio_encoders"):
            file = models / folder / f"made_{number}.safetensors"
            file.parent.mkdir(parents=True, exist_ok=True)
            if not file.exists():
                save_file(lora, file)


def spec_of(kind: type) -> Spec:
    """Type, options and whether it must be there, of every input."""
    inputs = kind.INPUT_TYPES()
    return {
        name: (given[0], given[1] if len(given) > 1 else {}, group == "required")
        for group in ("required", "optional")
        for name, given in inputs.get(group, {}).items()
    }


def carriers(classes: dict[str, type]) -> dict[str, str]:
    """Node classes of the host that take and give a MODEL, CLIP or VAE -> which."""
    found = {}
    for name, kind in sorted(classes.items()):
        if name.startswith(("ISI_", "Test_")):
            continue
        taken = {type_ for type_, _, _ in spec_of(kind).values() if isinstance(type_, str)}
        for carrier in CARRIERS:
            if carrier in taken and carrier in kind.RETURN_TYPES and name not in found:
                found[name] = carrier
    return found


class Builder:
    """Builds API-form graphs around one node; `nodes` has what the node needs, by type."""

    def __init__(self, classes: dict[str, type]):
        self.classes = classes
        self.nodes: dict[str, dict] = {}

    def source(self, type_: str) -> list:
        """A link to something of a type."""
        node_id = f"a {type_}"
        if node_id not in self.nodes:
            name, widgets = SOURCES.get(type_) or (self._giver(type_), {})
            if type_ in CARRIERS:
                node_id = "a checkpoint"
            self.nodes[node_id] = {"class_type": name, "inputs": self.inputs(self.classes[name], widgets)}
        return [node_id, list(self.classes[self.nodes[node_id]["class_type"]].RETURN_TYPES).index(type_)]

    def _giver(self, type_: str) -> str:
        """The node with the fewest links that gives a type."""
        givers = [
            (sum(link(t) for t, _, must in spec_of(kind).values() if must), name)
            for name, kind in self.classes.items()
            if type_ in (getattr(kind, "RETURN_TYPES", ()) or ()) and not name.startswith(("ISI_", "Test_"))
        ]
        return min(givers)[1]

    def inputs(self, kind: type, widgets: dict[str, Any]) -> dict[str, Any]:
        """Everything that a node needs: links to sources, widgets at their defaults."""
        found = {}
        for name, (type_, options, must) in spec_of(kind).items():
            if name in widgets:
                found[name] = widgets[name]
            elif link(type_):
                if must:
                    found[name] = self.source(type_)
            elif must or "default" in options:
                found[name] = default(type_, options)
        return found

    def around(self, name: str, **widgets: Any) -> dict[str, dict]:
        """A graph in which node `node` is of class `name`, with these widgets."""
        self.nodes = {}
        node = {"class_type": name, "inputs": self.inputs(self.classes[name], widgets)}
        return {**self.nodes, "node": node}


def link(type_: Any) -> bool:
    """Whether an input of this type takes a link and has no widget."""
    return (
        isinstance(type_, str)
        and type_ not in ("INT", "FLOAT", "STRING", "BOOLEAN", "COMBO")
        and not (type_.startswith("COMFY_"))
    )


def choices(type_: Any, options: dict) -> list:
    """The values of a combo."""
    found = list(type_ if isinstance(type_, list) else options.get("options", []))
    return [option["key"] if isinstance(option, dict) else option for option in found]


def default(type_: Any, options: dict) -> Any:
    """What a widget shows on a new node."""
    if "default" in options and options["default"] is not None:
        return options["default"]
    if isinstance(type_, list) or type_ in ("COMBO", "COMFY_DYNAMICCOMBO_V3"):
        return (choices(type_, options) or [""])[0]
    return {"INT": options.get("min", 0), "FLOAT": float(options.get("min", 0)), "BOOLEAN": False}.get(
        type_, ""
    )


def moved(type_: Any, options: dict, value: Any) -> Any:
    """Another value that the widget can have; None where there is only one."""
    if isinstance(type_, list) or type_ in ("COMBO", "COMFY_DYNAMICCOMBO_V3"):
        return next((choice for choice in choices(type_, options) if choice != value), None)
    if type_ == "BOOLEAN":
        return not value
    if type_ == "STRING":
        return f"{value}1"
    step = options.get("step") or (1 if type_ == "INT" else 0.01)
    return value - step if value + step > options.get("max", float("inf")) else value + step
