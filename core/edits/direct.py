"""Direct registration of whole colours: motion and tint together, from the least change that explains both.

Where a picture is mostly flat, only a few edges and the shading say where it lies, and an edit may have more
of them than what stayed. A search over all zooms and shifts at a small size takes those under which the
fewest pixels differ ("Image change detection algorithms: a systematic survey", Radke et al., 2005: what did
not change is what one motion explains); each is then refined by iteratively reweighted Gauss-Newton steps
(Odobez and Bouthemy, "Robust multiresolution estimation of parametric motion models", 1995; both gradients
as Benhimane and Malis, 2004), gain and offset of each colour with it (Bartoli, "Groupwise geometric and
photometric direct image registration", 2008).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from . import registration as frame
from .registration import Motion

SOFT = 2.0
"""Pixels over which edges are softened: a VAE sets an edge off by half of a pixel, both ways."""
OFF = (0.1, 0.05)
"""How far (0..1 scale) a colour is off that fits, at first and in the end."""
COARSE = 64
"""The shorter side at which all motions are tried."""
ZOOMS = 7
KEPT, BEST = 6, 3
"""Motions that are refined: at small sizes, and at the whole one."""
ROUNDS = 6
SMALLEST = 32
"""Pictures of a shorter side are taken as they are."""
STILL = 0.1
"""A motion under so many pixels, anywhere, is none: resampling would only blur."""
UNSEEN = 0.25
"""What a pixel that left the frame costs, in pixels that differ."""
GAINS = (0.8, 1.25)
"""Gains of a colour that are a tint, not an edit."""


def register(picture: Tensor, edited: Tensor) -> Motion:
    """The motion from `picture` to `edited`, both `[H, W, C]` of one size; none where none can be seen."""
    height, width = picture.shape[:2]
    if min(height, width) < SMALLEST:
        return Motion()
    scale = frame.scale_of(height, width)
    whole = Pair(
        *(soft(one, scale) for one in (picture, edited)),
        *(frame.relief(one, scale) for one in (picture, edited)),
    )
    part = min(1.0, COARSE / min(whole.first.shape[1:]))
    twice = min(1.0, 2 * part)
    small, middle = whole.scaled(part), whole.scaled(twice)
    still = torch.zeros(3, dtype=torch.float64)
    found: list[tuple[float, Tensor]] = []
    starts = frame.starts(small.relief, small.other)
    for start in [still, *starts, *likely(small.first, small.second)]:
        for motion in (small.colours(start, OFF[0]), small.edges(start)):
            motion = motion * motion.new_tensor([1, twice / part, twice / part])
            for near in (middle.colours(motion, OFF[0]), middle.edges(motion)):
                new = all(float((near - other).abs().amax()) > 0.05 for _, other in found)
                if new and middle.allows(near):
                    found.append((middle.cost(near, OFF[0]), near))
    last: list[tuple[float, Tensor]] = []
    for _, motion in sorted(found, key=lambda one: one[0])[:BEST]:
        motion = motion * motion.new_tensor([1, 1 / twice, 1 / twice])
        for off in (OFF[0], OFF[1]):
            motion = whole.colours(motion, off)
        if whole.allows(motion):
            last.append((whole.cost(motion, OFF[1]), motion))
    if not last:
        return Motion()
    motion = min(last, key=lambda one: one[0])[1]
    for _ in range(2):
        motion = whole.colours(motion, OFF[1])
    zoom, right, down = motion.tolist()
    moved = Motion(1 + zoom, right / scale, down / scale)
    worse = whole.cost(motion, OFF[1]) >= whole.cost(still, OFF[1])
    return Motion() if worse or moved.reach(height, width) < STILL else moved


@dataclass(frozen=True)
class Pair:
    """Two pictures at one size: their colours, and their relief, `[C, h, w]`."""

    first: Tensor
    second: Tensor
    relief: Tensor
    other: Tensor

    def scaled(self, part: float) -> Pair:
        return Pair(*(frame.scaled(one, part) for one in (self.first, self.second, self.relief, self.other)))

    def colours(self, motion: Tensor, off: float) -> Tensor:
        return fitted(self.first, self.second, motion, ROUNDS, off)[0]

    def edges(self, motion: Tensor) -> Tensor:
        return frame.refined(self.relief, self.other, motion, ROUNDS)[0]

    def cost(self, motion: Tensor, off: float) -> float:
        """The share of pixels, and that of edges, that differ: a large edit is most of the first."""
        pixels = fitted(self.first, self.second, motion, 0, off)[1]
        return pixels + frame.refined(self.relief, self.other, motion, 0)[1]

    def allows(self, motion: Tensor) -> bool:
        most = min(self.first.shape[1:]) * frame.MOST_SHIFT
        zoom, right, down = motion.abs().tolist()
        return zoom <= frame.MOST_ZOOM and max(right, down) <= most


def soft(picture: Tensor, scale: float) -> Tensor:
    """Colours `[C, h, w]` of `picture` `[H, W, C]` at this scale, softened, on the CPU."""
    planes = picture[..., :3].movedim(-1, 0).float().cpu()
    return frame.blurred(frame.scaled(planes, scale) if scale < 1 else planes, SOFT)


def likely(first: Tensor, second: Tensor) -> list[Tensor]:
    """Motions (zoom - 1, right, down) under which the fewest pixels of `[C, h, w]` differ, best first."""
    height, width = first.shape[1:]
    reach = round(min(height, width) * frame.MOST_SHIFT)
    first, second = (one - frame.blurred(one, frame.SLOW) for one in (first, second))
    costs = []
    zooms = torch.linspace(-frame.MOST_ZOOM, frame.MOST_ZOOM, ZOOMS).tolist()
    for zoom in zooms:
        moved, known = frame.warped(second, first.new_tensor([zoom, 0, 0], dtype=torch.float64))
        table = first.new_zeros(2 * reach + 1, 2 * reach + 1)
        for down in range(-reach, reach + 1):
            for right in range(-reach, reach + 1):
                own, others = _overlap(height, down), _overlap(height, -down)
                here, there = _overlap(width, right), _overlap(width, -right)
                squares = (moved[:, others, there] - first[:, own, here]).square().sum(0) / OFF[0] ** 2
                seen = known[others, there]
                wrong = (squares / (1 + squares) * seen).sum() + UNSEEN * (height * width - seen.sum())
                table[down + reach, right + reach] = wrong
        costs.append(table)
    volume = torch.stack(costs)
    # Its minima, of which no neighbour is lower.
    low = -functional.max_pool3d(-volume[None], 3, 1, 1)[0] == volume
    at = low.nonzero()
    at = at[volume[low].argsort()[:KEPT]].tolist()
    found = []
    for index, down, right in at:
        zoom = zooms[index]
        shift = [(right - reach) * (1 + zoom), (down - reach) * (1 + zoom)]
        found.append(first.new_tensor([zoom, *shift], dtype=torch.float64))
    return found


def _overlap(side: int, shift: int) -> slice:
    """What is left of a side of the picture whose partner is shifted by so much."""
    return slice(max(0, -shift), side - max(0, shift))


def fitted(first: Tensor, second: Tensor, motion: Tensor, rounds: int, off: float) -> tuple[Tensor, float]:
    """The motion near `motion` at which the two `[C, h, w]` fit best, and the share of pixels that differ.

    `off`: how far (0..1 scale) a colour is off that fits.
    """
    height, width = first.shape[1:]
    own = frame.gradient(first)
    best, least = motion, float("inf")
    gain, offset = torch.ones(len(first), 1, 1), torch.zeros(len(first), 1, 1)
    raw, known = frame.warped(second, motion)
    if bool(known.any()):
        offset = (first - raw)[:, known].median(1).values[:, None, None]
    for turn in range(rounds + 1):
        for _ in range(2):
            gain, offset = tint(raw, first, known / (1 + _squares(raw * gain + offset - first, off)) ** 2)
        moved = raw * gain + offset
        residual = moved - first
        squares = _squares(residual, off)
        cost = float(torch.where(known, squares / (1 + squares), UNSEEN).mean())
        cost += float(motion[0] / frame.LIKELY_ZOOM) ** 2 / height / width
        if cost < least:
            best, least = motion, cost
        if turn == rounds:
            break
        motion = frame.stepped(motion, own, frame.gradient(moved), residual, known / (1 + squares) ** 2, off)
        raw, known = frame.warped(second, motion)
    return best, least


def _squares(residual: Tensor, scale: float) -> Tensor:
    return residual.square().sum(0) / scale**2


def tint(given: Tensor, wanted: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Gain and offset `[C, 1, 1]` that make `given` `wanted`, both `[C, h, w]`, by `weight` `[h, w]`."""
    flat = given.flatten(1), wanted.flatten(1), weight.flatten()[None]
    gain, mean, goal = (one[..., None] for one in frame.gain_and_means(*flat))
    gain = gain.clamp(*GAINS)
    return gain, goal - gain * mean
