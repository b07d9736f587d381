"""Draws the model card's sample sheets, `samples.jpg` and `kinds.jpg`: `python tools/mini/sheet.py`.

Scenes that training never saw, none picked: 32 prompts for base, and of every other kind four pairs of what
it was given and what it made; 20 euler steps, cfg as in the bench. All prompts are printed.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from random import Random

import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import interpolate

ROOT = Path(__file__).resolve().parents[2]
ASSETS = ROOT / "assets" / "mini"
COLUMNS, PAIRS = 8, 4


def save(pictures: list[Tensor], name: str) -> None:
    """Pictures `[128, 128, 3]` in rows of COLUMNS."""
    rows = torch.stack(pictures).unflatten(0, (-1, COLUMNS))  # (rc)HWK -> rcHWK
    grid = rows.movedim(1, 2).flatten(0, 1).flatten(1, 2)  # -> (rH)(cW)K
    Image.fromarray((grid * 255).round().byte().numpy()).save(ASSETS / name, quality=92)


def given(kind: str, sources: dict[str, Tensor]) -> Tensor:
    """What a kind was shown: its depth map, or its picture, the hole greyed."""
    picture = sources["depth"] if kind == "depth" else sources["image"]
    if kind == "inpaint":
        picture = picture.lerp(torch.tensor(0.5), sources["mask"][..., None])
    return interpolate(picture.movedim(-1, 1), size=(128, 128), mode="nearest").movedim(1, -1)[0]


def main() -> None:
    sys.path.insert(0, str(ROOT))
    from bench.__main__ import import_bench

    bench = import_bench("mini")
    host = bench.Host(Path(tempfile.mkdtemp()))
    studio, pictures = bench.Studio(host, "base"), []
    for seed, scene in enumerate(bench.drawn(32, seed=11)):
        words = bench.caption(scene)
        print(f"base {seed:2} {words}")
        pictures.append(studio.draw(words, seed))
    save(pictures, "samples.jpg")
    pictures = []
    for kind in ("depth", "instruct-pix2pix", "inpaint", "ic-light-fc", "ic-light-fbc", "upscale-x4"):
        studio, rng = bench.Studio(host, kind), Random(12)
        for seed, scene in enumerate(bench.drawn(PAIRS, seed=12)):
            words, _, sources = bench.asked(kind, scene, rng)
            print(f"{kind} {seed} {words}")
            pictures += [given(kind, sources), bench.made(studio, words, seed, **sources)]
    save(pictures, "kinds.jpg")


if __name__ == "__main__":
    main()
