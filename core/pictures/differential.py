"""Differential diffusion: at which step each pixel is released, from the grey of its mask.

Levin & Fried, "Differential Diffusion: Giving Each Pixel Its Strength" (2023). While the mask value m of a
pixel is below a threshold tau, which falls from 1 to 0 during sampling, the pixel is held at the noised
original; from then on it is sampled freely. m = 0 is never released, m = 1 from the first step on.

The three modes differ only in tau:

- timestep: tau = (t - t_end) / (t_start - t_end), the paper's, in the model's own time;
- step: tau = (N - i) / N, so that a pixel is free for a share m of the N steps, whatever the scheduler;
- calibrated: tau = the share of the result's variance that is new when an image is resampled from sigma on.
"""

from __future__ import annotations

import math

import torch
from PIL import Image, ImageDraw
from torch import Tensor

from ..loop.lens import in_float32
from ..loop.sigmas import step_of

MODES = ("timestep", "step", "calibrated")

_TOLERANCE = 1e-6  # an 8-bit mask's k/255 in float32 must still reach a tau of k/255


def tau_timestep(t: Tensor, start: Tensor, end: Tensor) -> Tensor:
    """The paper's threshold: how much of the model time from `start` to `end` is left at `t`, 0..1."""
    return ((t - end) / (start - end).clamp(min=1e-12)).clamp(0, 1)


def tau_step(sigma: Tensor, sigmas: Tensor) -> Tensor:
    """The share of the steps of the schedule `sigmas` `[N + 1]` that is left at `sigma`: 1, ..., 1/N."""
    steps = len(sigmas) - 1
    return (steps - step_of(sigma, sigmas)) / steps


def tau_calibrated(noise: Tensor, signal: Tensor) -> Tensor:
    """The share of variance that is new when data are noised to `signal * x + noise * eps` and sampled again.

    `noise` and `signal` are standard deviations. For Gaussian data the probability-flow ODE gives back
    x' with corr(x, x')^2 = signal^2 / (signal^2 + noise^2); the rest is new.
    """
    return noise**2 / (signal**2 + noise**2)


@in_float32
def graded(mask: Tensor, strength: float) -> Tensor:
    """`mask ** strength`: under 1 greys are released earlier. 0 and 1 stay what they are."""
    return mask if strength == 1 else mask**strength


@in_float32
def open_mask(mask: Tensor, tau: Tensor, strength: float = 1.0) -> Tensor:
    """1 where a pixel of `mask` (any shape, 0..1) is free at the threshold `tau` (a scalar), else 0."""
    return ((graded(mask, strength) >= tau - _TOLERANCE) & (mask > 0)).to(mask)


@in_float32
def release_step(mask: Tensor, taus: Tensor, strength: float = 1.0) -> Tensor:
    """The first of N steps (0-based, int64) at which each pixel of `mask` is free; N where it never is.

    `taus` `[N]` are the thresholds of the steps; they never rise.
    """
    reached = torch.searchsorted(-taus.to(mask), -(graded(mask, strength) + _TOLERANCE))
    return torch.where(mask > 0, reached, len(taus))


def release_picture(released: Tensor, steps: int, caption: str) -> Tensor:
    """A picture of `released` (`release_step`, `[B, H, W]`) with a colour bar: `[B, H + bar, W', 3]` in 0..1.

    Bright is free from the first step on, dark late; never released is grey.
    """
    share = 1 - released.float() / steps
    colours = torch.where((released < steps).unsqueeze(-1), _heat(share), torch.full((3,), 0.5))
    batch, height, width = released.shape
    scale = max(1, math.ceil(320 / width))  # room for the caption
    colours = colours.repeat_interleave(scale, 1).repeat_interleave(scale, 2)
    bar = _colour_bar(width * scale, steps, caption).expand(batch, -1, -1, -1)
    return torch.cat([colours, bar], 1)


def _heat(share: Tensor) -> Tensor:
    """Black-violet-orange-white for 0..1, `[...]` -> `[..., 3]`."""
    stops = torch.tensor([[0.05, 0.03, 0.2], [0.5, 0.1, 0.5], [0.95, 0.45, 0.25], [1.0, 0.97, 0.7]])
    at = share.clamp(0, 1) * (len(stops) - 1)
    below = at.long().clamp(max=len(stops) - 2)
    return torch.lerp(stops[below], stops[below + 1], (at - below).unsqueeze(-1))


def _colour_bar(width: int, steps: int, caption: str) -> Tensor:
    """What each colour means, `[1, 44, width, 3]`: a strip of the steps, their numbers, a caption."""
    step = (torch.arange(width) * (steps + 1)) // width  # the last field is "never"
    strip = torch.where((step < steps).unsqueeze(-1), _heat(1 - step / steps), torch.full((3,), 0.5))
    canvas = Image.new("RGB", (width, 44), (24, 24, 24))
    draw = ImageDraw.Draw(canvas)
    field = width / (steps + 1)
    every = math.ceil(24 / field)
    for i in range(0, steps, every):
        if (steps - i) * field > 24:  # leaves room for the word "never"
            draw.text((i * field + 2, 16), str(i + 1), fill=(230, 230, 230))
    draw.text((width - 4, 16), "never", fill=(230, 230, 230), anchor="ra")
    draw.text((2, 30), caption, fill=(170, 170, 170))
    picture = torch.tensor(list(canvas.tobytes()), dtype=torch.float32).view(44, width, 3) / 255
    picture[:14] = strip
    return picture.unsqueeze(0)
