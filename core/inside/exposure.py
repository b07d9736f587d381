"""Pictures of one scene at several exposures, and their fusion.

T. Mertens, J. Kautz, F. Van Reeth: Exposure Fusion, Pacific Graphics 2007.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from ..loop.lens import in_float32

SIGMA = 0.2
"""Deviation of the Gaussian that says how well exposed a value is, round the middle grey."""
LEAST = 1e-12
"""Weight of a picture where no one of them has any."""
KERNEL = (1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16)


def exposures(count: int, gap: float, curve: float) -> list[float]:
    """`count` changes of brightness from -`gap` to `gap`: sign(t) |t|^curve gap, t evenly from -1 to 1.

    A `curve` over 1 gathers them round the middle; one picture has no change.
    """
    if count == 1:
        return [0.0]
    places = [2 * k / (count - 1) - 1 for k in range(count)]
    return [gap * (abs(t) ** curve if t >= 0 else -(abs(t) ** curve)) for t in places]


@in_float32
def fuse(
    pictures: Tensor, contrast: float = 1.0, saturation: float = 1.0, exposedness: float = 1.0
) -> Tensor:
    """One picture `[1, H, W, C]` from `[N, H, W, C]` in 0..1 of one scene, the best of each; float32.

    Weights are C^contrast S^saturation E^exposedness: C the size of the Laplacian of the grey, S the
    deviation of the channels, E the product over channels of exp(-(v - 0.5)^2 / (2 0.2^2)). Each level of the
    Laplacian pyramids is mixed by the same level of the weights' Gaussian ones. Values may go a little over
    0..1, and are not clamped; alpha (the fourth channel) is the mean. Equal pictures come out as they were.
    """
    colours = pictures[..., :3].movedim(-1, 1)
    grey = colours.mean(1, keepdim=True)
    around = functional.pad(grey, (1, 1, 1, 1), mode="replicate")
    laplacian = (
        around[..., :-2, 1:-1] + around[..., 2:, 1:-1] + around[..., 1:-1, :-2] + around[..., 1:-1, 2:]
    ) - 4 * grey
    spread = colours.std(1, correction=0, keepdim=True)
    exposed = torch.exp(-((colours - 0.5) ** 2) / (2 * SIGMA**2)).prod(1, keepdim=True)
    weights = laplacian.abs() ** contrast * spread**saturation * exposed**exposedness + LEAST
    weights = weights / weights.sum(0, keepdim=True)
    fused = _blend(colours, weights)
    out = fused.movedim(1, -1)
    return out if pictures.shape[-1] < 4 else torch.cat([out, pictures[..., 3:].mean(0, keepdim=True)], -1)


def _blend(pictures: Tensor, weights: Tensor) -> Tensor:
    """Pyramids from fine to coarse, each level put together as soon as it is there."""
    levels = []
    while min(pictures.shape[-2:]) > 1:
        smaller, lighter = _down(pictures), _down(weights)
        fine = pictures - _up(smaller, pictures.shape[-2:])
        levels.append((fine * weights).sum(0, keepdim=True))
        pictures, weights = smaller, lighter
    out = (pictures * weights).sum(0, keepdim=True)
    for level in reversed(levels):
        out = level + _up(out, level.shape[-2:])
    return out


def _smooth(x: Tensor) -> Tensor:
    kernel = torch.tensor(KERNEL, dtype=x.dtype, device=x.device)
    planes = functional.pad(x.reshape(-1, 1, *x.shape[-2:]), (2, 2, 2, 2), mode="replicate")
    once = functional.conv2d(planes, kernel.reshape(1, 1, 1, -1))
    return functional.conv2d(once, kernel.reshape(1, 1, -1, 1)).reshape(x.shape)


def _down(x: Tensor) -> Tensor:
    """Half as large: every second value of what is smoothed."""
    return _smooth(x)[..., ::2, ::2]


def _up(x: Tensor, size: torch.Size) -> Tensor:
    """Of `size` again: each value four times, smoothed."""
    repeated = x.repeat_interleave(2, -1).repeat_interleave(2, -2)
    return _smooth(repeated[..., : size[0], : size[1]])
