"""Masks of key frames carried to the frames between them, without a model.

An object is looked for by its own pixels: those that its mask covers are laid over the next frame at every
place at once (the sum of squared differences under a mask, by Fourier transforms, as D. Padfield, "Masked
object registration in the Fourier domain", 2012), and where they fit best the mask lies. Then it is drawn to
the edges that are there (`core.picking.zones`), so that it follows what grows or turns.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..loop.lens import resize
from ..picking.zones import zones_of
from ..pictures.crop import bounds
from ..pictures.masks import grow

LONGEST = 768
"""Clips are worked on at no more than this, their longer side in pixels."""
GOOD, WORST = 0.06, 0.15
"""How far (root mean square, 0..1) an object may differ from its anchor, and from the frame before at all."""
SEEN = 0.1
"""The least share of an object that lies in the frame; of less nothing is found."""
NEAR = 0.08
"""What being off by an object's own size from where it was to be expected counts as, in the same measure; and
what being out of the frame does: of a part alone anything fits."""
MARGIN = 12
"""Pixels round a mask within which its edges are looked for."""
OFF, LESS, OTHER = 0.05, 0.85, 0.5
"""A mask is drawn to the edges at its place if what is there differs by no more than this share of it beyond
a pixel, and overlaps so much (intersection over union). What was lost is found if it differs by no more,"""
TELLING = 0.3
"""or is off from its anchor by no more than this share of its own deviation: a texture needs no edges."""


@dataclass(frozen=True)
class _Look:
    """What an object looked like in a frame: its `colours` `[3, h, w]`, and its `mask` `[h, w]` (0 or 1)."""

    colours: Tensor
    mask: Tensor

    @property
    def deviation(self) -> float:
        """How far its colours are from their mean: root mean square, 0 for a plain one."""
        own = self.colours[:, self.mask > 0]
        return float((own - own.mean(1, keepdim=True)).square().mean()) ** 0.5

    @property
    def cut(self) -> bool:
        """Whether the frame's border may cut the object."""
        return bool(self.mask[[0, -1]].any() or self.mask[:, [0, -1]].any())


class Follower:
    """Follows one object from a frame `[H, W, C]` with its `mask` `[H, W]` through the frames after it.

    An object that can't be found is looked for everywhere until it is back.
    """

    def __init__(self, frame: Tensor, mask: Tensor):
        self.size = mask.shape[0], mask.shape[1]
        small = self._small(frame)
        there = resize((mask > 0.5).float()[None, ..., None], *small.shape[1:])[0, ..., 0] > 0.5
        self.anchor = self.last = _Look(small, there.float())
        self.place = self.speed = (0, 0)
        """Where the anchor's mask lies in the last frame, and how far it went to there (down, right)."""
        self.lost = False

    def follow(self, frame: Tensor) -> Tensor:
        """The object's mask in the next frame `[H, W]`, 0 or 1; all 0 where it is not there."""
        small = self._small(frame)
        found = None
        if bool(self.anchor.mask.any()):
            leaving = self.last.cut
            found = self._found(small, WORST if leaving else GOOD)
            if found is None and not self.lost and not leaving:
                # It turned or changed its light: what it looked like last says more.
                before, self.anchor, self.place = (self.anchor, self.place), self.last, (0, 0)
                found = self._found(small, WORST)
                if found is None:
                    self.anchor, self.place = before
        was_lost, self.lost = self.lost, found is None
        if found is None:
            return torch.zeros(self.size)
        mask, place = found
        # How far it went while nobody saw it says nothing of how fast it goes.
        self.speed = (0, 0) if was_lost else (place[0] - self.place[0], place[1] - self.place[1])
        self.place, self.last = place, _Look(small, mask)
        large = resize(mask[None, ..., None], *self.size)[0, ..., 0]
        return (large > 0.5).float()

    def _small(self, frame: Tensor) -> Tensor:
        """Colours `[3, h, w]` at the size that is worked on."""
        scale = min(1.0, LONGEST / max(self.size))
        picture = frame[None, ..., :3].float().cpu().clamp(0, 1)
        return resize(picture, *(max(1, round(side * scale)) for side in self.size))[0].movedim(-1, 0)

    def _found(self, small: Tensor, most: float) -> tuple[Tensor, tuple[int, int]] | None:
        """The mask of what fits the anchor best in a frame, and where the anchor lies there; None where it
        differs by more than `most`. Further off than the object is large it could be another thing: there it
        has to differ by no more than GOOD, and to have edges or a texture of its own."""
        ahead = (self.place[0] + self.speed[0], self.place[1] + self.speed[1])
        *place, differs = best_place(
            self.anchor.colours, self.anchor.mask, small, None if self.lost else ahead
        )
        down, right = place
        away = (down - ahead[0]) ** 2 + (right - ahead[1]) ** 2
        elsewhere = self.lost or away > float(self.anchor.mask.sum())
        if differs > (GOOD if elsewhere else most):
            return None
        mask = _shifted(self.anchor.mask, down, right)
        if not self.lost and not self.last.cut:  # as it has become since
            mask = _shifted(self.last.mask, down - self.place[0], right - self.place[1])
        drawn = drawn_to_edges(small, mask)
        wide, narrow = grow(mask[None], 1)[0], grow(mask[None], -1)[0]
        beyond = (drawn - wide).clamp(min=0) + (narrow - drawn).clamp(min=0)
        off = float(beyond.sum() / mask.sum().clamp_min(1))
        if elsewhere and off > OTHER and differs > TELLING * self.anchor.deviation:
            return None  # a part of something larger that looks alike
        overlap = float((drawn * mask).sum() / torch.maximum(drawn, mask).sum().clamp_min(1))
        return drawn if off <= OFF and overlap >= LESS else mask, (down, right)


def best_place(
    colours: Tensor, mask: Tensor, frame: Tensor, expected: tuple[int, int] | None
) -> tuple[int, int, float]:
    """By how much (down, right) what `mask` `[h, w]` covers of `colours` `[3, h, w]` is moved in `frame`
    `[3, h, w]`, and how far (root mean square) it differs there. Near the `expected` place less fits as well.
    """
    height, width, total = *mask.shape, mask.sum()
    room = (2 * height, 2 * width)  # nothing comes round to the other side
    transform = torch.fft.rfft2
    cover = transform(mask, s=room).conj()
    frame_at = transform(frame, s=room)
    squares = transform((frame**2).sum(0), s=room)
    inside = transform(torch.ones_like(mask), s=room)
    own = transform((mask * colours**2).sum(0), s=room).conj()
    products = (transform(mask * colours, s=room).conj() * frame_at).sum(0)
    apart = torch.fft.irfft2(own * inside - 2 * products + cover * squares, s=room)
    count = torch.fft.irfft2(cover * inside, s=room)
    enough = count >= SEEN * total - 0.5
    mean = torch.where(enough, apart.clamp(min=0) / (3 * count.clamp(min=1)), torch.inf)
    score = mean + NEAR**2 * (1 - count / total)
    if expected is not None:
        y = _distances(room[0], expected[0])
        x = _distances(room[1], expected[1])
        score = score + NEAR**2 * (y[:, None] ** 2 + x**2) / total
    at = int(score.argmin())
    down, right = divmod(at, room[1])
    differs = float(mean[down, right]) ** 0.5
    return _signed(down, room[0]), _signed(right, room[1]), differs


def _signed(at: int, length: int) -> int:
    return at - length if at >= length // 2 else at


def _distances(length: int, place: int) -> Tensor:
    """How far each shift of a transform of this length is from `place`."""
    at = torch.arange(length)
    return (torch.where(at >= length // 2, at - length, at) - place).float()


def _shifted(mask: Tensor, down: int, right: int) -> Tensor:
    """`mask` `[h, w]` moved; what comes in is 0."""
    height, width = mask.shape
    out = torch.zeros_like(mask)
    out[max(0, down) : height + min(0, down), max(0, right) : width + min(0, right)] = mask[
        max(0, -down) : height - max(0, down), max(0, -right) : width - max(0, right)
    ]
    return out


def drawn_to_edges(colours: Tensor, mask: Tensor) -> Tensor:
    """The zones of `colours` `[3, h, w]` of which `mask` `[h, w]` covers more than half, as a mask."""
    box = bounds(mask[None])
    if box is None:
        return mask
    box = box.padded(MARGIN).within(*mask.shape)
    rows, columns = box.place
    labels = zones_of(colours[:, rows, columns].movedim(0, -1)).labels
    inside = np.bincount(labels.ravel(), weights=mask[rows, columns].numpy().ravel())
    taken = inside > 0.5 * np.bincount(labels.ravel())
    out = torch.zeros_like(mask)
    out[rows, columns] = torch.from_numpy(taken[labels]).float()
    return out


def tracked(frames: Tensor, masks: Tensor, keys: Sequence[int]) -> Iterator[tuple[int, Tensor]]:
    """The masks of one object: `masks` `[K, H, W]` in the frames `keys` (from 0) of `frames` `[N, H, W, C]`.

    Yields the number and the mask `[H, W]` of each frame, in no order; those of key frames as they came. A
    frame has its mask from the key frame that is nearest in time, be it before or after it.
    """
    order = sorted(range(len(keys)), key=lambda at: keys[at])
    for place, at in enumerate(order):
        key, mask = keys[at], masks[at]
        before = keys[order[place - 1]] if place else -1
        after = keys[order[place + 1]] if place + 1 < len(order) else len(frames)
        first = (before + key) // 2 + 1 if place else 0
        last = (key + after) // 2 if place + 1 < len(order) else len(frames) - 1
        yield key, mask
        for ways in (range(key + 1, last + 1), range(key - 1, first - 1, -1)):
            follower = Follower(frames[key], mask)
            for index in ways:
                yield index, follower.follow(frames[index])
