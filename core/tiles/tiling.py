"""How a picture is tiled, as one small value that plans carry and that sampling and cost read alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

from ..loop.door import LONGEST_SIDE, Limits
from ..loop.plan import ExtraValue
from .blend import TileBlend
from .tiles import TileLayout, fit_axis

Wrap = Literal["off", "horizontal", "both"]
WRAPS: tuple[Wrap, ...] = ("off", "horizontal", "both")

Origin = Literal["canvas", "tile"]
ORIGINS: tuple[Origin, ...] = ("canvas", "tile")

AUTO_TILE = 1216
"""Longest side in pixels of an automatic tile for models of about one megapixel (SDXL, SD3, Flux, ...)."""

LEAST_CELLS = 8
"""A UNet halves its input three times: with fewer latent cells nothing is left of a tile."""

SAVED = 0.8
"""Another tile size is worth a word where it does at most this share of the work."""

GRAIN = 16
"""Tiles and overlaps are multiples of this many pixels, so that DiT patches and UNet blocks line up."""


@dataclass(frozen=True)
class Tiling(ExtraValue):
    """Settings of tiled sampling. `tile` and `overlap` in pixels; `tile` 0 is automatic.

    `tile` is a tile's width, and its height too where `tile_height` is 0. `batch` tiles go through the model
    at once; `shift` moves the grid at each step; `skip_flat` (0..1) is the detail below which a tile is left
    as it is, 0 = off. `origin` is where a transformer's positions begin: in the corner of the canvas, or of
    each tile as if it were a picture of its own.
    """

    kind: ClassVar[str] = "tiled"
    limits: ClassVar[Limits] = {
        "tile": (0, LONGEST_SIDE),
        "overlap": (0, LONGEST_SIDE),
        "batch": (1, 64),
        "skip_flat": (0.0, 1.0),
        "tile_height": (0, LONGEST_SIDE),
    }

    tile: int = 0
    overlap: int = 128
    blend: TileBlend = "cosine"
    batch: int = 1
    shift: bool = False
    wrap: Wrap = "off"
    skip_flat: float = 0.0
    tile_height: int = 0
    origin: Origin = "canvas"

    @property
    def sides(self) -> tuple[int, int]:
        """Height and width that were asked for in pixels, 0 for automatic."""
        return self.tile_height or self.tile, self.tile

    def largest(self, auto: int) -> tuple[int, int]:
        """Height and width of a tile in pixels at most, where an automatic side is at most `auto`."""
        height, width = self.sides
        return height or auto, width or auto

    def check(self, ratio: int) -> None:
        """Raises ValueError for sizes that a model with `ratio` pixels a latent cell can't use."""
        least, shared = LEAST_CELLS * ratio, -(-self.overlap // ratio)
        for name, side in (("tile_size", self.tile), ("tile_height", self.tile_height)):
            if side and side < least:
                raise ValueError(
                    f"Tiles of {side} px are too small for this model: it needs at least {least} px. "
                    f"Set {name} to 0 (automatic) or higher."
                )
            if side and shared >= side // ratio:
                raise ValueError(
                    f"In cells of {ratio} px, the overlap ({self.overlap} px: {shared}) must be smaller than "
                    f"the tile ({side} px: {side // ratio}): lower overlap, or set {name} to 0 (automatic)."
                )
        if not all(self.sides) and self.overlap > AUTO_TILE // 4:
            raise ValueError(
                f"With automatic tiles the overlap is at most {AUTO_TILE // 4} px, not {self.overlap}: "
                "lower overlap, or set tile_size."
            )

    def layout(self, height: int, width: int, ratio: int, auto: int = AUTO_TILE) -> TileLayout:
        """Tiles over a canvas of `height` x `width` latent cells of `ratio` pixels.

        An automatic tile is fitted: at most `auto` pixels, as small as its number allows. A given size is
        kept, and the overlap grows until the tiles end at the border.
        """
        tall, wide = self.largest(auto)
        overlap, multiple = -(-self.overlap // ratio), max(1, GRAIN // ratio)
        fit_rows, fit_columns = (not side for side in self.sides)
        wrap_rows, wrap_columns = self.wrap == "both", self.wrap != "off"
        return TileLayout(
            fit_axis(height, tall // ratio, overlap, multiple=multiple, wrap=wrap_rows, fit=fit_rows),
            fit_axis(width, wide // ratio, overlap, multiple=multiple, wrap=wrap_columns, fit=fit_columns),
        )

    def work(self, sizes: Sequence[tuple[int, int]], ratio: int, auto: int = AUTO_TILE) -> float:
        """Pixels computed over pixels of pictures of `sizes` (height, width in pixels), all together."""
        cells = [(-(-height // ratio), -(-width // ratio)) for height, width in sizes]
        done = sum(self.layout(*size, ratio, auto).redundancy * size[0] * size[1] for size in cells)
        return done / sum(height * width for height, width in cells)

    def thrifty(self, sizes: Sequence[tuple[int, int]], ratio: int, auto: int = AUTO_TILE) -> Tiling:
        """This tiling, or one with the least work whose given sides differ from its by at most a quarter.

        Only where that saves a fifth of the work or more. Automatic sides are as good as they can be.
        """
        best = self
        for name in ("tile", "tile_height"):
            side = getattr(self, name)
            sides = range(-(-side * 3 // 4 // GRAIN) * GRAIN, side * 5 // 4 + 1, GRAIN) if side else ()
            tried = [replace(best, **{name: other}) for other in sides]
            allowed = [one for one in tried if one.fits(ratio)]
            best = min([best, *allowed], key=lambda one: one.work(sizes, ratio, auto))
        saves = best.work(sizes, ratio, auto) <= SAVED * self.work(sizes, ratio, auto)
        return best if saves else self

    def fits(self, ratio: int) -> bool:
        """Whether `check` has nothing against it."""
        try:
            self.check(ratio)
        except ValueError:
            return False
        return True

    def margin(self, ratio: int) -> int:
        """Cells at a tile's inner edges that count for nothing: an eighth of the overlap."""
        return self.overlap // ratio // 8

    def at_step(self, layout: TileLayout, step: int, ratio: int) -> TileLayout:
        """The layout of a sampler step: moved along a low-discrepancy sequence when `shift` is on.

        Fractions of the plastic number's powers (the R2 sequence, Roberts 2018) spread the seams evenly
        without any random source; step 0 stays where it is.
        """
        if not self.shift:
            return layout
        return layout.shifted(
            step * 0.7548776662466927 % 1, step * 0.5698402909980532 % 1, max(1, GRAIN // ratio)
        )
