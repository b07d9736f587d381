"""Fine detail of one picture on the light and colours of another (frequency separation)."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from ..loop.lens import resize
from .masks import as_mask

Mode = Literal["add", "multiply", "soft light"]
MODES: tuple[Mode, ...] = ("add", "multiply", "soft light")

DARK = 1 / 255
"""Least value that is divided by: below it a ratio is noise."""


def transfer_detail(
    target: Tensor, source: Tensor, mode: Mode, blur: float, blend: float, mask: Tensor | None = None
) -> Tensor:
    """`target` `[B, H, W, C]` with the detail of `source`, 0..1; float32 inside, in the target's dtype.

    With G a Gaussian of `blur` pixels, s the source at the target's size and t the target:
    add: G t + (s - G s). multiply: G t * s / G s, the ratio of the Retinex model: detail is reflectance, and
    scales with the light on it. soft light: t under a layer of 1/2 + (s - G s), by the W3C's formula.
    `blend` (0..1) and `mask` `[B or 1, h, w]`, of any size, say how much of it; 0 is the target bit for bit.
    Alpha stays the target's. Raises ValueError for batches that don't pair and for NaN in the mask.
    """
    if blend <= 0 or not len(target):
        return target
    if not len(source):
        raise ValueError("The source is an empty batch: connect the picture whose detail is wanted.")
    if 1 not in (len(source), len(target)) and len(source) != len(target):
        raise ValueError(
            f"Expected one source, or as many as there are targets ({len(target)}), but got {len(source)}: "
            "connect batches of one size."
        )
    height, width = target.shape[1:3]
    colours = 1 if target.shape[-1] < 3 else 3
    t = target[..., :colours].float()
    s = resize(source[..., : 1 if source.shape[-1] < 3 else 3].float(), height, width)
    s = s if s.shape[-1] == colours else s.mean(-1, keepdim=True).expand(-1, -1, -1, colours)
    fine = s - _gaussian(s, blur)
    if mode == "add":
        made = _gaussian(t, blur) + fine
    elif mode == "multiply":
        smooth = (s - fine).clamp_min(DARK)
        made = _gaussian(t, blur) * (fine + smooth) / smooth
    else:
        made = soft_light(t, (0.5 + fine).clamp(0, 1))
    weight = torch.full((1, 1, 1, 1), float(blend), device=t.device)
    if mask is not None:
        shown = mask.float().reshape(-1, *mask.shape[-2:], 1)
        if len(shown):
            shown = resize(shown, height, width)
        weight = blend * as_mask(shown[..., 0], height, width, len(made))[..., None].to(t.device)
    out = torch.where(weight > 0, torch.lerp(t, made.clamp(0, 1), weight.expand_as(made)), t).to(target.dtype)
    alpha = target[..., colours:]
    return torch.cat([out, alpha.expand(len(out), *alpha.shape[1:])], -1) if alpha.shape[-1] else out


def soft_light(backdrop: Tensor, layer: Tensor) -> Tensor:
    """W3C Compositing and Blending Level 1, section 10.1.10; both in 0..1. A layer of 1/2 changes nothing."""
    lifted = torch.where(
        backdrop <= 0.25, ((16 * backdrop - 12) * backdrop + 4) * backdrop, backdrop.clamp_min(0).sqrt()
    )
    darker = backdrop - (1 - 2 * layer) * backdrop * (1 - backdrop)
    lighter = backdrop + (2 * layer - 1) * (lifted - backdrop)
    return torch.where(layer <= 0.5, darker, lighter)


def _gaussian(picture: Tensor, sigma: float) -> Tensor:
    """`[B, H, W, C]` under a Gaussian of `sigma` pixels. Borders are repeated: a plain stays plain."""
    radius = max(1, round(3 * sigma))
    at = torch.arange(-radius, radius + 1, dtype=torch.float64)
    kernel = torch.exp(-(at**2) / (2 * sigma**2))
    kernel = (kernel / kernel.sum()).to(picture)
    planes = picture.movedim(-1, 1).flatten(0, 1).unsqueeze(1)
    padded = functional.pad(planes, (radius, radius, radius, radius), mode="replicate")
    once = functional.conv2d(padded, kernel.reshape(1, 1, 1, -1))
    done = functional.conv2d(once, kernel.reshape(1, 1, -1, 1))
    return done.reshape(len(picture), -1, *picture.shape[1:3]).movedim(1, -1)
