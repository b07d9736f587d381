"""How a picture is tiled, as one small value that plans carry and that sampling and cost read alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from ..loop.door import LONGEST_SIDE, Limits
from ..loop.plan import ExtraValue
from .blend import TileBlend
from .tiles import TileLayout, fit_layout

Wrap = Literal["off", "horizontal", "both"]
WRAPS: tuple[Wrap, ...] = ("off", "horizontal", "both")

AUTO_TILE = 1216
"""Longest side in pixels of an automatic tile for models of about one megapixel (SDXL, SD3, Flux, ...)."""

LEAST_CELLS = 8
"""A UNet halves its input three times: with fewer latent cells nothing is left of a tile."""

GRAIN = 16
"""Tiles and overlaps are multiples of this many pixels, so that DiT patches and UNet blocks line up."""


@dataclass(frozen=True)
class Tiling(ExtraValue):
    """Settings of tiled sampling. `tile` and `overlap` in pixels; `tile` 0 is automatic.

    `batch` tiles go through the model at once; `shift` moves the grid at each step; `skip_flat` (0..1) is
    the detail below which a tile is left as it is, 0 = off.
    """

    kind: ClassVar[str] = "tiled"
    limits: ClassVar[Limits] = {
        "tile": (0, LONGEST_SIDE),
        "overlap": (0, LONGEST_SIDE),
        "batch": (1, 64),
        "skip_flat": (0.0, 1.0),
    }

    tile: int = 0
    overlap: int = 128
    blend: TileBlend = "cosine"
    batch: int = 1
    shift: bool = False
    wrap: Wrap = "off"
    skip_flat: float = 0.0

    def check(self, ratio: int) -> None:
        """Raises ValueError for sizes that a model with `ratio` pixels a latent cell can't use."""
        least = LEAST_CELLS * ratio
        if self.tile and self.tile < least:
            raise ValueError(
                f"Tiles of {self.tile} px are too small for this model: it needs at least {least} px. "
                "Set tile_size to 0 (automatic) or higher."
            )
        if self.tile and -(-self.overlap // ratio) >= self.tile // ratio:
            raise ValueError(
                f"The overlap ({self.overlap} px) must be smaller than the tile ({self.tile} px): "
                "lower overlap, or set tile_size to 0 (automatic)."
            )
        if not self.tile and self.overlap > AUTO_TILE // 4:
            raise ValueError(
                f"With automatic tiles the overlap is at most {AUTO_TILE // 4} px, not {self.overlap}: "
                "lower overlap, or set tile_size."
            )

    def layout(self, height: int, width: int, ratio: int, auto: int = AUTO_TILE) -> TileLayout:
        """Tiles over a canvas of `height` x `width` latent cells of `ratio` pixels.

        An automatic tile is fitted: at most `auto` pixels, as small as its number allows. A given size is
        kept, and the overlap grows until the tiles end at the border.
        """
        return fit_layout(
            height,
            width,
            (self.tile or auto) // ratio,
            -(-self.overlap // ratio),
            multiple=max(1, GRAIN // ratio),
            wrap_rows=self.wrap == "both",
            wrap_columns=self.wrap != "off",
            fit=not self.tile,
        )

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
