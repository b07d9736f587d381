"""A click to a mask: one click a scene on 200 pictures of the mini world, whose masks are known.

python run.py bench pick
"""

from __future__ import annotations

import time
from dataclasses import replace
from random import Random

import numpy as np
import torch
from scipy import ndimage

SCENES, SEED, SIZE = 200, 20, 128
# How far from the object's outline a click is at least, in pixels, where it is so wide.
INWARDS = 3


def clicks():
    """Yields a picture `[H, W, 3]`, the true mask of one of its objects, a click (x, y) in percent on that,
    and what there is in the picture."""
    from ..tools.mini import world

    rng = Random(SEED)
    for number in range(SCENES):
        scene = world.sample_scene(rng, shapes=1 + number % 3, textured=0.4, gradient=0.4)
        drawn = world.render(scene, SIZE, SIZE)
        index = rng.randrange(len(scene.shapes))
        truth = (drawn.masks[index] > 0.5).numpy()
        deep = ndimage.distance_transform_edt(truth)
        row, column = rng.choice(np.argwhere(deep >= min(INWARDS, deep.max())).tolist())
        overlaps = (drawn.matte > 0.5).sum() < (_alone(scene, SIZE) > 0.5).sum()
        kinds = [scene.shapes[index].texture, f"{len(scene.shapes)} shapes"]
        kinds += ["gradient"] * scene.gradient + ["overlaps"] * bool(overlaps)
        click = ((column + 0.5) / SIZE * 100, (row + 0.5) / SIZE * 100)
        yield drawn.picture.movedim(0, -1), truth, click, kinds


def _alone(scene, size: int):
    """The masks `[N, H, W]` of all shapes, each as if it were alone."""
    from ..tools.mini import world

    return torch.cat([world.render(replace(scene, shapes=(one,)), size, size).masks for one in scene.shapes])


def main() -> None:
    """Prints the overlap of masks of one click with the true ones."""
    from ..core.picking.picks import Pick
    from ..core.picking.segment import segment

    found: dict[str, list[float]] = {}
    started = time.perf_counter()
    for picture, truth, click, kinds in clicks():
        mask = segment(picture, [Pick("", (click,))])[0].numpy() > 0
        overlap = float((mask & truth).sum() / (mask | truth).sum())
        for kind in ["all", *kinds]:
            found.setdefault(kind, []).append(overlap)
    took = (time.perf_counter() - started) / SCENES
    print(f"{SCENES} scenes of {SIZE} px, one click each, {took:.2f} s a picture")
    print("| scenes | number | mean IoU (>= .95) | IoU >= .9 (in 95 %) |\n|---|---|---|---|")
    for kind, values in sorted(found.items()):
        good = sum(value >= 0.9 for value in values) / len(values)
        print(f"| {kind} | {len(values)} | {sum(values) / len(values):.3f} | {good:.1%} |")


if __name__ == "__main__":
    main()
