"""Writes EMA weights from the training folder to assets/mini: fp16 safetensors and the manifest of hashes.

`python tools/mini/export.py [--work .mini] [NAME ...]`; without names, everything the folder holds.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

ROOT = Path(__file__).resolve().parents[2]
ASSETS = ROOT / "assets" / "mini"
NAMES = ("vae", "vae-f4", "base", "depth", "upscale-x4", "instruct-pix2pix", "inpaint", "ic-light-fc",
         "ic-light-fbc", "upscaler-2x")  # fmt: skip


def write(name: str, tensors: dict[str, Tensor], steps: int) -> None:
    """One fp16 file, and its line in the manifest: hash, size, and how many steps it was trained."""
    path = ASSETS / f"{name}.safetensors"
    kept = {k: v if v.dtype == torch.int32 else v.half() for k, v in tensors.items()}
    save_file({k: v.contiguous() for k, v in kept.items()}, path)
    manifest = ASSETS / "weights.json"
    known = json.loads(manifest.read_text("utf-8")) if manifest.exists() else {}
    data = path.read_bytes()
    known[path.name] = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data), "steps": steps}
    manifest.write_text(json.dumps(known, indent=1, sort_keys=True) + "\n", "utf-8")


def split(state: dict[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """A denoiser's state as UNet weights and text weights."""
    parts: list[dict[str, Tensor]] = []
    for prefix in ("unet.", "text."):
        parts.append({k[len(prefix) :]: v for k, v in state.items() if k.startswith(prefix)})
    return parts[0], parts[1]


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


def export(work: Path, name: str) -> None:
    state = torch.load(work / f"{name}.pt", map_location="cpu")
    if name.startswith("vae"):
        write(name, torch.load(work / f"{name}.finished.pt", map_location="cpu"), state["step"])
        return
    if name == "upscaler-2x":
        return write(name, state["ema"], state["step"])
    unet, text = split(state["ema"])
    if name == "base":
        write("text", text, torch.load(work / "text.pt", map_location="cpu")["step"])
    else:
        unet = difference(unet, split(torch.load(work / "base.pt", map_location="cpu")["ema"])[0])
    write(name, unet, state["step"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--work", type=Path, default=ROOT / ".mini")
    args = parser.parse_args()
    for name in args.names or [n for n in NAMES if (args.work / f"{n}.pt").exists()]:
        export(args.work, name)
        print(name, (ASSETS / f"{name}.safetensors").stat().st_size)


if __name__ == "__main__":
    main()
