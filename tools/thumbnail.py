"""A workflow's thumbnail: what it made, and what it was given."""

from __future__ import annotations

from pathlib import Path

from PIL import Image, ImageOps

LEAST, MOST = 512, 1024
"""Pixels of the longer side."""
INSET = 0.3
"""The side of the picture that was given, in a corner of what was made of it."""
WIDE = 1.5
"""From this aspect on, the given picture stands above: a corner would hide what is new."""
EDGE = "white"
SQUARES = (8, (236, 236, 236), (196, 196, 196))
"""Side in pixels and colours of what shows through a hole."""


def make(after: Path, before: Path | None) -> Image.Image:
    """The thumbnail of a run that made `after`, out of `before` if it was given one picture."""
    with Image.open(after) as file:
        picture = file.convert("RGB")
    if before is not None:
        given = opaque(before)
        picture = above(picture, given) if picture.width >= WIDE * picture.height else inset(picture, given)
    longer = max(picture.size)
    return resized(picture, min(max(longer, LEAST), MOST) / longer, Image.Resampling.LANCZOS)


def resized(picture: Image.Image, scale: float, how: Image.Resampling) -> Image.Image:
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    return picture if size == picture.size else picture.resize(size, how)


def opaque(path: Path) -> Image.Image:
    """A picture with a chequered ground where it is transparent: what LoadImage gives as mask."""
    with Image.open(path) as file:
        picture = file.convert("RGBA")
    side, light, dark = SQUARES
    ground = Image.new("RGBA", picture.size, light)
    for y in range(0, picture.height, side):
        for x in range(y // side % 2 * side, picture.width, 2 * side):
            ground.paste(dark, (x, y, x + side, y + side))
    return Image.alpha_composite(ground, picture).convert("RGB")


def inset(picture: Image.Image, given: Image.Image) -> Image.Image:
    """`given` in the lower left corner. What is enlarged shows its pixels."""
    picture = resized(picture, max(1, LEAST / max(picture.size)), Image.Resampling.LANCZOS)
    scale = INSET * max(picture.size) / max(given.size)
    how = Image.Resampling.NEAREST if scale > 1 else Image.Resampling.LANCZOS
    small = ImageOps.expand(resized(given, scale, how), round(max(picture.size) / 128), EDGE)
    picture.paste(small, (0, picture.height - small.height))
    return picture


def above(picture: Image.Image, given: Image.Image) -> Image.Image:
    """`given` above what was made of it, both in the middle."""
    gap = max(1, picture.height // 16)
    both = Image.new("RGB", (max(picture.width, given.width), given.height + gap + picture.height), EDGE)
    both.paste(given, ((both.width - given.width) // 2, 0))
    both.paste(picture, ((both.width - picture.width) // 2, given.height + gap))
    return both
