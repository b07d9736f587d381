"""Where the camera of a clip stands, frame by frame: a shift and a zoom, as `core.edits.registration` finds.

Each frame is registered to an anchor, which changes only where too little of it is still seen: errors do not
add up from frame to frame. What masks cover moves by itself and has no say.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from ..edits.registration import Motion, refined, relief, scale_of, scaled, starts
from ..fills.pyramid import push_pull
from ..pictures.crop import Box
from ..pictures.masks import grow
from .clip import Clip

OVERLAP = 0.6
"""An anchor of which less is still seen gives way to the frame before."""
ZOOMED = 0.04
"""So does one that is zoomed by more."""
LEAST = 32
"""Pixels, of the scale at which frames are registered, that two must share on each side."""
GOOD = 0.1
"""A fit at which a smaller share of the edges is wrong needs no second try."""
HARDLY = 1.1
"""Where a motion by whole pixels (none at all, mostly) is wrong by less than so many times what the best one
is, it is that: between pixels noise is smoothed, and what is smooth fits better."""
LOST = 0.6
"""Of two frames' relief, the share that differs where they do not show the same: of unrelated ones 0.7."""
FLAT, OTHER = 0.01, 0.05
"""Relief (0..1) that is none, and the least by which the colours of another shot differ."""
WHOLE = 0.05
"""A motion that is so near to whole pixels, everywhere, is one: nothing is resampled."""
SUPPORT = 2
"""Pixels round a place that bicubic interpolation looks at."""


@dataclass(frozen=True)
class Place:
    """Where a frame lies: the `motion` from the first frame of its `shot` (numbered from 0, a cut begins the
    next one), and the `anchor` that it was registered to."""

    motion: Motion
    anchor: int
    shot: int


def then(first: Motion, second: Motion) -> Motion:
    """Both motions, one after the other."""
    zoom = second.zoom
    right, down = zoom * first.right + second.right, zoom * first.down + second.down
    return Motion(zoom * first.zoom, right, down)


def between(first: Motion, second: Motion) -> Motion:
    """The motion that leads from where `first` does to where `second` does."""
    back = Motion(1 / first.zoom, -first.right / first.zoom, -first.down / first.zoom)
    return then(back, second)


class Camera:
    """The places of a clip's frames, found one after another."""

    def __init__(self, clip: Clip):
        self.clip = clip
        self.places: list[Place] = []
        self.scale = scale_of(*clip.size)
        self._seen: dict[int, tuple[Tensor, Tensor]] = {}

    def place(self, index: int) -> Place:
        """Where frame `index` lies."""
        while len(self.places) <= index:
            self.places.append(self._next(len(self.places)))
        return self.places[index]

    def know(self, first: int, places: Sequence[Place]) -> None:
        """Takes the places of frames from `first` on as they were found before."""
        if first <= len(self.places):
            self.places[first:] = places

    def _next(self, index: int) -> Place:
        if index == 0:
            return Place(Motion(), 0, 0)
        last = self.places[-1]
        anchor = self.places[last.anchor].motion
        if self._same(last.anchor, index):
            return Place(anchor, last.anchor, last.shot)
        speed = self._speed()
        ahead = between(anchor, then(last.motion, speed))
        tries = [(index - 1, speed)]
        if self._shared(ahead) >= OVERLAP and abs(ahead.zoom - 1) <= ZOOMED:
            tries.insert(0, (last.anchor, ahead))
        best, low, at = speed, float("inf"), index - 1
        for which, guess in tries:
            motion, wrong = self._fit(which, index, guess, search=which == index - 1)
            if wrong < low:
                best, low, at = motion, wrong, which
            if wrong < GOOD:
                break
        if low >= GOOD and self._cut(index - 1, index, best if at == index - 1 else Motion()):
            return Place(Motion(), index, last.shot + 1)
        return Place(then(self.places[at].motion, best), at, last.shot)

    def _speed(self) -> Motion:
        """How the camera moved from the last frame but one to the last one."""
        before = self.places[-2:]
        moved = len(before) == 2 and before[0].shot == before[1].shot
        return between(before[0].motion, before[1].motion) if moved else Motion()

    def _shared(self, motion: Motion) -> float:
        """The share of a frame that one so far away shows too."""
        height, width = self.clip.size
        return max(0.0, 1 - abs(motion.right) / width) * max(0.0, 1 - abs(motion.down) / height)

    def _same(self, first: int, second: int) -> bool:
        """Whether two frames are bit for bit one picture where no mask is."""
        known = ~(self.clip.hidden(first) | self.clip.hidden(second))
        same = (self.clip.frame(first) == self.clip.frame(second)).all(-1)
        return bool(known.any()) and bool(same[known].all())

    def _view(self, index: int) -> tuple[Tensor, Tensor]:
        """A frame's relief `[C, h, w]`, and 1 where it counts `[1, h, w]`; few are kept."""
        if index not in self._seen:
            small = scaled(self.clip.frame(index)[..., :3].movedim(-1, 0).float().cpu(), self.scale)
            hidden = self.clip.hidden(index)[None, None].float().cpu()
            counts = 1 - grow(functional.adaptive_max_pool2d(hidden, small.shape[1:])[0], SUPPORT)
            # What moves by itself would shine through all that smoothes round it.
            made = relief(push_pull(small.movedim(0, -1)[None], counts[0] > 0)[0], 1.0)
            needed = {index - 1, self.places[-1].anchor}
            self._seen = {key: value for key, value in self._seen.items() if key in needed}
            self._seen[index] = made, counts
        return self._seen[index]

    def _fit(self, first: int, second: int, guess: Motion, search: bool) -> tuple[Motion, float]:
        """The motion between two frames, found near `guess` (or with `search` anywhere), and how wrong it is.

        Both are cut to what they share by the guess, in whole pixels, since a zoom is one about the middle.
        """
        (one, counts), (other, others) = self._view(first), self._view(second)
        height, width = one.shape[1:]
        right, down = (round(self.scale * shift) for shift in (guess.right, guess.down))
        if height - abs(down) < LEAST or width - abs(right) < LEAST:
            return guess, float("inf")
        own = slice(max(0, -down), height - max(0, down)), slice(max(0, -right), width - max(0, right))
        its = slice(max(0, down), height - max(0, -down)), slice(max(0, right), width - max(0, -right))
        one, other = one[:, own[0], own[1]], other[:, its[0], its[1]]
        both = torch.cat([counts[:, own[0], own[1]], others[:, its[0], its[1]]])
        if not bool(both.amin(0).any()):
            return guess, float("inf")
        near = [self.scale * guess.right - right, self.scale * guess.down - down]
        begin = [one.new_tensor([guess.zoom - 1, *near], dtype=torch.float64)]
        small, half = scaled(one, 0.5), scaled(other, 0.5)
        coarse = functional.interpolate(both[None], small.shape[1:], mode="nearest")[0]
        found = [refined(one, other, begin[0], 6, both)]
        if search and found[0][1] >= GOOD:
            begin += [begin[0].new_tensor([0, -right, -down]), *(2 * at for at in starts(small, half))]
            for at in begin:
                at = refined(small, half, at * at.new_tensor([1, 0.5, 0.5]), 12, coarse)[0]
                found.append(refined(one, other, at * at.new_tensor([1, 2, 2]), 6, both))
        motion, wrong = min(found, key=lambda each: each[1])
        if is_whole(guess):
            as_guessed = refined(one, other, begin[0], 0, both)[1]
            if as_guessed <= HARDLY * wrong:
                return guess, as_guessed
        zoom, across, along = motion.tolist()
        # The middles of the cut frames lie off the frames' own.
        off = [(part.start + part.stop - side) / 2 for part, side in zip(own, (height, width), strict=True)]
        across, along = across + right - zoom * off[1], along + down - zoom * off[0]
        return settled(Motion(1 + zoom, across / self.scale, along / self.scale), self.clip.size), wrong

    def _cut(self, first: int, second: int, motion: Motion) -> bool:
        """Whether two frames, the second one moved back, show different things: both edges and colours."""
        (one, counts), (other, others) = self._view(first), self._view(second)
        where = Box(0, 0, *one.shape[1:])
        at = Motion(motion.zoom, motion.right * self.scale, motion.down * self.scale)
        moved, known = seen(other.movedim(0, -1), at, where)
        beside, _ = seen(others.movedim(0, -1), at, where)
        known = known & (beside[..., 0] > 0.5) & (counts[0] > 0.5)
        if not bool(known.any()):
            return False
        moved, one = moved.movedim(-1, 0)[:, known], one[:, known]
        relief_of = float((one.abs().mean() + moved.abs().mean()) / 2)
        differs = float((one - moved).abs().sum() / (one.abs().sum() + moved.abs().sum()).clamp_min(1e-9))
        colours = [self.clip.frame(i)[~self.clip.hidden(i)].float().mean(0) for i in (first, second)]
        apart = float((colours[0] - colours[1]).abs().max())
        return differs > LOST and (apart > OTHER or relief_of > FLAT)


def settled(motion: Motion, size: tuple[int, int]) -> Motion:
    """`motion` in whole pixels, where it is so nearly everywhere in a frame of this (height, width)."""
    whole = Motion(1.0, float(round(motion.right)), float(round(motion.down)))
    off = Motion(motion.zoom, motion.right - whole.right, motion.down - whole.down)
    return whole if off.reach(*size) < WHOLE else motion


def is_whole(motion: Motion) -> bool:
    """Whether a motion puts pixels onto pixels."""
    return motion.zoom == 1 and motion.right % 1 == 0 and motion.down % 1 == 0


def seen(picture: Tensor, motion: Motion, box: Box, mode: str = "bicubic") -> tuple[Tensor, Tensor]:
    """`picture` `[H, W, C]` read where `motion` puts the pixels of `box` `[h, w, C]`, and which lie in it
    `[h, w]`. A motion by whole pixels copies them, bit for bit; beyond the frame its edge goes on."""
    height, width = picture.shape[:2]
    if is_whole(motion):
        down, right = int(motion.down), int(motion.right)
        at = Box(box.top + down, box.left + right, box.height, box.width)
        if at.within(height, width) == at:
            known = torch.ones(box.height, box.width, dtype=torch.bool, device=picture.device)
            return picture[at.top : at.bottom, at.left : at.right], known
    rows, columns = (
        (torch.arange(start, start + count, dtype=torch.float64) - (side - 1) / 2) * motion.zoom
        + shift
        + (side - 1) / 2
        for start, count, side, shift in (
            (box.top, box.height, height, motion.down),
            (box.left, box.width, width, motion.right),
        )
    )
    inside = [(at >= -1e-6) & (at <= side - 1 + 1e-6) for at, side in ((rows, height), (columns, width))]
    known = (inside[0][:, None] & inside[1]).to(picture.device)
    if is_whole(motion):
        y, x = (at.round().long().clamp(0, side - 1) for at, side in ((rows, height), (columns, width)))
        return picture[y.to(picture.device)][:, x.to(picture.device)], known
    # Only what is looked at is handed over.
    part = []
    for at, side in ((rows, height), (columns, width)):
        low = min(max(0, int(at[0]) - SUPPORT), side - 1)
        part.append((low, max(low + 1, min(side, int(at[-1]) + 2 + SUPPORT))))
    near = picture[slice(*part[0]), slice(*part[1])].movedim(-1, 0)[None].float()
    y, x = (
        (2 * (at - low) + 1) / (high - low) - 1 for at, (low, high) in zip((rows, columns), part, strict=True)
    )
    grid = torch.stack(torch.meshgrid(y, x, indexing="ij")[::-1], -1)[None].float().to(picture.device)
    read = functional.grid_sample(near, grid, mode=mode, padding_mode="border", align_corners=False)
    return read[0].movedim(0, -1).to(picture.dtype), known
