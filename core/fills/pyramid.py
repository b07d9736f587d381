"""Push-pull: a smooth surface through scattered pixels, in linear time."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from ..loop.lens import in_float32


@in_float32
def push_pull(pixels: Tensor, known: Tensor) -> Tensor:
    """`pixels` `[B, H, W, C]` with every pixel where `known` `[H, W]` is False interpolated.

    Each coarser level averages the known pixels of the finer one, until all are known; each finer level
    then takes what it lacks from the coarser one. Known pixels stay bit for bit.
    Source: Gortler, Grzeszczuk, Szeliski, Cohen, "The Lumigraph", SIGGRAPH 1996, section 3.4 (pull, push).
    """
    weight = known[None, None].to(pixels)
    colour = torch.where(known[None, None], pixels.movedim(-1, 1), 0)
    return _complete(colour, weight).movedim(1, -1)


def _complete(colour: Tensor, weight: Tensor) -> Tensor:
    """The level `colour` `[B, C, h, w]` where `weight` `[1, 1, h, w]` is 1, a coarser one where it is 0."""
    height, width = weight.shape[-2:]
    if height * width == 1 or bool((weight >= 1).all()):
        return colour
    even = (0, width % 2, 0, height % 2)
    coarse_weight = functional.avg_pool2d(functional.pad(weight, even), 2)
    coarse = functional.avg_pool2d(functional.pad(colour * weight, even), 2)
    coarse = coarse / coarse_weight.clamp(min=1e-12)
    # One known pixel of four is enough to trust the average: the paper's saturation of weights.
    coarse = _complete(coarse, (4 * coarse_weight).clamp(max=1))
    fine = functional.interpolate(
        coarse, size=(height + height % 2, width + width % 2), mode="bilinear", align_corners=False
    )[..., :height, :width]
    return torch.where(weight >= 1, colour, torch.lerp(fine, colour, weight))
