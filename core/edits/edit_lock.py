"""Edit lock: what an edit did not mean to change stays the picture's own, bit for bit.

An edit model encodes and draws the whole picture again: all of it is moved, tinted and blurred a little, and
a row of edits adds that up. The result is registered to the picture that the step started from, its tint is
taken back, what really changed is found, and only that is put onto the picture.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from ..loop.drift import PixelLock
from ..loop.lens import composite
from ..pictures.masks import as_mask, feather, grow, label
from .direct import GAINS, register
from .registration import blurred, gain_and_means, gradient, moved_back

SMOOTH = 1.5
"""Pixels over which two pictures are compared: a VAE's errors at edges have both signs."""
EDGES, LOOSE = 2.0, 0.3
"""How much of a local gradient (a pixel) may differ at most, since a VAE and resampling are wrong at edges
most: where a change is looked for, and where one is near."""
EDGE, QUIET, BLURRED, LEAST = 0.02, 0.25, 0.4, 0.1
"""Gradients from here on are edges; this share of them did not change. When these are off by so much of their
gradient, all of EDGES and LOOSE is tolerated; when by less, less of both, but at least this part."""
REACH, SOFT = 2, 2
"""The mask grows by so many pixels, and its edge is so soft on either side."""
PEAK = 1.5, 2.5
"""A change reaches so many times the floor somewhere: where edges are as they were, and where a VAE blurred
them. Its own edges need half of the floor, or all of it."""
TINT = 0.1
"""Shift of the mean (0..1) of a colour by a model alone, with one of its GAINS; more is an edit."""
ALL = 0.7
"""A change of more than this share is one of the whole picture."""


@dataclass(frozen=True)
class EditLock(PixelLock):
    """How firmly a picture is held to what it was before an edit.

    `strength` 0..1: how much of what did not change is the picture's own (1: every bit; 0: nothing is done).
    `floor` 0..1: what differs less is no change. `area`: a change of fewer pixels is none. `mask`
    `[B or 1, H, W]`: what may change (1), in the place of what is found.
    """

    strength: float = 1.0
    floor: float = 0.05
    area: int = 32
    mask: Tensor | None = None

    def check(self, height: int, width: int, batch: int) -> None:
        if self.mask is not None:
            as_mask(self.mask, height, width, batch)

    def hold(self, before: Tensor, after: Tensor) -> Tensor:
        """`after` where it changed, else `before`; both `[B, H, W, C]` of one size.

        A picture of which nearly all changed, or that can't be compared, is given back as it came. Raises
        ValueError for a mask that does not fit.
        """
        return self.compared(before, after)[0]

    def compared(self, before: Tensor, after: Tensor) -> tuple[Tensor, Tensor]:
        """What `hold` gives, and how much of each pixel is `after`'s `[B, H, W]` in 0..1."""
        batch, height, width = before.shape[:3]
        if self.strength == 0 or not batch:
            return after, torch.ones(batch, height, width)
        given: list[Tensor | None] = [None] * batch
        if self.mask is not None:
            given = list(as_mask(self.mask, height, width, batch).expand(batch, -1, -1))
        held = [self._compared(*one) for one in zip(before, after, given, strict=True)]
        return torch.stack([one for one, _ in held]).to(after), torch.stack([mask for _, mask in held])

    def _compared(self, before: Tensor, after: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        one, other = before.float(), after.float().to(before.device)
        moved, known = moved_back(other, register(one, other))
        mask = None if mask is None else mask.to(known.device)
        matched = without_tint(one, moved, known if mask is None else known & (mask <= 0))
        if mask is None:
            found = changed(one, matched, known, self.floor, self.area)
            if float(found[known].float().mean()) > ALL:
                return after.float(), torch.ones_like(one[..., 0])
            mask = feather(grow(found[None].float(), REACH), SOFT)[0]
        mask = mask * known
        kept = before if self.strength == 1 else torch.lerp(matched, one, self.strength).to(before)
        kept = torch.where(known[..., None], kept, before)
        return composite(kept[None], matched[None], mask[None])[0], mask


def without_tint(before: Tensor, after: Tensor, counted: Tensor) -> Tensor:
    """`after` `[H, W, C]` with the gain and offset of each colour that fit `before` best where `counted`.

    Robust, so that what was edited has no say. What no model does by itself is left: it is an edit.
    """
    if not bool(counted.any()):
        return after
    colours = min(after.shape[-1], 3)
    wanted, given = (blurred(one[..., :colours].movedim(-1, 0), SMOOTH) for one in (before, after))
    wanted, given = (one[:, counted].cpu().double() for one in (wanted, given))
    # From the middle of all differences: a mean is moved by the edit, and so would be all that follows.
    gain, offset = torch.ones_like(wanted[:, :1]), (wanted - given).median(1, keepdim=True).values
    mean = goal = given.mean(1, keepdim=True)
    for scale in (0.1, 0.1, 0.05, 0.05, 0.03, 0.03, 0.03, 0.03):
        weight = 1 / (1 + ((gain * given + offset - wanted) / scale).square().sum(0, keepdim=True)) ** 2
        gain, mean, goal = gain_and_means(given, wanted, weight)
        offset = goal - gain * mean
    if bool(((gain < GAINS[0]) | (gain > GAINS[1]) | ((goal - mean).abs() > TINT)).any()):
        return after
    matched = after[..., :colours] * gain[:, 0].to(after) + offset[:, 0].to(after)
    return torch.cat([matched, after[..., colours:]], -1)


def changed(before: Tensor, after: Tensor, known: Tensor, floor: float, area: int) -> Tensor:
    """Where `after` `[H, W, C]` is not `before`: bool `[H, W]`, in parts of at least `area` pixels.

    Thresholds with hysteresis (Canny, 1986), raised at edges by as much as edges that did not change are off
    (a noise level from the picture itself: Radke et al., "Image change detection algorithms", 2005).
    """
    one, other = (blurred(picture.movedim(-1, 0), SMOOTH) for picture in (before, after))
    slope = torch.stack([_slope(one), _slope(other)]).amax(0)
    differs = (other - one).abs().amax(0)
    loose = _looseness(differs, slope, known)
    slope = loose * grow(slope[None], 1)[0]
    over = differs - EDGES * slope
    over = torch.where(known, over, torch.zeros_like(over))
    labels, count = label(over > floor, diagonals=True)
    if not count:
        return torch.zeros_like(known)
    heights = over.cpu().numpy()
    sizes = ndimage.sum_labels(np.ones_like(heights), labels, range(count + 1))
    peaks = ndimage.maximum(heights, labels, range(count + 1))
    real = (sizes >= area) & (peaks > (PEAK[0] + (PEAK[1] - PEAK[0]) * loose) * floor)
    real[0] = False
    sure = torch.from_numpy(real[labels]).to(known.device)
    # Its edges, where less is sure, belong to it.
    near = grow(sure[None].float(), REACH)[0] > 0
    return sure | (near & known & (differs > floor * (1 + loose) / 2 + LOOSE * slope))


def _looseness(differs: Tensor, slope: Tensor, known: Tensor) -> float:
    """How much of the tolerance at edges is needed, LEAST..1: by how much of their gradient they are off."""
    edges = known & (slope > EDGE)
    if not bool(edges.any()):
        return LEAST
    off = float(np.quantile((differs[edges] / slope[edges]).float().cpu().numpy(), QUIET))
    return min(max(off / BLURRED, LEAST), 1.0)


def _slope(planes: Tensor) -> Tensor:
    """The steepest gradient of any colour `[H, W]`, a pixel."""
    across, down = gradient(planes)
    return (across**2 + down**2).sqrt().amax(0)
