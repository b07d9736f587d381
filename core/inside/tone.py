"""Brightness, contrast, saturation and colour of a latent, by a linear map between latents and colours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ..loop.door import Limits
from ..loop.plan import ExtraValue

LUMA = (0.299, 0.587, 0.114)
"""Rec. 601."""


@dataclass(frozen=True)
class Tone:
    """What is asked for, each -1..1, 0 is nothing.

    `brightness`, `red`, `green` and `blue` are added to colours of 0..1; `contrast` scales the distance
    to the mean of the picture and `saturation` that to the grey of each place, by 1 + itself.
    """

    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    red: float = 0.0
    green: float = 0.0
    blue: float = 0.0


@dataclass(frozen=True)
class Bracket(ExtraValue):
    """A step whose predictions are lighter by `brightness` (-1..1)."""

    kind: ClassVar[str] = "bracket"
    limits: ClassVar[Limits] = {"brightness": (-1.0, 1.0)}

    brightness: float = 0.0


@dataclass(frozen=True)
class Colours:
    """The colours of a latent: rgb = z F + b, rgb in -1..1, and back by F's pseudo-inverse.

    `factors` is F, `[C, 3]`; `bias` is b, `[3]`.
    """

    factors: Tensor
    bias: Tensor

    def seen(self, z: Tensor) -> Tensor:
        """Colours in 0..1, `[B, ..., 3]`, of a latent `[B, C, ...]`."""
        return (z.movedim(1, -1) @ self.factors.to(z) + self.bias.to(z) + 1) / 2

    def change(self, colours: Tensor) -> Tensor:
        """The smallest change of a latent, `[B, C, ...]`, that changes its colours by `[B, ..., 3]`."""
        # On the CPU: not every accelerator has the decomposition.
        back = torch.linalg.pinv(self.factors.cpu().double()).to(colours)
        return (2 * colours @ back).movedim(-1, 1)


def measured(latents: Tensor, colours: Tensor) -> Colours:
    """`Colours` from the latents `[N, C]` of plain pictures of `colours` `[N, 3]` in 0..1.

    z = rgb B + z_0 by least squares, over colours of all the cube: near one grey a VAE may be bent.
    """
    rgb = 2 * colours.cpu().double() - 1
    known = torch.cat([rgb, torch.ones_like(rgb[:, :1])], 1)
    *back, middle = torch.linalg.lstsq(known, latents.cpu().double()).solution
    factors = torch.linalg.pinv(torch.stack(back))
    return Colours(factors, -(middle @ factors))


def toned(z: Tensor, colours: Colours, tone: Tone, share: float) -> Tensor:
    """The latent `z` `[B, C, ...]` with `share` (0..1) of a tone; factors act by the power of the share."""
    was = colours.seen(z)
    luma = (was @ torch.tensor(LUMA).to(was)).unsqueeze(-1)
    made = torch.lerp(luma, was, (1 + tone.saturation) ** share)
    mean = made.mean(tuple(range(1, made.ndim - 1)), keepdim=True)
    made = torch.lerp(mean, made, (1 + tone.contrast) ** share)
    added = torch.tensor([tone.red, tone.green, tone.blue]).to(made) + tone.brightness
    return z + colours.change(made + share * added - was)


def shares(sigmas: Tensor, steps: range) -> float:
    """What each of `steps` of a schedule `[N + 1]` does of a change, so that all together make it whole.

    A step moves the picture 1 - sigma_(i+1) / sigma_i of the way to its prediction, so a change that the
    model keeps adds up to the sum of these.
    """
    levels = sigmas.cpu().double()
    moved = 1 - levels[1:] / levels[:-1].clamp_min(1e-12)
    return float(1 / moved[steps.start : steps.stop].sum().clamp_min(1e-12))
