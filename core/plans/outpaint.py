"""Outpainting as a plan: a target canvas, and passes of the size that the model likes.

The windows of the passes lie on a grid over the canvas. Whichever sees the most of what is known comes
next, so that the picture grows outwards and every pass continues something.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..fills.fill import Fill
from ..loop.door import check_text, text_size
from ..loop.lens import Chain
from ..loop.plan import Plan, Step
from ..pictures.canvas import Canvas, Sides, check_overlap
from ..pictures.crop import Box
from ..tiles.tiles import fit_axis
from .window import Window

SMALLEST_PASS = 256
MULTIPLE = 8
MOST_PASSES = 2500
CONTEXT = 4
"""A pass shares at least 1 / CONTEXT of its window with the one beside it."""


@dataclass(frozen=True)
class Outpainting:
    """What an outpainting plan is to do; lengths in pixels.

    `prompts` and `denoise` hold a value a pass, the last one repeated. A pass's mask reaches `overlap`
    pixels into what earlier passes made, and `blend` pixels into the picture (0: its every pixel stays).
    `fill` says how an area is filled before its pass.
    """

    sides: Sides
    pass_size: int
    prompts: Sequence[str]
    overlap: int = 64
    blend: int = 0
    denoise: Sequence[float] = (1.0,)
    steps: int = 20
    cfg: float = 7.0
    seed: int = 0
    fill: Fill = Fill()
    profile: str = "cosine"
    match: float = 1.0

    def check(self, height: int, width: int) -> None:
        """Raises ValueError for what can't work on a picture of this size."""
        if self.pass_size < SMALLEST_PASS:
            raise ValueError(
                f"A pass of {self.pass_size} pixels is too small to continue a picture: "
                f"set `pass_size` to {SMALLEST_PASS} or more (512 for SD 1.5, 1024 for SDXL and newer)."
            )
        if self.overlap > self.pass_size // 2:
            raise ValueError(
                f"The overlap of {self.overlap} pixels leaves no room in a pass of {self.pass_size}: "
                f"set it to {self.pass_size // 2} or less."
            )
        check_overlap(height, width, self.sides, max(self.overlap, self.blend))

    def plan(self, height: int, width: int) -> Plan:
        """The plan for pictures of this size. Raises ValueError as `check` does.

        The first step makes the canvas; what is cut off by negative sides goes there too.
        """
        self.check(height, width)
        canvas = Canvas(*self.sides, blend=self.blend, profile=self.profile)
        passes = self.passes(height, width)
        if not passes:  # nothing to paint: the picture as it is, or cut
            return Plan((Step(self._at(self.prompts, 0), 1, self.cfg, 0.0, self.seed, "cut", lens=canvas),))
        check_text(2 * len(passes) * max(map(text_size, self.prompts)))
        steps = []
        for index, one in enumerate(passes):
            prompt, seed = self._at(self.prompts, index), (self.seed + index) % 2**64
            steps.append(
                Step(
                    prompt=prompt,
                    steps=self.steps,
                    cfg=self.cfg,
                    denoise=self._at(self.denoise, index),
                    seed=seed,
                    label=f"{prompt} [{one.width}x{one.height} at {one.left}, {one.top}]",
                    lens=Chain(canvas, one) if index == 0 else one,
                    extras=(replace(self.fill, seed=seed).to_extra(),),
                )
            )
        return Plan(tuple(steps))

    def passes(self, height: int, width: int) -> list[Window]:
        """The windows in the order they are painted; each has something new, together all that is new."""
        size = Canvas(*self.sides).view_size(height, width)
        picture = self._picture(height, width)
        limit = self.pass_size // MULTIPLE * MULTIPLE
        shared = max(self.overlap, limit // CONTEXT)
        axes = [fit_axis(length, limit, shared, fit=False) for length in size]
        count = len(axes[0].starts) * len(axes[1].starts)
        if count > MOST_PASSES:
            raise ValueError(
                f"This canvas of {size[1]}x{size[0]} pixels would take {count:,} passes, and a plan has at "
                f"most {MOST_PASSES:,}: raise `pass_size`, or lower `overlap`."
            )
        boxes = [Box(y, x, axes[0].tile, axes[1].tile) for y in axes[0].starts for x in axes[1].starts]
        known = _Cells(size, [picture, *boxes])
        known.add(picture)
        done, passes = [picture], []
        # What is known of a box, and how near it is: changed only where a pass meets it.
        order = {box: (known.area(box), -box.distance(picture)) for box in boxes}
        while order:
            box = max(order, key=order.__getitem__)
            area, _ = order.pop(box)
            if area < box.height * box.width:
                passes.append(self._window(box, done, first=not passes))
                known.add(box)
                done.append(box)
                order |= {
                    each: (known.area(each), far) for each, (_, far) in order.items() if each.meets(box)
                }
        return passes

    def _window(self, box: Box, done: list[Box], first: bool) -> Window:
        """The lens of a pass that knows the picture, which is the first of `done`, and earlier passes."""
        picture, *earlier = done
        seen = [picture, *(one for one in earlier if one.meets(box))]
        known = tuple(side for one in seen for side in (one.top, one.left, one.height, one.width))
        where = (box.top, box.left, box.height, box.width)
        return Window(*where, known, self.overlap, self.blend, self.profile, first, self.match)

    def _picture(self, height: int, width: int) -> Box:
        """What is left of the picture, on the canvas."""
        top, bottom, left, right = self.sides
        return Box(top, left, height, width).within(top + height + bottom, left + width + right)

    @staticmethod
    def _at(values: Sequence[Any], index: int) -> Any:
        return values[min(index, len(values) - 1)]


class _Cells:
    """Which pixels of a canvas are known, kept for the cells between all edges of some boxes."""

    def __init__(self, size: tuple[int, int], boxes: Sequence[Box]):
        self.rows = np.unique([0, size[0]] + [edge for box in boxes for edge in (box.top, box.bottom)])
        self.columns = np.unique([0, size[1]] + [edge for box in boxes for edge in (box.left, box.right)])
        self.known = np.zeros((len(self.rows) - 1, len(self.columns) - 1), bool)
        self.heights, self.widths = np.diff(self.rows), np.diff(self.columns)

    def add(self, box: Box) -> None:
        self.known[self._cells(box)] = True

    def area(self, box: Box) -> int:
        """How many pixels of a box are known."""
        rows, columns = self._cells(box)
        return int(self.heights[rows] @ self.known[rows, columns] @ self.widths[columns])

    def _cells(self, box: Box) -> tuple[slice, slice]:
        top, bottom = np.searchsorted(self.rows, (box.top, box.bottom))
        left, right = np.searchsorted(self.columns, (box.left, box.right))
        return slice(top, bottom), slice(left, right)
