"""Canvases: a picture with room round it to paint on.

Sides are given as (top, bottom, left, right) in pixels; a negative side cuts the picture.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from ..fills.fill import MODES, NEUTRAL, fill
from ..loop.door import LONGEST_SIDE, SEEDS, Limits
from ..loop.lens import Assets, Lens, View, composite, in_float32, widened, with_channels_of
from ..loop.room import need_room
from .masks import PROFILES, ramp

Sides = tuple[int, int, int, int]

ANCHORS = {
    f"{row} {column}".strip(): (y, x)
    for row, y in (("top", 0.0), ("", 0.5), ("bottom", 1.0))
    for column, x in (("left", 0.0), ("", 0.5), ("right", 1.0))
}
WIDEST = 1000
MASK_WORK = 40
"""Bytes a pixel that the making of a mask takes: distances are whole numbers of eight bytes."""
ANCHORS["center"] = ANCHORS.pop("")
"""Where the picture lies on the canvas: (0..1 from the top, 0..1 from the left)."""


def sides_for(height: int, width: int, new_height: int, new_width: int, anchor: str) -> Sides:
    """The sides that make a picture exactly new_height x new_width, with the picture at `anchor`."""
    down, across = ANCHORS[anchor]
    top = math.floor((new_height - height) * down)
    left = math.floor((new_width - width) * across)
    return top, new_height - height - top, left, new_width - width - left


def parse_aspect(text: str) -> float:
    """Width over height of "16:9", "16/9", "16x9" or "1.78". Raises ValueError."""
    try:
        numbers = [float(part) for part in text.lower().replace("/", ":").replace("x", ":").split(":")]
        ratio = numbers[0] / numbers[1] if len(numbers) == 2 else numbers[0]
        if len(numbers) <= 2 and WIDEST**-1 <= ratio <= WIDEST:
            return ratio
    except (ValueError, ArithmeticError):
        pass
    raise ValueError(
        f"The aspect ratio {text[:40]!r} can't be read: write it as 16:9 or as a number such as 1.78, "
        f"from 1:{WIDEST} to {WIDEST}:1."
    )


def aspect_size(height: int, width: int, aspect: float, multiple: int = 1) -> tuple[int, int]:
    """The smallest canvas of that aspect ratio (width over height) that holds the whole picture.

    Both sides are rounded up to `multiple`; without it the side that stays is the picture's own.
    """
    new_height, new_width = max(height, round(width / aspect)), max(width, round(height * aspect))
    return round_up(new_height, multiple), round_up(new_width, multiple)


def round_up(length: int, multiple: int) -> int:
    """The next multiple of `multiple` that is not less than `length`."""
    return -(-length // multiple) * multiple


def sides_of(extend: Mapping[str, Any], height: int, width: int) -> Sides:
    """The sides of a `height` x `width` picture, as one of three ways says it; its name is at "extend".

    - "aspect ratio": `ratio`, `anchor`, `multiple_of`;
    - "size": `width`, `height`, `anchor`;
    - "sides": `left`, `top`, `right`, `bottom`, `unit` (pixels or percent), `multiple_of`.

    Raises ValueError for a ratio that can't be read, for sides that leave nothing of the picture, and for a
    canvas with a side over LONGEST_SIDE.
    """
    sides = _sides_of(extend, height, width)
    new_height, new_width = height + sides[0] + sides[1], width + sides[2] + sides[3]
    if max(new_height, new_width) > LONGEST_SIDE:
        longest = new_width if new_width > new_height else new_height
        raise ValueError(
            f"The canvas would be {longest:.3g} pixels long, and no side can be longer than "
            f"{LONGEST_SIDE:,}: choose another ratio, or less room."
        )
    return sides


def _sides_of(extend: Mapping[str, Any], height: int, width: int) -> Sides:
    """`sides_of`, of any length."""
    if extend["extend"] == "size":
        return sides_for(height, width, extend["height"], extend["width"], extend["anchor"])
    if extend["extend"] == "aspect ratio":
        size = aspect_size(height, width, parse_aspect(extend["ratio"]), extend["multiple_of"])
        return sides_for(height, width, *size, extend["anchor"])
    share = 100 if extend["unit"] == "percent" else None
    top, bottom = (round(extend[s] * height / share) if share else extend[s] for s in ("top", "bottom"))
    left, right = (round(extend[s] * width / share) if share else extend[s] for s in ("left", "right"))
    new_height, new_width = height + top + bottom, width + left + right
    if new_height < 8 or new_width < 8:
        raise ValueError(f"These sides leave {new_width}x{new_height} pixels of the picture: cut less.")
    # The last side of each axis that grows takes up the rounding.
    down = round_up(new_height, extend["multiple_of"]) - new_height
    across = round_up(new_width, extend["multiple_of"]) - new_width
    top, bottom = (top, bottom + down) if bottom or not top else (top + down, bottom)
    left, right = (left, right + across) if right or not left else (left + across, right)
    return top, bottom, left, right


def check_overlap(height: int, width: int, sides: Sides, overlap: int) -> None:
    """Raises ValueError if the mask would reach through the whole picture (`height` x `width`)."""
    top, bottom, left, right = sides
    lengths = [height] * (top > 0 or bottom > 0) + [width] * (left > 0 or right > 0)
    if lengths and overlap >= min(lengths):
        raise ValueError(
            f"The overlap of {overlap} pixels reaches through the whole picture ({width}x{height}): "
            f"set it to {min(lengths) // 4} or less."
        )


@dataclass(frozen=True)
class Canvas(Lens):
    """The picture with room on its sides, filled; the result keeps that size.

    The sample mask is 1 on the new pixels and falls to 0 over `overlap` pixels into the picture; the
    composite mask falls over `blend` pixels (0: the whole picture stays its own).
    """

    top: int
    bottom: int
    left: int
    right: int
    fill: str = "edge"
    overlap: int = 0
    blend: int = 0
    profile: str = "cosine"
    seed: int = 0
    kind: ClassVar[str] = "canvas"
    limits: ClassVar[Limits] = {
        "fill": tuple(MODES),
        "overlap": (0, LONGEST_SIDE),
        "blend": (0, LONGEST_SIDE),
        "profile": PROFILES,
        "seed": SEEDS,
    }

    def view_size(self, height: int, width: int) -> tuple[int, int]:
        return height + self.top + self.bottom, width + self.left + self.right

    def size(self, height: int, width: int) -> tuple[int, int]:
        return self.view_size(height, width)

    def get(self, picture: Tensor, assets: Assets) -> View:
        height, width = picture.shape[1:3]
        self._need_room(picture, 2 if self.fill == "edge" else 5)
        if self.fill == "edge":
            pixels = self._pad(picture, "replicate")
        else:
            new = self.mask(height, width, 0).to(picture.device)
            pixels = fill(self._pad(picture, "constant"), new, self.fill, self.seed)
        return View(pixels, self.mask(height, width, self.overlap).to(picture.device))

    def put(self, picture: Tensor, pixels: Tensor, assets: Assets) -> Tensor:
        self._need_room(picture, 3)
        below = self._pad(picture, "constant")
        mask = self.mask(picture.shape[1], picture.shape[2], self.blend).to(picture.device)
        return composite(below, with_channels_of(widened(pixels), below), mask)

    def mask(self, height: int, width: int, reach: int) -> Tensor:
        """`[1, H, W]` of the canvas of a `height` x `width` picture: 1 where new, 0 from `reach` pixels in.

        All sides and corners alike: a function of the distance to the nearest new pixel.
        """
        rows = _distance(height, self.top, self.bottom)
        columns = _distance(width, self.left, self.right)
        levels = ramp(1 - torch.arange(reach + 2) / (reach + 1), self.profile)
        return levels[torch.minimum(rows[:, None], columns[None, :]).clamp(max=reach + 1)][None]

    def _need_room(self, picture: Tensor, copies: int) -> None:
        """Raises ValueError unless there is room for some copies of the canvas, and its masks."""
        height, width = self.view_size(*picture.shape[1:3])
        batch, channels = picture.shape[0], picture.shape[-1]
        need_room(
            height * width * (batch * channels * picture.element_size() * copies + MASK_WORK),
            f"A canvas of {width}x{height} pixels" + (f", {batch} times," if batch > 1 else ""),
            "add less room, or start from a smaller picture",
            picture.device,
        )

    @in_float32
    def _pad(self, picture: Tensor, mode: str) -> Tensor:
        sides = (self.left, self.right, self.top, self.bottom)
        cut = [max(0, -side) for side in sides]
        height, width = picture.shape[1:3]
        picture = picture[:, cut[2] : height - cut[3], cut[0] : width - cut[1]]
        room = [max(0, side) for side in sides]
        moved = picture.movedim(-1, 1)
        value = NEUTRAL if mode == "constant" else None
        padded = functional.pad(moved, room, mode=mode, value=value).movedim(1, -1)
        if picture.shape[-1] not in (2, 4):
            return padded
        # New pixels are opaque, whatever lies beside them.
        alpha = functional.pad(moved[:, -1:], room, value=1.0).movedim(1, -1)
        return torch.cat([padded[..., :-1], alpha], -1)


def _distance(length: int, before: int, after: int) -> Tensor:
    """Along one axis of the canvas: pixels to the nearest new one (0 if new itself, large if none)."""
    far = 2**31
    position = torch.arange(before + length + after) - before
    first = position.clamp(min=-1) + 1 if before > 0 else torch.full_like(position, far)
    last = (length - position).clamp(min=0) if after > 0 else torch.full_like(position, far)
    return torch.minimum(first, last)
