"""Removing an object by a click from grounds that are known: what is in the hole, against the truth.

python run.py bench remove
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import replace
from random import Random

import numpy as np
import torch
from scipy import ndimage

SCENES, SEED, SIZE, GROW = 8, 21, 256, 8
TARGETS = {"flat": 38, "gradient": 34, "stripes": 24, "grain": 24}
MODES = ("blur", "telea", "navier-stokes")
# Textures as deviations of all channels together: stripes of a period in pixels, grain of a size in pixels.
STRIPES, PERIODS = 0.06, (6, 16)
GRAIN, COARSE = 0.06, 2.0


def scenes(ground: str):
    """Yields a picture `[H, W, 3]`, what it is without its object, and a click (x, y) in percent on that."""
    from ..tools.mini import world

    rng = Random(SEED)
    for number in range(SCENES):
        scene = world.sample_scene(rng, shapes=1, textured=0.0, gradient=0.0)
        scene = replace(scene, gradient=ground == "gradient")
        with_it = world.render(scene, SIZE, SIZE)
        texture = textured(ground, rng, number)
        truth = (world.render(replace(scene, shapes=()), SIZE, SIZE).picture.movedim(0, -1) + texture).clamp(
            0, 1
        )
        matte = with_it.masks[0][..., None]
        picture = torch.where(matte > 0, with_it.picture.movedim(0, -1) + texture * (1 - matte), truth)
        deep = ndimage.distance_transform_edt(matte[..., 0].numpy() > 0.5)
        row, column = np.unravel_index(int(deep.argmax()), deep.shape)
        yield picture.clamp(0, 1), truth, ((column + 0.5) / SIZE * 100, (row + 0.5) / SIZE * 100)


def textured(ground: str, rng: Random, seed: int) -> torch.Tensor:
    """What a ground has besides its colour, `[H, W, 1]`, of mean 0."""
    if ground == "stripes":
        angle, period = rng.uniform(0, math.pi), rng.uniform(*PERIODS)
        y, x = torch.meshgrid(torch.arange(SIZE), torch.arange(SIZE), indexing="ij")
        phase = 2 * math.pi / period * (x * math.cos(angle) + y * math.sin(angle))
        return (STRIPES * math.sqrt(2) * phase.sin())[..., None]
    if ground == "grain":
        made = np.random.default_rng(seed).normal(size=(SIZE, SIZE))
        made = ndimage.gaussian_filter(made, COARSE, mode="wrap")
        return torch.from_numpy(GRAIN * made / made.std()).float()[..., None]
    return torch.zeros(SIZE, SIZE, 1)


def removed(
    picture: torch.Tensor, click: tuple[float, float], mode: str
) -> tuple[torch.Tensor, torch.Tensor]:
    """As the blueprint ISI Remove does it: the picture without the object, and the hole `[H, W]` bool."""
    from ..core.fills.fill import fill
    from ..core.picking.picks import Pick
    from ..core.picking.segment import segment
    from ..core.pictures.masks import grow

    hole = grow(segment(picture, [Pick("", (click,))]), GROW)
    return fill(picture[None], hole, mode)[0], hole[0] > 0


def main() -> None:
    """Prints the PSNR in the hole, all scenes of a ground together, and the worst of them."""
    print("| ground | fill | dB in the hole | worst | changed outside |\n|---|---|---|---|---|")
    for ground, target in TARGETS.items():
        errors, outside = defaultdict(list), 0
        for picture, truth, click in scenes(ground):
            for mode in MODES:
                made, hole = removed(picture, click, mode)
                errors[mode].append(float(((made - truth)[hole] ** 2).mean()))
                outside += int((made != picture)[~hole].any(-1).sum())
        for mode, each in errors.items():
            together, worst = (
                -10 * math.log10(value + 1e-12) for value in (sum(each) / len(each), max(each))
            )
            print(
                f"| {ground} (>= {target}) | {mode} | {together:.1f} | {worst:.1f} | {outside} |", flush=True
            )


if __name__ == "__main__":
    main()
