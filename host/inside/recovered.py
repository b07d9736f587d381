"""Noise that a sampler turns back into a given picture: the way to the picture, walked backwards.

A1111's "img2img alternative test" on any model of the host. Euler's step from noise level s' down to s is
x = x' + (x' - D(x', s')) (s - s') / s', with D the model's prediction. Its inverse is the fixed point of
x' = x + (x' - D(x', s')) (s' - s) / s', in which nothing is divided by 0 at the first step, s = 0. One round
from x' = x takes D(x, s') for D(x', s'), as DDIM inversion does: what that misses can end a sampling in quite
another picture. Further rounds find the x' that the sampler's own step leads back from: the fixed-point
iteration of Pan et al. 2023 ("Effective Real Image Editing with Accelerated Iterative Diffusion Inversion",
arXiv:2309.04907), without its acceleration, and of Garibi et al. 2024 ("ReNoise", arXiv:2403.14602), without
its mean of the rounds. What comes out at the end is x(s_0); the noise is what the host's own scaling makes
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
    """How noise is recovered, with `original`, the CONDITIONING of what the picture shows.

    The way back goes along the sampler's own n noise levels where it makes no more than `steps` steps, else
    along n = `steps` levels of its own, with 1 + `steps` // n model calls for each: at most twice `steps`.
    `sigmas` are those of the sampler that will use the noise, for where the caller does not know them.
    """

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

    def noise(self, latent: Tensor, sigmas: Tensor | None = None) -> Tensor:
        """The noise for a latent `[B, C, ..., H, W]` as the host has it; float32, on the CPU.

        The sampler will go down `sigmas`; without these down those of `self`, or from the model's highest.

        Raises ValueError for NaN.
        """
        if not torch.isfinite(latent).all():
            raise ValueError("The latent to start from has NaN or infinite values: connect another one.")
        sampling = self.model.get_model_object("model_sampling")
        sigmas = self.sigmas if sigmas is None else sigmas
        first = float(sampling.sigma_max if sigmas is None else sigmas[0])
        levels = _own(sigmas, self.steps) if sigmas is not None else None
        if levels is None:
            levels = _levels(sampling, first, self.steps)
        rounds = 1 + self.steps // (len(levels) - 1)
        found: list[Tensor] = []
        guider = comfy.samplers.CFGGuider(self.model)
        guider.set_conds(self.original, self.negative or self.original)
        guider.set_cfg(self.cfg)

        def backwards(model, x, sigmas, **options):
            found.append(_up(model, x, sigmas, rounds, options["extra_args"]))
            return x  # what the host makes of it, by 1 - sigma of a flow model, nobody asks for

        sampler = comfy.samplers.KSAMPLER(backwards)
        guider.sample(torch.zeros_like(latent), latent, sampler, levels, disable_pbar=True, seed=0)
        return _noise_in(found[0].float().cpu(), self.model, sampling, latent.float().cpu(), first)


def _own(sigmas: Tensor, steps: int) -> Tensor | None:
    """The levels of a sampler from its end to its beginning; None for one that does not go down to 0 step by
    step, or in more than `steps`."""
    down = bool((sigmas[:-1] > sigmas[1:]).all()) and float(sigmas[-1]) == 0
    return sigmas.flip(0) if down and 1 <= len(sigmas) - 1 <= steps else None


def _levels(sampling: Any, first: float, steps: int) -> Tensor:
    """0 and `steps` noise levels up to `first`, evenly in the model's own time, as the scheduler `normal`."""
    ends = (torch.as_tensor(float(end)).reshape(1) for end in (sampling.sigma_min, first))
    low, high = (float(sampling.timestep(end)) for end in ends)
    times = torch.linspace(low, high, steps + 1)[1:]
    levels = [float(sampling.sigma(time.reshape(1))) for time in times]
    return torch.tensor([0.0, *levels[:-1], first])


def _up(model: Any, x: Tensor, sigmas: Tensor, rounds: int, extra_args: dict) -> Tensor:
    """A sampler function of the host along rising noise levels, with `rounds` model calls for each.

    Where the rounds of a step do not come nearer to each other, as with much guidance, they lead to no fixed
    point: that picture of the batch stays with what it had.
    """
    for now, then in zip(sigmas, sigmas[1:], strict=False):
        above, moved = x, x.new_full((len(x),), math.inf)
        for _ in range(rounds):
            comfy.model_management.throw_exception_if_processing_interrupted()
            denoised = model(above, then * x.new_ones(len(x)), **extra_args)
            found = x + (above - denoised) * ((then - now) / then)
            change = (found - above).flatten(1).norm(dim=1)
            nearer = change < moved
            above = torch.where(nearer.reshape(-1, *[1] * (x.ndim - 1)), found, above)
            moved = torch.where(nearer, change, moved)
        x = above
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
