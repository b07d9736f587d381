"""Where tiles lie: equal tiles that cover a canvas, as one frozen value.

A layout is the product of two `Axis` values, so that blend weights are products of two vectors and sum to
one wherever each vector does. Units are the caller's (latent cells, pixels); `scaled` goes from one to the
other. Tiles on a wrapped axis run over the end of the canvas into its beginning.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass(frozen=True)
class Axis:
    """Tiles of one size along one axis of a canvas.

    `starts` ascend, each in 0..length-1; tile i covers `starts[i] .. starts[i] + tile`, modulo `length`
    when the axis wraps (such a tile may be longer than the canvas: it then holds some cells twice).
    """

    length: int
    tile: int
    starts: tuple[int, ...]
    wrap: bool = False

    def __len__(self) -> int:
        return len(self.starts)

    @property
    def redundancy(self) -> float:
        """Cells computed over cells of the canvas; 1 is no redundant work."""
        return len(self) * self.tile / self.length

    def overlaps(self) -> tuple[int, ...]:
        """Cells that tile i shares with the next one (the last with the first when the axis wraps)."""
        ends = [start + self.tile for start in self.starts]
        following = [*self.starts[1:], *([self.starts[0] + self.length] if self.wrap else [])]
        return tuple(end - start for end, start in zip(ends, following, strict=False))

    def pieces(self, index: int) -> list[tuple[int, int, int]]:
        """Tile `index` as runs of the canvas: (start on the canvas, start in the tile, cells)."""
        runs, done = [], 0
        while done < self.tile:
            at = (self.starts[index] + done) % self.length
            size = min(self.tile - done, self.length - at)
            runs.append((at, done, size))
            done += size
        return runs

    def scaled(self, factor: int) -> Axis:
        """The same tiles in units `factor` times finer."""
        starts = tuple(start * factor for start in self.starts)
        return replace(self, length=self.length * factor, tile=self.tile * factor, starts=starts)

    def shifted(self, fraction: float, multiple: int = 1) -> Axis:
        """The same tiles moved by a fraction (0..1) of the distance between two of them.

        Without wrap the outermost tiles stay at the borders and one more tile closes the gap, so that no
        tile is smaller than the others and no overlap is smaller than it was.
        """
        if self.wrap:
            offset = int(fraction * self.length / len(self)) // multiple * multiple
            return replace(
                self, starts=tuple(sorted((start + offset) % self.length for start in self.starts))
            )
        if len(self) == 1:
            return self
        stride = max(b - a for a, b in zip(self.starts, self.starts[1:], strict=False))
        offset, last = int(fraction * stride) // multiple * multiple, self.starts[-1]
        moved = {min(max(start - offset, 0), last) for start in (*self.starts, last + stride)}
        return replace(self, starts=tuple(sorted(moved)))


def fit_axis(
    length: int, tile: int, overlap: int, *, multiple: int = 1, wrap: bool = False, fit: bool = True
) -> Axis:
    """As few tiles as cover `length`, evenly spread, each sharing at least `overlap` with the next.

    With `fit` tiles are made as small as that number of tiles allows (at most `tile`, a `multiple`), so no
    work is wasted and no sliver is left; without it each has the size `tile` and the overlap grows.
    A tile as long as the axis is one tile. Raises ValueError unless 0 <= overlap < tile.
    """
    if not 0 <= overlap < tile:
        raise ValueError(f"A tile must be larger than its overlap; got tile {tile} and overlap {overlap}.")
    overlap = -(-overlap // multiple) * multiple
    tile = max(tile // multiple * multiple, overlap + multiple)
    if wrap:
        count = -(-length // (tile - overlap))
        if fit or count == 1:
            tile = -(-length // (count * multiple)) * multiple + overlap
            tile = min(tile, length + overlap)
        starts = (min(-(-i * length // (count * multiple)) * multiple, length - 1) for i in range(count))
        return Axis(length, tile, tuple(sorted(set(starts))), wrap=True)
    if tile >= length:
        return Axis(length, length, (0,))
    count = -(-(length - overlap) // (tile - overlap))
    if fit:
        tile = -(-(length + (count - 1) * overlap) // (count * multiple)) * multiple
    last = length - tile
    # Rounding a start up to the multiple never opens a gap: tile and overlap are multiples themselves.
    starts = (min(-(-i * last // ((count - 1) * multiple)) * multiple, last) for i in range(count))
    return Axis(length, tile, tuple(sorted(set(starts))))


@dataclass(frozen=True)
class Tile:
    """One tile by its row and column, with its first cell and its size."""

    row: int
    column: int
    y: int
    x: int
    height: int
    width: int


@dataclass(frozen=True)
class TileLayout:
    """A grid of equal tiles over a canvas: `rows` along its height, `columns` along its width."""

    rows: Axis
    columns: Axis

    def __len__(self) -> int:
        return len(self.rows) * len(self.columns)

    def __iter__(self) -> Iterator[Tile]:
        """Tiles row by row."""
        for i, y in enumerate(self.rows.starts):
            for j, x in enumerate(self.columns.starts):
                yield Tile(i, j, y, x, self.rows.tile, self.columns.tile)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the canvas."""
        return self.rows.length, self.columns.length

    @property
    def tile_size(self) -> tuple[int, int]:
        """Height and width of each tile."""
        return self.rows.tile, self.columns.tile

    @property
    def redundancy(self) -> float:
        """Area of all tiles over the area of the canvas."""
        return self.rows.redundancy * self.columns.redundancy

    @property
    def whole(self) -> bool:
        """True where one tile is the canvas, so that tiling changes nothing."""
        return len(self) == 1 and not self.rows.wrap and not self.columns.wrap

    def scaled(self, factor: int) -> TileLayout:
        """The same tiles in units `factor` times finer (latent cells to pixels)."""
        return TileLayout(self.rows.scaled(factor), self.columns.scaled(factor))

    def shifted(self, y: float, x: float, multiple: int = 1) -> TileLayout:
        """The same tiles moved by fractions (0..1) of their distances: see `Axis.shifted`."""
        return TileLayout(self.rows.shifted(y, multiple), self.columns.shifted(x, multiple))

    def cut(self, canvas: Tensor, tile: Tile) -> Tensor:
        """The part of `canvas` `[..., H, W]` under `tile`: a view where the tile does not wrap."""
        rows = [canvas.narrow(-2, at, size) for at, _, size in self.rows.pieces(tile.row)]
        band = rows[0] if len(rows) == 1 else torch.cat(rows, -2)
        columns = [band.narrow(-1, at, size) for at, _, size in self.columns.pieces(tile.column)]
        return columns[0] if len(columns) == 1 else torch.cat(columns, -1)

    def add(self, canvas: Tensor, tile: Tile, part: Tensor) -> None:
        """Adds `part` `[..., h, w]` to `canvas` `[..., H, W]` under `tile`, in place."""
        for y, ty, h in self.rows.pieces(tile.row):
            for x, tx, w in self.columns.pieces(tile.column):
                canvas[..., y : y + h, x : x + w] += part[..., ty : ty + h, tx : tx + w]


def fit_layout(
    height: int,
    width: int,
    tile: int,
    overlap: int,
    *,
    multiple: int = 1,
    wrap_rows: bool = False,
    wrap_columns: bool = False,
    fit: bool = True,
) -> TileLayout:
    """A grid of tiles of at most `tile` x `tile` over `height` x `width`: see `fit_axis`.

    `wrap_columns` joins the left and right borders (a panorama), `wrap_rows` top and bottom.
    """
    return TileLayout(
        fit_axis(height, tile, overlap, multiple=multiple, wrap=wrap_rows, fit=fit),
        fit_axis(width, tile, overlap, multiple=multiple, wrap=wrap_columns, fit=fit),
    )
