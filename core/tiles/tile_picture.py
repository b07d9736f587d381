"""The grid of tiles drawn over a picture."""

from __future__ import annotations

import numpy
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from ..loop.lens import resize
from .tiles import TileLayout

LONGEST = 1024
"""Longest side of the drawn picture in pixels."""

BORDER, SHARED, SKIPPED = (255, 64, 64), (255, 200, 0), (0, 0, 0)


def draw_tiles(picture: Tensor, layout: TileLayout, flat: set[int] | None = None) -> Tensor:
    """`[1, h, w, 3]`: the first picture of `[B, H, W, C]`, at most LONGEST pixels, under its tiles.

    Where tiles overlap is tinted, tiles whose index is in `flat` are dark, borders are lines.
    """
    height, width = layout.size
    scale = LONGEST / max(height, width)
    size = max(1, round(height * scale)), max(1, round(width * scale))
    small = resize(picture[:1, ..., :3], *size)[0].clamp(0, 1)
    if small.shape[-1] == 1:
        small = small.expand(-1, -1, 3)
    canvas = Image.fromarray((small * 255).round().byte().cpu().numpy())
    draw = ImageDraw.Draw(canvas, "RGBA")
    for axis, horizontal in ((layout.rows, True), (layout.columns, False)):
        for start, shared in zip(_following(axis.starts, axis.length), axis.overlaps(), strict=False):
            low, high = start * scale, (start + shared) * scale
            box = (0, low, size[1], high) if horizontal else (low, 0, high, size[0])
            draw.rectangle(box, fill=(*SHARED, 70))
    for i, tile in enumerate(layout):
        box = (tile.x * scale, tile.y * scale, (tile.x + tile.width) * scale, (tile.y + tile.height) * scale)
        if flat and i in flat:
            draw.rectangle(box, fill=(*SKIPPED, 150))
        draw.rectangle(box, outline=(*BORDER, 255), width=2)
        draw.text((box[0] + 6, box[1] + 4), str(i + 1), fill=(255, 255, 255, 255), stroke_width=2,
                  stroke_fill=(0, 0, 0, 255))  # fmt: skip
    return torch.from_numpy(numpy.asarray(canvas).copy()).float().div(255).unsqueeze(0)


def _following(starts: tuple[int, ...], length: int) -> tuple[int, ...]:
    """Where the overlap of each tile with the next one begins; on a wrapped axis the last one's at 0."""
    return (*starts[1:], starts[0] % length)
