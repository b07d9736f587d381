"""Rims without a fringe: what an object's own colours are where its matte is soft.

A soft pixel is I = a F + (1 - a) B: the object's colour F over the background's B. When the background is
replaced, B's share has to go with it, and for that F must be known.
"""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from ..loop.lens import Assets, composite_into, in_float32, widened
from .crop import Crop, take

EPSILON = 5e-3
"""epsilon_r of the paper: how much neighbours agree where the matte is flat."""
SLOPE = 0.1
"""omega of the paper: how much more they agree along the matte's slope."""
COARSE, MANY, FEW = 32, 10, 2
"""Levels up to COARSE pixels are iterated MANY times, larger ones FEW times."""


@in_float32
def foreground(picture: Tensor, matte: Tensor) -> Tensor:
    """The colours F `[B, H, W, C]` of what `matte` `[B or 1, H, W]` covers in `picture`; alpha stays.

    Minimises, over F and B, the sum of (a F + (1 - a) B - I)^2 and of (eps + omega |grad a|) times the
    squared differences of F, and of B, between neighbours; from coarse to fine.
    T. Germer, T. Uelwer, S. Conrad, S. Harmeling, "Fast Multi-Level Foreground Estimation", ICPR 2020,
    equations 3 to 8. All pixels of a level are solved at once here (Jacobi), not one after the other.
    Where the matte is 1 the result is the picture bit for bit.
    """
    colours = picture.shape[-1] - 1 if picture.shape[-1] in (2, 4) else picture.shape[-1]
    image = picture[..., :colours].movedim(-1, 1)
    alpha = matte.to(picture).unsqueeze(1)
    height, width = matte.shape[1:]
    front = (image * alpha).sum((2, 3), keepdim=True) / alpha.sum((2, 3), keepdim=True).clamp(min=1e-6)
    back = (image * (1 - alpha)).sum((2, 3), keepdim=True) / (1 - alpha).sum((2, 3), keepdim=True).clamp(
        min=1e-6
    )
    levels = math.ceil(math.log2(max(height, width, 2)))
    for level in range(levels + 1):
        size = (round(height ** (level / levels)), round(width ** (level / levels)))
        image_l, alpha_l = (functional.interpolate(x, size, mode="nearest-exact") for x in (image, alpha))
        front, back = (functional.interpolate(x, size, mode="nearest-exact") for x in (front, back))
        for _ in range(MANY if max(size) <= COARSE else FEW):
            front, back = _solved(image_l, alpha_l, front, back)
    front = torch.where(alpha >= 1, image, front)
    return torch.cat([front.movedim(1, -1), picture[..., colours:]], -1)


def _solved(image: Tensor, alpha: Tensor, front: Tensor, back: Tensor) -> tuple[Tensor, Tensor]:
    """F and B of every pixel from those of its neighbours: the 2x2 system of equation 6."""
    total = torch.zeros_like(alpha)
    fronts, backs = torch.zeros_like(front), torch.zeros_like(back)
    wide_alpha, wide_front, wide_back = (_edged(x) for x in (alpha, front, back))
    for y, x in ((0, 1), (2, 1), (1, 0), (1, 2)):
        rows, columns = slice(y, y + alpha.shape[2]), slice(x, x + alpha.shape[3])
        weight = EPSILON + SLOPE * (alpha - wide_alpha[..., rows, columns]).abs()
        total = total + weight
        fronts = fronts + weight * wide_front[..., rows, columns]
        backs = backs + weight * wide_back[..., rows, columns]
    # The data's normal equations have rank one, so that the solution is the neighbours' mean and a step.
    fronts, backs, other = fronts / total, backs / total, 1 - alpha
    step = (image - alpha * fronts - other * backs) / (total + alpha**2 + other**2)
    low, high = image.amin((2, 3), keepdim=True), image.amax((2, 3), keepdim=True)
    return (fronts + alpha * step).clamp(low, high), (backs + other * step).clamp(low, high)


def _edged(x: Tensor) -> Tensor:
    return functional.pad(x, (1, 1, 1, 1), mode="replicate")


class Backdrop(Crop):
    """A crop in which objects stay and what is behind them is replaced.

    `composite` is 1 less the matte of the objects. Where that is soft, the objects' own colours are mixed
    with the new background, not the picture's, which hold some of the old one.
    """

    kind: ClassVar[str] = "backdrop"

    def paste(self, canvas: Tensor, patch: Tensor, assets: Assets) -> None:
        inner = self.box.within(*canvas.shape[1:3])
        rows, columns = inner.slices(self.box)
        back = widened(assets[self.composite]).to(canvas.device)
        own = foreground(widened(take(canvas, self.box)), 1 - back)[:, rows, columns]
        target = canvas[:, inner.top : inner.bottom, inner.left : inner.right]
        composite_into(own, patch[:, rows, columns], back[:, rows, columns])
        touched = (back[:, rows, columns] > 0).unsqueeze(-1)
        target.copy_(torch.where(touched, own.to(target), target))
