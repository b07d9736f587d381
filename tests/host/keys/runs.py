"""Runs ISI Iterate behind every node of the host that changes a model, and counts the sampler's calls."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ..harness import Failed, Host
from .host_nodes import Builder, carriers, make_files

# Compiles for minutes, and what it gives is the model that it got.
SKIPPED = {"TorchCompileModel"}
SAMPLER = {"sampler_name": "euler", "scheduler": "normal"}


def loop(graph: dict[str, dict], parts: dict[str, list], script: str) -> dict[str, dict]:
    """The graph with a loop of one sampler step an iteration on its parts."""
    settings = {"steps": 1, "cfg": 2.0, "denoise": 1.0, "final_denoise": 1.0, "curve": "constant"}
    settings |= {"seed": 1, "seed_mode": "fixed", "script": script}
    inputs: dict[str, Any] = {**parts, "plan": ["script", 0], "negative": "", "width": 64, "height": 64}
    return graph | {
        "script": {"class_type": "ISI_Script", "inputs": settings},
        "iterate": {"class_type": "ISI_Iterate", "inputs": inputs | SAMPLER},
    }


def by_hand(graph: dict[str, dict], parts: dict[str, list]) -> dict[str, dict]:
    """The same with the host's own nodes: what fails here fails without us."""
    text = {"class_type": "CLIPTextEncode", "inputs": {"text": "a", "clip": parts["clip"]}}
    latent = {"width": 64, "height": 64, "batch_size": 1}
    sampler = {
        "model": parts["model"],
        "positive": ["text", 0],
        "negative": ["text", 0],
        "seed": 1,
        "steps": 1,
    }
    sampler |= {"latent_image": ["latent", 0], "cfg": 2.0, "denoise": 1.0, **SAMPLER}
    decode = {"samples": ["sampler", 0], "vae": parts["vae"]}
    return graph | {
        "text": text,
        "latent": {"class_type": "EmptyLatentImage", "inputs": latent},
        "sampler": {"class_type": "KSampler", "inputs": sampler},
        "decode": {"class_type": "VAEDecode", "inputs": decode},
        "save": {"class_type": "PreviewImage", "inputs": {"images": ["decode", 0]}},
    }


def report(host: Host, out: Path, edit: bool) -> None:
    """Writes how often the sampler ran behind each node: for a whole graph and, with `edit`, after an edit of
    its end."""
    import comfy.sample
    import folder_paths

    make_files(Path(folder_paths.models_dir))
    count: list[int] = []
    real = comfy.sample.sample

    def counted(*args, **kwargs):
        count.append(1)
        return real(*args, **kwargs)

    comfy.sample.sample = counted
    builder = Builder(host.nodes)
    found: dict[str, Any] = {"whole": {}, "edited": {}, "errors": {}, "refused": []}

    def run(name: str, carrier: str, script: str) -> int | None:
        graph = builder.around(name)
        checkpoint = builder.source("MODEL")[0]
        graph |= builder.nodes
        parts = {"model": [checkpoint, 0], "clip": [checkpoint, 1], "vae": [checkpoint, 2]}
        parts[carrier.lower()] = ["node", list(host.nodes[name].RETURN_TYPES).index(carrier)]
        count.clear()
        try:
            host.run(loop(graph, parts, script))
            return len(count)
        except Failed as error:
            found["errors"][name] = str(error)[:300]
            try:
                host.run(by_hand(graph, parts))
                found["refused"].append(name)
            except Failed:
                pass
            return None

    names = {name: carrier for name, carrier in carriers(host.nodes).items() if name not in SKIPPED}
    for name, carrier in names.items():
        found["whole"][name] = run(name, carrier, "a red circle; a blue square")
    for name, carrier in names.items():
        if edit and found["whole"][name] is not None:
            found["edited"][name] = run(name, carrier, "a red circle; a green square")
    out.write_text(json.dumps(found), "utf-8")


def edited(host: Host, out: Path) -> None:
    report(host, out, edit=True)


def again(host: Host, out: Path) -> None:
    report(host, out, edit=False)


def kinds(host: Host, out: Path) -> None:
    """Writes which of two steps each embedded kind of model reuses."""
    from isi.host.models.mini import KINDS

    picture = {"width": 64, "height": 64, "batch_size": 1}
    mask = {"value": 1.0, "width": 64, "height": 64}
    found: dict[str, Any] = {}
    for kind in KINDS:
        graph = {
            "checkpoint": {"class_type": "ISI_MiniCheckpoint", "inputs": {"kind": kind}},
            "image": {"class_type": "EmptyImage", "inputs": {**picture, "color": 0xC02020}},
            "depth": {"class_type": "EmptyImage", "inputs": {**picture, "color": 0x808080}},
            "mask": {"class_type": "SolidMask", "inputs": mask},
        }
        parts: dict[str, list] = {
            "model": ["checkpoint", 0],
            "clip": ["checkpoint", 1],
            "vae": ["checkpoint", 2],
        }
        inputs: dict[str, Any]
        if kind == "unclip":
            inputs = {"clip_vision": ["checkpoint", 3], "strength": 1.0, "noise_augmentation": 0.1}
            inputs |= {"strength_type": "multiply", "crop": "center"}
            graph["conditioner"] = {"class_type": "ISI_ClipVisionConditioner", "inputs": inputs}
            parts["conditioner"] = ["conditioner", 0]
        elif kind != "base":
            inputs = {"kind": "auto" if kind == "inpaint" else kind, "image_cfg": 1.5}
            inputs |= {"noise_level": 20, "noise_seed": 0, "mask_mode": "nearest", "invert_depth": False}
            inputs |= {"depth": ["depth", 0]} if kind == "depth" else {}
            inputs |= {"background": ["depth", 0]} if kind == "ic-light-fbc" else {}
            inputs |= {"mask": ["mask", 0]} if kind == "inpaint" else {}
            graph["conditioner"] = {"class_type": "ISI_ConcatConditioner", "inputs": inputs}
            parts["conditioner"] = ["conditioner", 0]
        host.events.clear()
        host.run(loop(graph, {**parts, "image": ["image", 0]}, "a red circle; a blue square"))
        found[kind] = [data["reused"] for name, data in host.events if name == "isi.iteration"]
    out.write_text(json.dumps(found), "utf-8")
