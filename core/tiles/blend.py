"""How much each tile counts where tiles overlap: weights that sum to one at every cell of the canvas.

The weights of a tile are the product of two vectors, one for each axis, and each axis is normalised on its
own; so the sum over the grid is one everywhere, for any tile shape, with wrap too.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from .tiles import Axis, Tile, TileLayout

TileBlend = Literal["cosine", "linear", "gaussian"]
TILE_BLENDS: tuple[TileBlend, ...] = ("cosine", "linear", "gaussian")


def axis_weights(axis: Axis, blend: TileBlend, margin: int = 0) -> Tensor:
    """Weights `[tiles, tile]` float32 that sum to one at each cell of the axis.

    linear, cosine: a ramp over each overlap, straight or half a cosine; flat elsewhere. gaussian: a bell
    over the whole tile, variance 0.01 of its length squared (Mixture of Diffusers, arXiv:2302.02412).
    `margin` cells at each inner edge of a tile get weight zero, where the overlap leaves room for it:
    there the tile knows least about its surroundings.
    """
    raw = torch.stack([_raw(axis, i, blend, margin) for i in range(len(axis))])
    total = torch.zeros(axis.length, dtype=torch.float64)
    for i in range(len(axis)):
        for at, start, size in axis.pieces(i):
            total[at : at + size] += raw[i, start : start + size]
    for i in range(len(axis)):
        for at, start, size in axis.pieces(i):
            raw[i, start : start + size] /= total[at : at + size]
    return raw.float()


def _raw(axis: Axis, index: int, blend: TileBlend, margin: int) -> Tensor:
    """Weights `[tile]` of one tile before they are normalised."""
    cells = torch.arange(axis.tile, dtype=torch.float64) + 0.5
    overlaps = axis.overlaps()
    before = overlaps[index - 1] if index or axis.wrap else 0
    after = overlaps[index] if index < len(overlaps) else 0
    if blend == "gaussian":
        bell = torch.exp(-((cells / axis.tile - 0.5) ** 2) / (2 * 0.01))
        return bell * _inside(cells, before, margin) * _inside(axis.tile - cells, after, margin)
    weight = torch.ones_like(cells)
    for distance, overlap in ((cells, before), (axis.tile - cells, after)):
        if overlap:
            room = _room(overlap, margin)
            weight *= ((distance - room) / (overlap - 2 * room)).clamp(0, 1)
    return weight if blend == "linear" else 0.5 - 0.5 * torch.cos(torch.pi * weight)


def _room(overlap: int, margin: int) -> int:
    """The margin that still leaves two cells of every overlap to blend in."""
    return max(0, min(margin, overlap // 2 - 1))


def _inside(distance: Tensor, overlap: int, margin: int) -> Tensor:
    """1 where a cell is further than the margin from an inner edge, else 0."""
    return (distance > _room(overlap, margin)).to(distance) if overlap else torch.ones_like(distance)


class TileWeights:
    """Blend weights of a layout, ready on a device: `weights[tile]` is `[h, w]`."""

    def __init__(
        self, layout: TileLayout, blend: TileBlend, margin: int = 0, device: torch.device | None = None
    ):
        self._rows = axis_weights(layout.rows, blend, margin).to(device)
        self._columns = axis_weights(layout.columns, blend, margin).to(device)

    def __getitem__(self, tile: Tile) -> Tensor:
        return self._rows[tile.row].unsqueeze(1) * self._columns[tile.column].unsqueeze(0)
