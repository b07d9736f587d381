"""Noise that belongs together: a variation, a smaller picture's noise in a larger one, a walk over steps.

The formulas are those of AUTOMATIC1111's Web UI (variation seed, seed resize), so that their numbers mean the
same here: `slerp` turns each column of a channel of its own, which is dimension 1 of its `[C, H, W]`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import reduce

import torch
from torch import Tensor

ALONGSIDE = 0.9995
"""Cosine over which two columns point the same way (or opposite ways): the arc between them is a line."""


def slerp(a: Tensor, b: Tensor, amount: float) -> Tensor:
    """The noise at `amount` (0..1) of the arc from `a` to `b`, both `[B, C, ..., H, W]`.

    (sin((1 - t) w) a + sin(t w) b) / sin w, with w the angle between the two in each column of each channel:
    noise of deviation 1 stays noise of deviation 1, which half of each, added up, is not (0.71). 0 and 1 are
    `a` and `b` themselves.
    """
    if amount <= 0 or amount >= 1:
        return a if amount <= 0 else b
    one, other = a.float(), b.float()
    norms = one.norm(dim=-2, keepdim=True) * other.norm(dim=-2, keepdim=True)
    cosine = (one * other).sum(-2, keepdim=True) / norms.clamp_min(1e-12)
    angle = cosine.clamp(-1, 1).acos()
    arc = ((1 - amount) * angle).sin() * one + (amount * angle).sin() * other
    line = torch.lerp(one, other, amount)
    return torch.where(cosine.abs() > ALONGSIDE, line, arc / angle.sin()).to(a.dtype)


def walked(noises: Iterable[Tensor], amount: float) -> Tensor:
    """Where a walk over `noises`, one a step, has come to: each step goes `amount` (0..1) towards its own."""
    return reduce(lambda here, there: slerp(here, there, amount), noises)


def reach(amount: float) -> int:
    """How many noises of a walk show in float32: each step leaves sin((1 - t) pi / 2) of those before."""
    if amount >= 1:
        return 1
    return 1 + math.ceil(math.log(2**-24) / math.log(math.sin((1 - amount) * math.pi / 2)))


def in_the_centre(whole: Tensor, part: Tensor) -> Tensor:
    """A copy of `whole` `[..., H, W]` with `part` `[..., h, w]`, h <= H and w <= W, in its middle."""
    top, left = ((whole.shape[at] - part.shape[at]) // 2 for at in (-2, -1))
    out = whole.clone()
    out[..., top : top + part.shape[-2], left : left + part.shape[-1]] = part
    return out


def mixed(recovered: Tensor, random: Tensor, randomness: float) -> Tensor:
    """((1 - r) recovered + r random) / sqrt((1 - r)^2 + r^2): independent noises of deviation 1 keep it."""
    return ((1 - randomness) * recovered + randomness * random) / math.hypot(1 - randomness, randomness)
