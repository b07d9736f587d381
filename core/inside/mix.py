"""The skip residual: a picture is held to its original while it is denoised (DemoFusion, arXiv:2311.16973).

Symbols as in the paper: t runs from T (noise) to 0.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def cosine_weight(t: float, alpha: float) -> float:
    """c = ((1 + cos(pi (T - t) / T)) / 2)^alpha: 1 at t = T, 0 at t = 0. `t` is t / T in 0..1."""
    return ((1 + math.cos(math.pi * (1 - t))) / 2) ** alpha


def skip_residual(z_t: Tensor, noised: Tensor, c1: float) -> Tensor:
    """Equation 4: c1 z'_t + (1 - c1) z_t, with z'_t the original z_0 noised to the same t."""
    return torch.lerp(z_t, noised, c1)
