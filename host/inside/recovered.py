"""Noise that a sampler turns back into a given picture: the way to the picture, walked backwards.

A1111's "img2img alternative test" on any model of the host. Backwards Euler steps from noise level s to the
next one s': x' = x + (x - D(x, s')) (s' - s) / s', with D the model's prediction at s', so nothing is divided
by 0 at the first step. What comes out at the end is x(s_0); the noise is what the host's own scaling makes
x(s_0) of.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import comfy.model_management
import comfy.samplers
import torch
from torch import Tensor


@dataclass(frozen=True)
class Recovery:
    """How noise is recovered: with `original`, the CONDITIONING of what the picture shows, in `steps` model
    calls. `sigmas` are those of the sampler that will use it, for where the caller does not know them."""

    model: Any
    original: list
    negative: list | None = None
    cfg: float = 1.0
    steps: int = 50
    sigmas: Tensor | None = None

    def check(self) -> None:
        """Raises ValueError for a guidance away from nothing."""
        if self.cfg != 1.0 and self.negative is None:
            raise ValueError(
                f"ISI Noise recovers with a recover_cfg of {self.cfg:g}, which needs a negative "
                "prompt: connect one to negative, or set recover_cfg to 1."
            )

    def noise(self, latent: Tensor, first: float | None = None) -> Tensor:
        """The noise for a latent `[B, C, ..., H, W]` as the host has it; float32, on the CPU.

        The sampler begins at the noise level `first`; without it where `sigmas` do, or at the model's last.

        Raises ValueError for NaN.
        """
        if not torch.isfinite(latent).all():
            raise ValueError("The latent to start from has NaN or infinite values: connect another one.")
        sampling = self.model.get_model_object("model_sampling")
        if first is None:
            first = float(sampling.sigma_max if self.sigmas is None else self.sigmas[0])
        found: list[Tensor] = []
        guider = comfy.samplers.CFGGuider(self.model)
        guider.set_conds(self.original, self.negative or self.original)
        guider.set_cfg(self.cfg)

        def backwards(model, x, sigmas, **options):
            found.append(_up(model, x, sigmas, options["extra_args"]))
            return x  # what the host makes of it, by 1 - sigma of a flow model, nobody asks for

        levels = _levels(sampling, first, self.steps)
        sampler = comfy.samplers.KSAMPLER(backwards)
        guider.sample(torch.zeros_like(latent), latent, sampler, levels, disable_pbar=True, seed=0)
        return _noise_in(found[0].float().cpu(), self.model, sampling, latent.float().cpu(), first)


def _levels(sampling: Any, first: float, steps: int) -> Tensor:
    """0 and `steps` noise levels up to `first`, evenly in the model's own time, as the scheduler `normal`."""
    ends = (torch.as_tensor(float(end)).reshape(1) for end in (sampling.sigma_min, first))
    low, high = (float(sampling.timestep(end)) for end in ends)
    times = torch.linspace(low, high, steps + 1)[1:]
    levels = [float(sampling.sigma(time.reshape(1))) for time in times]
    return torch.tensor([0.0, *levels[:-1], first])


def _up(model: Any, x: Tensor, sigmas: Tensor, extra_args: dict) -> Tensor:
    """A sampler function of the host along rising noise levels."""
    for now, then in zip(sigmas, sigmas[1:], strict=False):
        comfy.model_management.throw_exception_if_processing_interrupted()
        denoised = model(x, then * x.new_ones(len(x)), **extra_args)
        x = x + (x - denoised) * ((then - now) / then)
    return x


def _noise_in(x: Tensor, model: Any, sampling: Any, latent: Tensor, first: float) -> Tensor:
    """The noise of which the host's scaling makes `x` at the noise level `first`.

    It is a n + b, for a and b that it tells itself, so every kind of model is solved alike.
    """
    start = model.model.process_latent_in(latent)
    sigma, end = torch.tensor([first]), float(sampling.sigma_max)
    whole = math.isclose(end, first, rel_tol=1e-5) or first > end  # as the host's Sampler.max_denoise
    nothing = torch.zeros_like(x)
    offset = sampling.noise_scaling(sigma, torch.zeros_like(x), start, whole)
    return (x - offset) / sampling.noise_scaling(sigma, torch.ones_like(x), nothing, whole)
