"""DemoFusion: what a larger picture takes over from the smaller one while it is denoised (arXiv:2311.16973).

Symbols as in the paper: t runs from T (noise) to 0, s is the scale, c1, c2, c3 are the three cosine-decaying
weights with their exponents alpha1, alpha2, alpha3.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from ..loop.door import LONGEST_SIDE, Limits
from ..loop.plan import ExtraValue

SIGMA_1, SIGMA_2 = 1.0, 0.01
"""Standard deviations of the blur at t = T and t = 0, in cells."""


@dataclass(frozen=True)
class DemoFusion(ExtraValue):
    """Settings of a phase: `scale` is s, the alphas are exponents (higher lets go earlier); 1 is plain."""

    kind: ClassVar[str] = "demofusion"
    limits: ClassVar[Limits] = {
        "scale": (1, LONGEST_SIDE),
        **dict.fromkeys(("alpha1", "alpha2", "alpha3"), (0.01, 100.0)),
    }

    scale: int = 1
    alpha1: float = 3.0
    alpha2: float = 1.0
    alpha3: float = 1.0


def blurred(z_t: Tensor, s: int, c3: float) -> Tensor:
    """z_t `[B, C, ..., H, W]` before it is sampled sparsely: Gaussian, with z_t's own mean and deviation.

    The kernel is 2 s - 1 cells wide and its deviation falls from SIGMA_1 to SIGMA_2 with c3.
    """
    sigma = c3 * (SIGMA_1 - SIGMA_2) + SIGMA_2
    at = torch.arange(1 - s, s, dtype=torch.float64)
    kernel = torch.exp(-(at**2) / (2 * sigma**2))
    kernel = (kernel / kernel.sum()).to(z_t)
    if kernel[s - 1] == 1:
        return z_t  # the neighbours' weights are below the precision of z_t
    planes = z_t.reshape(-1, 1, *z_t.shape[-2:])
    padded = functional.pad(planes, (s - 1, s - 1, s - 1, s - 1), mode="replicate")
    once = functional.conv2d(padded, kernel.reshape(1, 1, 1, -1))
    return with_statistics(functional.conv2d(once, kernel.reshape(1, 1, -1, 1)).reshape(z_t.shape), z_t)


def with_statistics(z: Tensor, like: Tensor) -> Tensor:
    """`z` with the mean and standard deviation that `like` has, over all but the batch."""
    over = tuple(range(1, z.ndim))
    std, mean = torch.std_mean(z, over, keepdim=True)
    like_std, like_mean = torch.std_mean(like, over, keepdim=True)
    return (z - mean) * (like_std / std.clamp(min=1e-12)) + like_mean


def sparse_rows(length: int, s: int, offset: int) -> Tensor:
    """Cells offset, offset + s, ... of an axis, as many for every offset: past the end the last repeats."""
    return (torch.arange(-(-length // s)) * s + offset).clamp(max=length - 1)


def dilated(x: Tensor, x_g: Tensor, d_g: Tensor) -> Tensor:
    """Denoised prediction for x from D(x_g) of the blurred x_g: the noise found in x_g is taken from x."""
    return x - (x_g - d_g)


def fused(local: Tensor, globally: Tensor, c2: float) -> Tensor:
    """Equation 6: c2 global + (1 - c2) local."""
    return torch.lerp(local, globally, c2)
