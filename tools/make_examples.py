"""Renders the input pictures of the shipped workflows, scenes of the mini world, to assets/examples/.

.venv/bin/python -m tools.make_examples

Some come with a mask in their alpha, as the host's mask editor saves one: transparent is "may change".
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from .mini.world import Layers, Scene, Shape, render

EXAMPLES = Path(__file__).resolve().parents[1] / "assets" / "examples"
SCENES = {
    "circle": Scene((Shape("circle", "red", "large", "centre"),), "white", light="left"),
}
THREE = Scene(
    (
        Shape("star", "yellow", "small", "left", x=0.22, y=0.3),
        Shape("circle", "red", "small", "centre", x=0.55, y=0.68),
        Shape("square", "white", "small", "right", x=0.8, y=0.3),
    ),
    "blue",
    light="top",
)
CORNER = Scene((Shape("ring", "purple", "small", "left", x=0.3, y=0.3),), "yellow", light="right")


def around(pixels: int) -> Callable[[Layers], Tensor]:
    """The shapes, painted over as by hand: `pixels` more on every side."""
    return lambda layers: functional.max_pool2d(layers.matte[None], 2 * pixels + 1, 1, pixels)[0]


def rightwards(layers: Layers) -> Tensor:
    """A gradient: nothing at the left, everything at the right."""
    return torch.linspace(0, 1, layers.matte.shape[1]).expand_as(layers.matte)


MASKED: dict[str, tuple[Scene, int, Callable[[Layers], Tensor]]] = {
    "three_objects": (THREE, 256, around(3)),
    "small_object": (CORNER, 384, around(12)),
    "object_matte": (SCENES["circle"], 128, lambda layers: layers.matte),
    "gradient_mask": (SCENES["circle"], 128, rightwards),
}


def save(name: str, picture: Tensor, mask: Tensor | None = None) -> None:
    """Writes `picture` `[3, H, W]`, with `mask` `[H, W]` as transparency."""
    layers = picture if mask is None else torch.cat([picture, 1 - mask[None]])
    pixels = (layers * 255).round().byte().permute(1, 2, 0).numpy()
    Image.fromarray(pixels).save(EXAMPLES / f"{name}.png", optimize=True)


STAR_AND_SQUARE = Scene(
    (
        Shape("square", "blue", "large", "right", x=0.62, y=0.42),
        Shape("star", "yellow", "large", "left", x=0.38),
    ),
    "white",
)
LAMP = Scene((), "blue", light="right", gradient=True)


def concat_models() -> None:
    """What depth, x4, inpainting and IC-Light models take."""
    circle, drawn = render(SCENES["circle"]), render(STAR_AND_SQUARE)
    hole = torch.zeros(128, 128)
    hole[32:104, 64:120] = 1
    save("circle_hole", circle.picture, hole)
    save("circle_cut_out", circle.picture, 1 - circle.matte)
    save("depth", drawn.depth.expand(3, -1, -1))
    save("star_and_square_small", functional.interpolate(drawn.picture[None], (32, 32), mode="area")[0])
    save("blue_lit_from_right", render(LAMP).picture)


def main() -> None:
    EXAMPLES.mkdir(parents=True, exist_ok=True)
    for name, scene in SCENES.items():
        save(name, render(scene).picture)
    for name, (scene, side, mask) in MASKED.items():
        layers = render(scene, side, side)
        save(name, layers.picture, mask(layers))
    concat_models()


if __name__ == "__main__":
    main()
