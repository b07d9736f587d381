"""Writes EMA weights from the training folder to assets/mini: fp16 safetensors and the manifest of hashes.

`python tools/mini/train.py export`; `all` does it at its end.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from host.models import mini

from . import control, unclip
from .denoiser import split
from .lora import FILE, NAME, kohya

ROOT = Path(__file__).resolve().parents[2]
ASSETS = ROOT / "assets" / "mini"


def write(name: str, tensors: dict[str, Tensor], steps: int | None = None) -> None:
    """One fp16 file, and its line in the manifest: hash, size, and how many steps it was trained (None: as
    many as before)."""
    path = ASSETS / f"{name}.safetensors"
    path.parent.mkdir(exist_ok=True)
    kept = {k: v if v.dtype == torch.int32 else v.half() for k, v in tensors.items()}
    save_file({k: v.contiguous() for k, v in kept.items()}, path)
    manifest = ASSETS / "weights.json"
    known = json.loads(manifest.read_text("utf-8")) if manifest.exists() else {}
    data = path.read_bytes()
    steps = known[path.name]["steps"] if steps is None else steps
    known[path.name] = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data), "steps": steps}
    manifest.write_text(json.dumps(known, indent=1, sort_keys=True) + "\n", "utf-8")


def difference(weights: dict[str, Tensor], base: dict[str, Tensor]) -> dict[str, Tensor]:
    """`weights` - `base` where they differ, the base's first convolution padded with zeros, as IC-Light is
    shipped. The base is the one shipped, in fp16."""
    changed = {}
    for key, value in weights.items():
        old = base.get(key, torch.zeros_like(value)).half().float()
        if value.shape != old.shape:
            old = torch.nn.functional.pad(old, (0, 0, 0, 0, 0, value.shape[1] - old.shape[1]))
        elif key in base and torch.equal(value.half().float(), old):
            continue
        changed[key] = value - old
    return changed


def rebase(base: dict[str, Tensor], kinds: list[str]) -> None:
    """Writes shipped kinds anew, as their differences to another base: they stay what they are, but for the
    rounding of a difference to fp16."""
    for kind, weights in [(kind, mini.unet_weights(kind, ASSETS)) for kind in kinds]:
        write(kind, difference(weights, base))


def export(work: Path) -> None:
    """Everything that the training folder holds. Kinds that it doesn't hold stay as they are when base moves,
    but for rounding."""

    def state(name: str) -> dict:
        return torch.load(work / f"{name}.pt", map_location="cpu")

    for name in ("vae", "vae-f4"):
        if (work / f"{name}.finished.pt").exists():
            steps = state(name)["step"] if (work / f"{name}.pt").exists() else None
            write(name, state(f"{name}.finished"), steps)
    if (work / "upscaler-2x.pt").exists():
        write("upscaler-2x", state("upscaler-2x")["ema"], state("upscaler-2x")["step"])
    if (work / f"{NAME}.pt").exists():
        write(FILE, kohya(state(NAME)["ema"]), state(NAME)["step"])
    if (work / f"{control.NAME}.pt").exists():
        learned = state(control.NAME)
        write(f"controlnet/{control.FILE}", control.control_lora(learned["ema"]), learned["step"])
    if (work / "text.pt").exists():
        write("text", *split(state("text")["ema"], "text."), state("text")["step"])
    trained = [kind for kind in mini.KINDS if (work / f"{kind}.pt").exists()]
    others = [kind for kind in mini.KINDS if kind not in trained and kind != "base"]
    base = mini.unet_weights("base", ASSETS)
    if "base" in trained:
        (base,) = split(state("base")["ema"], "unet.")
        rebase(base, others)
    for kind in trained:
        weights, steps = state(kind)["ema"], state(kind)["step"]
        if kind == unclip.NAME:
            weights, vision = split(weights, *unclip.PARTS)
            write(unclip.FILE, vision, steps)
        (unet,) = split(weights, "unet.")
        write(kind, unet if kind == "base" else difference(unet, base), steps)
