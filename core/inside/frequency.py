"""The low frequencies of a prediction held to those of a picture (DiffuseHigh, arXiv:2406.18459).

The paper takes a wavelet's low band; a Gaussian one has no grid, and any cutoff.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from ..loop.door import LONGEST_SIDE, Limits
from ..loop.plan import ExtraValue

HALF = math.sqrt(math.log(2) / 2) / math.pi
"""Deviation of the Gaussian, in wavelengths, that lets half of a wave through."""


@dataclass(frozen=True)
class KeepLow(ExtraValue):
    """A step that keeps the waves over `cutoff` pixels of the picture that it starts from; 0 is off."""

    kind: ClassVar[str] = "keep_low"
    limits: ClassVar[Limits] = {"cutoff": (0.0, LONGEST_SIDE)}

    cutoff: float = 0.0


def low(x: Tensor, cutoff: float) -> Tensor:
    """`x` `[..., H, W]` through a Gaussian that halves waves of `cutoff` cells; edges are repeated."""
    sigma = cutoff * HALF
    reach = math.ceil(4 * sigma)
    at = torch.arange(-reach, reach + 1, dtype=torch.float64)
    kernel = torch.exp(-(at**2) / (2 * sigma**2))
    kernel = (kernel / kernel.sum()).to(x)
    planes = x.reshape(-1, 1, *x.shape[-2:])
    once = functional.conv2d(
        functional.pad(planes, (reach, reach, 0, 0), mode="replicate"), kernel.reshape(1, 1, 1, -1)
    )
    both = functional.conv2d(
        functional.pad(once, (0, 0, reach, reach), mode="replicate"), kernel.reshape(1, 1, -1, 1)
    )
    return both.reshape(x.shape)


def locked(denoised: Tensor, source: Tensor, cutoff: float, strength: float) -> Tensor:
    """D + strength G (z_0 - D): the low band of the prediction D goes to that of the picture z_0."""
    return denoised + strength * low(source - denoised, cutoff)
