"""A film of pictures: which of them each frame shows, and how pictures of several sizes are framed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from ..loop.lens import resize, widened

BORDER = 0.0
"""What surrounds a picture that is not as wide or as high as the others: black."""


@dataclass(frozen=True)
class Timing:
    """`fps` frames a second; each picture stays for `hold` seconds (one frame at least), and fades into the
    next for `fade` seconds. `ping_pong` goes back to the first, so that a film that repeats never jumps."""

    fps: float = 12.0
    hold: float = 0.5
    fade: float = 0.25
    ping_pong: bool = False

    def frames(self) -> tuple[int, int]:
        """How many frames a picture stays, and how many fade into the next one."""
        return max(1, round(self.hold * self.fps)), round(self.fade * self.fps)


@dataclass(frozen=True)
class Frame:
    """(1 - mix) of the picture `first` and `mix` of `second`, both from 0."""

    first: int
    second: int
    mix: float


def frame_count(count: int, timing: Timing) -> int:
    """How many frames `timeline` has, told without making any."""
    held, between = timing.frames()
    places = count + max(0, count - 2) * timing.ping_pong
    return places * held + (places - (not timing.ping_pong)) * between * (places > 1)


def timeline(count: int, timing: Timing) -> Iterator[Frame]:
    """The frames of a film of `count` pictures, in order."""
    order = list(range(count))
    if timing.ping_pong:
        order += range(count - 2, 0, -1)
    held, between = timing.frames()
    for place, first in enumerate(order):
        yield from [Frame(first, first, 0.0)] * held
        last = place == len(order) - 1
        if len(order) > 1 and (timing.ping_pong or not last):
            second = order[(place + 1) % len(order)]
            yield from (Frame(first, second, step / (between + 1)) for step in range(1, between + 1))


def box_of(sizes: Iterable[tuple[int, int]], longest: int) -> tuple[int, int]:
    """The (height, width) of a film that shows pictures of `sizes` whole: the largest height and width of
    all, with at most `longest` pixels a side (0: any), and even, as video codecs want it."""
    heights, widths = zip(*sizes, strict=True)
    height, width = max(heights), max(widths)
    scale = min(1.0, longest / max(height, width)) if longest else 1.0
    return tuple(max(2, round(side * scale / 2) * 2) for side in (height, width))  # type: ignore[return-value]


def framed(picture: Tensor, box: tuple[int, int]) -> Tensor:
    """`picture` `[H, W, 3 or 4]` as `[*box, 3]`, 0..1: as large as it fits, in the middle, nothing cropped.

    What is transparent shows the border.
    """
    picture = widened(picture)
    if picture.shape[-1] == 4:
        picture = picture[..., :3] * picture[..., 3:] + BORDER * (1 - picture[..., 3:])
    scale = min(box[0] / picture.shape[0], box[1] / picture.shape[1])
    height, width = (
        max(1, min(side, round(old * scale))) for side, old in zip(box, picture.shape, strict=False)
    )
    out = torch.full((*box, 3), BORDER)
    top, left = (box[0] - height) // 2, (box[1] - width) // 2
    out[top : top + height, left : left + width] = resize(picture.unsqueeze(0), height, width)[0].clamp(0, 1)
    return out
