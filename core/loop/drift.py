"""Drift lock: keeps the colours of a long loop where they began.

Every pass through a sampler and a VAE shifts mean and contrast a little, and a loop adds the shifts up.
Giving each channel the mean and the standard deviation of a reference again (Reinhard et al., "Color
Transfer between Images", 2001, in the picture's own channels) undoes that, in float, so that no level is
lost.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

Reference = Literal["initial image", "first result", "given image"]
REFERENCES: tuple[Reference, ...] = get_args(Reference)

_FLAT = 1e-4
"""A channel of less spread (0..1 scale) is constant but for rounding: it has no contrast to match."""


@dataclass(frozen=True)
class PixelLock:
    """Base of what holds a step's pixels to those that it started from. A frozen value: all of it is in the
    key."""

    def check(self, height: int, width: int, batch: int) -> None:
        """Raises ValueError, before anything is sampled, if views of this size can't be held."""

    def hold(self, before: Tensor, after: Tensor) -> Tensor:
        """The pixels that go on, made of a view before and after it was sampled, both `[B, H, W, C]`."""
        raise NotImplementedError


@dataclass(frozen=True)
class DriftLock:
    """What to hold the colours to, and how firmly (`strength`, 0..1).

    `save_corrected`: store the corrected picture instead of the sampler's own. `picture` `[B or 1, h, w, C]`
    is the given image, `mask` `[B or 1, H, W]` is 1 where the lock does not look. `pixels` acts first, on
    what was sampled.
    """

    reference: Reference = "initial image"
    strength: float = 1.0
    save_corrected: bool = False
    picture: Tensor | None = None
    mask: Tensor | None = None
    pixels: PixelLock | None = None


def match_statistics(
    picture: Tensor, reference: Tensor, strength: float = 1.0, mask: Tensor | None = None
) -> Tensor:
    """`picture` with the mean and standard deviation of `reference` in each colour channel.

    `picture` `[B, H, W, C]`, `reference` `[B or 1, h, w, C]` of any size, `strength` 0..1 (0 gives `picture`
    itself). Each picture of the batch is matched alone. An alpha channel (the fourth) stays as it is.

    `mask` `[B or 1, H, W]`, 1 = "may change": only pixels where it is 0 are measured, since the others ought
    to differ; in the reference too where that has the same size. A mask that leaves nothing to measure is as
    no mask. All pixels are corrected. Constant channels only have their mean moved. Values are not clamped.
    Equal statistics give `picture` bit for bit. Raises ValueError for a batch or channels that do not fit.
    """
    if strength == 0:
        return picture
    colours = min(picture.shape[-1], 3)
    if reference.shape[0] not in (1, picture.shape[0]) or min(reference.shape[-1], 3) != colours:
        raise ValueError(
            f"Drift lock: expected a reference with {colours} colour channels and 1 or {picture.shape[0]} "
            f"pictures, came {list(reference.shape)} (batch, height, width, channels)."
        )
    mean, std = _statistics(picture[..., :colours], mask)
    wanted_mean, wanted_std = _statistics(reference[..., :colours].to(picture.device), mask)
    flat = (std < _FLAT) | (wanted_std < _FLAT)
    gain = torch.where(flat, 1.0, wanted_std / std.clamp_min(_FLAT))
    offset = wanted_mean - mean * gain
    gain, offset = 1 + (gain - 1) * strength, offset * strength
    matched = picture[..., :colours].float() * gain + offset
    return torch.cat([matched.to(picture), picture[..., colours:]], -1)


def _statistics(picture: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation `[B, 1, 1, C]` over the pixels that `mask` leaves."""
    counted = torch.ones_like(picture[..., :1], dtype=torch.float32)
    if mask is not None and mask.shape[-2:] == picture.shape[1:3]:
        counted = counted * (mask.to(picture.device) <= 0).unsqueeze(-1)
        counted = torch.where(counted.sum((1, 2), keepdim=True) > 0, counted, 1.0)
    picture, pixels = picture.float(), counted.sum((1, 2), keepdim=True)
    mean = (picture * counted).sum((1, 2), keepdim=True) / pixels
    variance = ((picture - mean) ** 2 * counted).sum((1, 2), keepdim=True) / pixels
    return mean, variance.sqrt()
