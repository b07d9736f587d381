"""Outpainting as a plan: a target canvas, and passes of the size that the model likes.

The windows of the passes lie on a grid over the canvas. Whichever sees the most of what is known comes
next, so that the picture grows outwards and every pass continues something.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from ..fills.fill import Fill
from ..loop.door import check_text, text_size
from ..loop.lens import Chain
from ..loop.plan import Plan, Step, content_hash
from ..loop.room import need_room
from ..pictures.canvas import Canvas, Sides, check_overlap
from ..pictures.crop import Box, Crop
from ..pictures.masks import ramp
from ..tiles.tiles import fit_axis

SMALLEST_PASS = 256
MULTIPLE = 8
MOST_PASSES = 2500
WORK = 24
"""Bytes of masks that a plan holds and makes for each pixel of its canvas, passes overlapping."""
CONTEXT = 4
"""A pass shares at least 1 / CONTEXT of its window with the one beside it."""


@dataclass(frozen=True)
class Pass:
    """One window of the canvas: its `box`, and what is `new` in it, bool `[height, width]`."""

    box: Box
    new: NDArray[np.bool_]


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
        picture = self._picture(height, width)
        size = canvas.view_size(height, width)
        need_room(math.prod(size) * WORK, f"Planning a canvas of {size[1]}x{size[0]} pixels", "add less room")
        passes = self.passes(height, width)
        if not passes:  # nothing to paint: the picture as it is, or cut
            return Plan((Step(self._at(self.prompts, 0), 1, self.cfg, 0.0, self.seed, "cut", lens=canvas),))
        check_text(2 * len(passes) * max(map(text_size, self.prompts)))
        assets: dict[str, Tensor] = {}
        steps = []
        for index, one in enumerate(passes):
            box, prompt = one.box, self._at(self.prompts, index)
            seed = (self.seed + index) % 2**64
            lens = self._crop(one, picture, assets, first=index == 0)
            steps.append(
                Step(
                    prompt=prompt,
                    steps=self.steps,
                    cfg=self.cfg,
                    denoise=self._at(self.denoise, index),
                    seed=seed,
                    label=f"{prompt} [{box.width}x{box.height} at {box.left}, {box.top}]",
                    lens=Chain(canvas, lens) if index == 0 else lens,
                    extras=(replace(self.fill, seed=seed).to_extra(),),
                )
            )
        return Plan(tuple(steps), assets)

    def passes(self, height: int, width: int) -> list[Pass]:
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
        passes = []
        while boxes:
            box = max(boxes, key=lambda box: (known.area(box), -box.distance(picture)))
            boxes.remove(box)
            if known.area(box) < box.height * box.width:
                passes.append(Pass(box, ~known.pixels(box)))
                known.add(box)
        return passes

    def _picture(self, height: int, width: int) -> Box:
        """What is left of the picture, on the canvas."""
        top, bottom, left, right = self.sides
        return Box(top, left, height, width).within(top + height + bottom, left + width + right)

    def _crop(self, one: Pass, picture: Box, assets: dict[str, Tensor], first: bool) -> Crop:
        """The lens of a pass. In the first one the canvas lens round it composites the picture's edge."""
        distance = torch.from_numpy(ndimage.distance_transform_edt(~one.new)).float()
        reach = torch.full_like(distance, self.overlap)
        rows, columns = picture.slices(one.box)
        reach[rows, columns] = self.blend
        sample = ramp(1 - distance / (reach + 1), self.profile).unsqueeze(0)
        back = (sample > 0).float() if first else sample
        names = content_hash(sample), content_hash(back)
        assets.update(zip(names, (sample, back), strict=True))
        box = one.box
        size = (box.height, box.width)
        return Crop(box.top, box.left, *size, *size, names[0], names[1], self.match)

    @staticmethod
    def _at(values: Sequence[Any], index: int) -> Any:
        return values[min(index, len(values) - 1)]


class _Cells:
    """Which pixels of a canvas are known, kept for the cells between all edges of some boxes."""

    def __init__(self, size: tuple[int, int], boxes: Sequence[Box]):
        self.rows = np.unique([0, size[0]] + [edge for box in boxes for edge in (box.top, box.bottom)])
        self.columns = np.unique([0, size[1]] + [edge for box in boxes for edge in (box.left, box.right)])
        self.known = np.zeros((len(self.rows) - 1, len(self.columns) - 1), bool)

    def add(self, box: Box) -> None:
        self.known[self._cells(box)] = True

    def area(self, box: Box) -> int:
        """How many pixels of a box are known."""
        rows, columns = self._cells(box)
        return int(np.diff(self.rows)[rows] @ self.known[rows, columns] @ np.diff(self.columns)[columns])

    def pixels(self, box: Box) -> NDArray[np.bool_]:
        """`[height, width]` of a box."""
        rows, columns = self._cells(box)
        heights = np.diff(self.rows)[rows]
        widths = np.diff(self.columns)[columns]
        return self.known[rows, columns].repeat(heights, 0).repeat(widths, 1)

    def _cells(self, box: Box) -> tuple[slice, slice]:
        top, bottom = np.searchsorted(self.rows, (box.top, box.bottom))
        left, right = np.searchsorted(self.columns, (box.left, box.right))
        return slice(top, bottom), slice(left, right)
