"""The clean plate of a clip: behind a mask stands what other frames show there.

Of the frames within a window those nearest in time are looked at first, each moved to where the camera was
(`core.frames.camera`) and in the light of the frame, and the median of what they show counts: exact for a
camera that stands still. What none of them shows is taken over from the frames before, so that it stays the
same over time, and only what is still missing is filled.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from ..edits.registration import Motion
from ..loop.lens import composite
from ..pictures.crop import Box, bounds
from ..pictures.masks import grow
from .camera import Camera, between, is_whole, seen, settled
from .clip import Clip

SAMPLES = 9
"""Frames whose median is taken, at most: the nearest ones that show a pixel."""
RING = 8
"""Pixels round a hole by which the light of two frames is compared."""
ENOUGH = 64
"""Pixels that say how the light differs, at least; of fewer it is the same."""
MISFIT = 0.1
"""A frame that differs by more round the hole (0..1, the median) shows other things."""
DARK = 0.02
"""Below this a colour says little of how many times lighter another is."""
FITS = 0.8
"""Light is a factor where that is wrong by less than so many times what a difference is."""

FillHole = Callable[[Tensor, Tensor], Tensor]
"""Fills what a mask `[1, H, W]` covers of a picture `[1, H, W, C]`."""


@dataclass(frozen=True)
class Behind:
    """What stands in the place of a hole: `pixels` `[h, w, C]` of `box`, and where no frame showed them
    (`unseen` `[h, w]`, 0 or 1)."""

    box: Box
    pixels: Tensor
    unseen: Tensor


class CleanPlate:
    """Fills the holes of a `clip`, frame by frame in their order: `frames` `[N, H, W, C]` and `unseen`
    `[N, H, W]`, 1 where no frame within `window` to each side showed what is there.

    Besides these two, nothing that is held grows with the clip.
    """

    def __init__(self, clip: Clip, fill: FillHole, window: int):
        self.clip, self.fill, self.window = clip, fill, window
        self.camera = Camera(clip)
        self.frames = clip.frames.clone()
        self.unseen = torch.zeros(len(clip), *clip.size)
        self._carried: dict[int, Behind] = {}

    def make(self, index: int) -> Behind | None:
        """What is to stand in a frame's hole; None where it has none. All frames before it were `take`n."""
        hole = self.clip.hidden(index)
        where = bounds(hole[None].float())
        if where is None:
            return None
        box = where.padded(RING).within(*self.clip.size)
        rows, columns = box.place
        inside = hole[rows, columns]
        pixels = self.clip.frame(index)[rows, columns].float().clone()
        shown, known = self._median(index, box, inside)
        pixels[known] = shown[known]
        missing = inside & ~known
        unseen = missing.float()
        self._carry(index, box, pixels, missing)
        if bool(missing.any()):
            whole, mask = self.clip.frame(index).clone(), torch.zeros(1, *self.clip.size)
            whole[rows, columns], mask[0, rows, columns] = pixels.to(whole), missing.float()
            pixels[missing] = self.fill(whole[None], mask)[0, rows, columns][missing].to(pixels)
        return Behind(box, pixels, unseen)

    def take(self, index: int, made: Behind | None) -> None:
        """Puts what was made into its frame."""
        if made is None:
            return
        box = made.box
        rows, columns = box.place
        self.unseen[index, rows, columns] = made.unseen
        mask = self.clip.mask(index)[None, rows, columns]
        below = self.frames[index : index + 1, rows, columns]
        below.copy_(composite(below, made.pixels[None].to(below), mask.to(below)))
        if bool(made.unseen.any()):
            self._carried[index] = made
        self._carried = {at: one for at, one in self._carried.items() if at >= index - self.window}

    def _median(self, index: int, box: Box, hole: Tensor) -> tuple[Tensor, Tensor]:
        """What other frames show in the `hole` of `box` `[h, w, C]`, and where any does `[h, w]`."""
        own = self.clip.frame(index)[box.top : box.bottom, box.left : box.right].float()
        samples = own.new_full((SAMPLES, *own.shape), torch.inf)
        count = torch.zeros(hole.shape, dtype=torch.long)
        for other in self._others(index):
            wanted = hole & (count < SAMPLES)
            if not bool(wanted.any()):
                break
            shown, known = self._shown(index, other, box)
            if not bool((wanted & known).any()):
                continue
            lighter = light(own, shown, known & ~hole)
            if lighter is not None:
                y, x = (wanted & known).nonzero(as_tuple=True)
                samples[count[y, x], y, x] = (shown + lighter)[y, x]
                count[y, x] += 1
        ranked = samples.sort(0).values
        last = (count - 1).clamp(min=0)
        middle = [
            ranked.gather(0, at[None, ..., None].expand(1, *own.shape))[0]
            for at in (last // 2, (last + 1) // 2)
        ]
        return (middle[0] + middle[1]) / 2, count > 0

    def _others(self, index: int) -> Iterator[int]:
        """The other frames of a window that show the same place, the nearest first."""
        here = self.camera.place(index)
        for away in range(1, self.window + 1):
            for other in (index - away, index + away):
                if 0 <= other < len(self.clip) and self.camera.place(other).shot == here.shot:
                    yield other

    def _shown(self, index: int, other: int, box: Box) -> tuple[Tensor, Tensor]:
        """What frame `other` shows in a box of frame `index`, and where it is known there."""
        motion = self._motion(index, other)
        pixels, inside = seen(self.clip.frame(other), motion, box)
        covered, _ = seen(self.clip.mask(other)[..., None], motion, box, "bilinear")
        covered = (covered[..., 0] > 0).float()[None]
        # Bicubic interpolation looks a pixel further.
        return pixels.float(), inside & ((covered if is_whole(motion) else grow(covered, 1))[0] == 0)

    def _motion(self, index: int, other: int) -> Motion:
        places = self.camera.place(index), self.camera.place(other)
        return settled(between(places[0].motion, places[1].motion), self.clip.size)

    def _carry(self, index: int, box: Box, pixels: Tensor, missing: Tensor) -> None:
        """Takes over what stands in the holes of frames before, the earliest first, so that it is resampled
        seldom: writes it to `pixels` and takes it off `missing`."""
        shot = self.camera.place(index).shot
        own = self.clip.frame(index)[box.top : box.bottom, box.left : box.right].float()
        around = ~self.clip.hidden(index)[box.top : box.bottom, box.left : box.right]
        for other, made in self._carried.items():
            if not bool(missing.any()):
                return
            if self.camera.place(other).shot != shot:
                continue
            rows, columns = made.box.place
            whole, unseen = self.clip.frame(other).clone(), torch.zeros(*self.clip.size, 1)
            whole[rows, columns], unseen[rows, columns, 0] = made.pixels.to(whole), made.unseen
            motion = self._motion(index, other)
            shown, inside = seen(whole, motion, box)
            there = inside & (seen(unseen, motion, box, "bilinear")[0][..., 0] > 0.5)
            covered = seen(self.clip.mask(other)[..., None], motion, box, "bilinear")[0][..., 0] > 0
            lighter = light(own, shown.float(), around & inside & ~covered)
            taken = missing & there
            pixels[taken] = (shown.float() + (0 if lighter is None else lighter))[taken].to(pixels)
            missing &= ~taken


def light(own: Tensor, other: Tensor, counted: Tensor) -> Tensor | None:
    """How much lighter `own` `[h, w, C]` is than `other`, as most of the `counted` pixels `[h, w]` say: by as
    much in each place, or so many times; None where they don't show the same."""
    if int(counted.sum()) < ENOUGH:
        return torch.zeros_like(other)
    here, there = own[counted], other[counted]
    ratio = (here / there.clamp(min=DARK)).median(0).values
    best, least = None, torch.inf
    for more, same in (
        ((here - there).median(0).values.expand_as(other), 1.0),
        (other * (ratio - 1), FITS),
    ):
        wrong = float((here - there - more[counted]).abs().amax(-1).median())
        if wrong < same * least:
            best, least = more, wrong
    return None if least > MISFIT else best
