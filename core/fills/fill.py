"""Fills: what a masked area holds before it is sampled. Plain functions of a picture and a mask.

Each takes `pixels` `[B, H, W, C]` and `mask` `[B or 1, H, W]` in 0..1 and returns new pixels that are
`pixels` bit for bit where the mask is 0. A pixel counts as known where the mask is 0, so that a soft edge
never lends the colours of what it is to hide.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from scipy import ndimage
from torch import Tensor

from ..loop.door import SEEDS, Limits
from ..loop.lens import composite, in_float32
from ..loop.plan import ExtraValue
from .march import march
from .noise import patch_noise
from .pyramid import push_pull

NEUTRAL = 0.5
LONGEST_WINDOW = 10_000


@dataclass(frozen=True)
class Fill(ExtraValue):
    """How a step of a plan fills what is new in its view before it is sampled.

    `fill` names one of MODES, or a file of an inpainting model in its state `version`; `seed` is for "patch
    noise" and for models that paint from a latent. `only`: the fill is the step's result. `touched`: all that
    the mask touches is new, not only where it is 1 (or nearly). With a `window` the pictures are the frames
    of a clip: what up to so many before and after show behind the mask stands there, and the fill is for
    what none of them shows.
    """

    kind: ClassVar[str] = "fill"
    limits: ClassVar[Limits] = {"seed": SEEDS, "window": (0, LONGEST_WINDOW)}

    fill: str = "edge"
    version: str = ""
    seed: int = 0
    only: bool = False
    touched: bool = False
    window: int = 0


@in_float32
def fill(pixels: Tensor, mask: Tensor, mode: str, seed: int = 0) -> Tensor:
    """`pixels` with what the mask covers filled in one of MODES; mixed in by the mask's level.

    Filled pixels are opaque. Without any known pixel every mode is "neutral". `seed` is for "patch noise".
    """
    if not len(pixels) or not mask.any():
        return pixels
    filled = pixels.clone()
    # Pictures that share a mask are filled together.
    parts = [slice(None)] if len(mask) == 1 else [slice(i, i + 1) for i in range(len(mask))]
    for part, one in zip(parts, mask, strict=True):
        unknown = one > 0
        if unknown.any():
            how = neutral if unknown.all() else MODES[mode]
            filled[part] = how(pixels[part], unknown, seed)
    if pixels.shape[-1] in (2, 4):
        filled[..., -1] = 1
    return composite(pixels, filled, mask)


def neutral(pixels: Tensor, unknown: Tensor, seed: int) -> Tensor:
    """Middle grey."""
    return torch.full_like(pixels, NEUTRAL)


def edge(pixels: Tensor, unknown: Tensor, seed: int) -> Tensor:
    """The nearest known pixel (Euclidean distance)."""
    rows, columns = _box(unknown, 1)
    inside = unknown[rows, columns]
    nearest = ndimage.distance_transform_edt(
        inside.cpu().numpy(), return_distances=False, return_indices=True
    )
    y, x = torch.from_numpy(nearest).long().to(pixels.device)
    out = pixels.clone()
    out[:, rows, columns] = pixels[:, rows, columns][:, y, x]
    return out


def blur(pixels: Tensor, unknown: Tensor, seed: int) -> Tensor:
    """A smooth membrane through the known pixels, by an image pyramid."""
    return push_pull(pixels, ~unknown)


def telea(pixels: Tensor, unknown: Tensor, seed: int) -> Tensor:
    """Colours and gradients carried inwards from the rim (Telea 2004)."""
    return march(pixels, unknown, "telea")


def navier_stokes(pixels: Tensor, unknown: Tensor, seed: int) -> Tensor:
    """Isophotes carried inwards from the rim (after Bertalmio, Bertozzi and Sapiro 2001)."""
    return march(pixels, unknown, "navier-stokes")


MODES: dict[str, Callable[[Tensor, Tensor, int], Tensor]] = {
    "neutral": neutral,
    "edge": edge,
    "blur": blur,
    "telea": telea,
    "navier-stokes": navier_stokes,
    "patch noise": patch_noise,
}


def _box(unknown: Tensor, margin: int) -> tuple[slice, slice]:
    """Rows and columns that hold every unknown pixel, and `margin` more on each side.

    One known pixel beyond a box may be nearer than any in it only if the box has none: the margin of a
    box round all unknown pixels is known, except at the frame.
    """
    spans = []
    for axis in (1, 0):
        where = unknown.any(axis).nonzero().flatten()
        spans.append(slice(max(0, int(where[0]) - margin), int(where[-1]) + 1 + margin))
    return spans[0], spans[1]
