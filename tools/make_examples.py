"""Renders the inputs of the shipped workflows, scenes of the mini world, to assets/examples/.

    .venv/bin/python -m tools.make_examples
    .venv/bin/python -m tools.make_examples --photographs FOLDER

Some come with a mask in their alpha, as the host's mask editor saves one: transparent is "may change".
The photograph is cut from one that the package scikit-image ships (FOLDER is its `skimage/data`) and that is
in the public domain: assets/examples/README.md.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from pathlib import Path

import torch
from PIL import Image, ImageDraw
from scipy import ndimage
from torch import Tensor
from torch.nn import functional

from .mini.bones import bones
from .mini.world import Layers, Scene, Shape, render

EXAMPLES = Path(__file__).resolve().parents[1] / "assets" / "examples"


def one(kind: str, colour: str, background: str, light: str, size: str = "large", **place: float) -> Scene:
    """One plain shape, in the centre unless `x` and `y` say otherwise."""
    return Scene((Shape(kind, colour, size, "centre", **place),), background, light=light)


SCENES = {
    "circle": (one("circle", "red", "white", "left"), 128),
    "ring": (one("ring", "red", "white", "left"), 128),
    "square": (one("square", "red", "yellow", "left"), 128),
    "square_from_above": (one("square", "green", "yellow", "top"), 128),
    "star": (one("star", "yellow", "blue", "left"), 128),
    "triangle": (one("triangle", "yellow", "blue", "top"), 128),
    "triangle_aside": (one("triangle", "orange", "purple", "right", x=0.36, y=0.42), 128),
    "cross": (one("cross", "green", "white", "left"), 128),
    "garment": (
        Scene((Shape("square", "green", "small", "left", x=0.4, y=0.66),), "white", light="left"),
        128,
    ),
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
PERSON = Scene(
    (
        Shape("circle", "yellow", "small", "top", x=0.45, y=0.2),
        Shape("square", "red", "large", "bottom", x=0.45, y=0.66),
    ),
    "white",
    light="left",
)
CORNER = one("ring", "purple", "yellow", "right", x=0.36, y=0.4)


def around(pixels: int) -> Callable[[Layers], Tensor]:
    """The shapes without their holes, painted over as by hand: `pixels` more on every side."""

    def painted(layers: Layers) -> Tensor:
        whole = torch.from_numpy(ndimage.binary_fill_holes((layers.matte > 0).numpy())).float()
        return functional.max_pool2d(whole[None], 2 * pixels + 1, 1, pixels)[0]

    return painted


def rightwards(layers: Layers) -> Tensor:
    """A gradient: nothing at the left, everything at the right; slow at first, for a little freedom at the
    end of sampling already moves a flat colour far."""
    return (torch.linspace(0, 1, layers.matte.shape[1]) ** 3).expand_as(layers.matte)


def clothes(layers: Layers) -> Tensor:
    """What the person wears, and no room round it: a strip narrower than a latent cell (8 pixels) can't be
    painted as background."""
    return (layers.masks[1] > 0).float()


MASKED: dict[str, tuple[Scene, int, Callable[[Layers], Tensor]]] = {
    "three_objects": (THREE, 256, around(3)),
    "small_object": (CORNER, 384, around(12)),
    "object_matte": (one("square", "red", "blue", "top"), 256, lambda layers: layers.matte),
    "person": (PERSON, 128, clothes),
    "gradient_mask": (one("square", "blue", "yellow", "top"), 256, rightwards),
}


def save(name: str, picture: Tensor, mask: Tensor | None = None) -> None:
    """Writes `picture` `[3, H, W]`, with `mask` `[H, W]` as transparency."""
    layers = picture if mask is None else torch.cat([picture, 1 - mask[None]])
    image(layers).save(EXAMPLES / f"{name}.png", optimize=True)


def image(layers: Tensor) -> Image.Image:
    """Of `[3 or 4, H, W]` in 0..1."""
    return Image.fromarray((layers * 255).round().byte().permute(1, 2, 0).numpy())


FRAMES = 24


def clip() -> None:
    """A circle that passes in front of a star, without loss."""
    star, frames = Shape("star", "yellow", "large", "centre", x=0.5, y=0.5), []
    for k in range(FRAMES):
        x, y = 0.16 + 0.68 * k / (FRAMES - 1), 0.62 - 0.18 * math.sin(math.pi * k / (FRAMES - 1))
        passing = Shape("circle", "red", "small", "left", x=x, y=y)
        frames.append(image(render(Scene((star, passing), "blue", light="left")).picture))
    how = {"save_all": True, "append_images": frames[1:], "duration": 1000 // 12, "loop": 0}
    frames[0].save(EXAMPLES / "passing.webp", lossless=True, **how)


# Where a cross stands in each step of a loop, and how large.
POSES = ((0.25, 0.42, "small"), (0.46, 0.68, "large"), (0.72, 0.5, "large"), (0.54, 0.24, "small"))


def poses() -> None:
    """Its bones, as the mini ControlNet reads them, without loss."""
    scenes = [one("cross", "yellow", "blue", "left", size, x=x, y=y) for x, y, size in POSES]
    frames = [image(bones(scene, 128, 128)) for scene in scenes]
    how = {"save_all": True, "append_images": frames[1:], "duration": 500, "loop": 0}
    frames[0].save(EXAMPLES / "bones.webp", lossless=True, **how)


LAMP = Scene((), "blue", light="right", gradient=True)


def concat_models() -> None:
    """What depth, x4, inpainting and IC-Light models take."""
    hole = torch.zeros(128, 128)
    hole[32:104, 64:120] = 1
    save("square_hole", render(one("square", "green", "yellow", "left")).picture, hole)
    for name, scene in (
        ("triangle_cut_out", one("triangle", "yellow", "white", "left")),
        ("cross_cut_out", one("cross", "red", "white", "left")),
    ):
        layers = render(scene)
        save(name, layers.picture, 1 - layers.matte)
    save("depth", render(one("star", "yellow", "blue", "left", x=0.42, y=0.45)).depth.expand(3, -1, -1))
    star = render(SCENES["star"][0], 256, 256).picture
    save("star_small", functional.interpolate(star[None], (64, 64), mode="area")[0])
    save("blue_lit_from_right", render(LAMP).picture)


# What is painted over in the photograph, one polygon an object, in pixels of the cut picture.
ROCKET_OBJECTS = (
    ((76, 86), (88, 86), (90, 140), (97, 256), (48, 256), (68, 145)),
    ((261, 86), (273, 86), (277, 140), (294, 256), (250, 256), (259, 145)),
    ((160, 88), (188, 88), (192, 130), (192, 226), (204, 256), (142, 256), (160, 220)),
)


def photographs(folder: Path) -> None:
    """A rocket between two masts: all three painted over, and the masts alone."""
    with Image.open(folder / "rocket.jpg") as file:
        whole = file.convert("RGB").crop((90, 0, 560, 427)).resize((352, 320), Image.Resampling.LANCZOS)
    for name, count in (("rocket", 3), ("rocket_masts", 2)):
        rocket, mask = whole.crop((0, 0, 352, 256)), Image.new("L", (352, 256), 255)
        for polygon in ROCKET_OBJECTS[:count]:
            ImageDraw.Draw(mask).polygon(polygon, fill=0)
        rocket.putalpha(mask)
        rocket.save(EXAMPLES / f"{name}.png", optimize=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--photographs", metavar="FOLDER", type=Path, help="scikit-image's skimage/data")
    folder = parser.parse_args().photographs
    EXAMPLES.mkdir(parents=True, exist_ok=True)
    for name, (scene, side) in SCENES.items():
        save(name, render(scene, side, side).picture)
    for name, (scene, side, mask) in MASKED.items():
        layers = render(scene, side, side)
        save(name, layers.picture, mask(layers))
    concat_models()
    clip()
    poses()
    if folder:
        photographs(folder)


if __name__ == "__main__":
    main()
