"""Patches that act while a picture is sampled, for part of the steps that are made, with any sampler.

A patch is a function that is called once a sampling run, before anything is sampled, with what is known of
it. It returns what is called round each call of the model, or nothing where it has nothing to do: then the
run is the host's own. Two places can be had: round the prediction, where what is returned is what every
sampler goes on from (what a callback is shown is not), and ahead of it, where the sampler's own picture is.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import comfy.patcher_extension
import comfy.samplers
import torch
from torch import Tensor

from ..prompts.by_step import Clock

_TYPES = comfy.patcher_extension.WrappersMP


@dataclass(frozen=True)
class SamplingRun:
    """One sampling run. `start` is the latent that it begins with, as the model has it; None if it is empty.

    `mask` is the host's, 1 where the picture may change. `sigmas` `[N + 1]` lie on the CPU, the others where
    the host has them.
    """

    model_sampling: Any
    sigmas: Tensor
    noise: Tensor
    start: Tensor | None
    mask: Tensor | None
    clock: Clock

    @property
    def count(self) -> int:
        return len(self.sigmas) - 1

    @property
    def step(self) -> int:
        """The step, from 0, that the sampler is in."""
        return self.clock.step(self.sigmas)


Predict = Callable[[], Tensor]
Around = Callable[[SamplingRun, Predict, Tensor, dict], Tensor]
"""Called with the run, what makes the prediction, the picture `[B, C, ...]`, and the options of the call."""
Ahead = Callable[[SamplingRun, Tensor, Tensor], Tensor]
"""Called with the run, the sampler's picture and its sigma `[B]`; returns what the picture is to be."""


def around_predictions(model: Any, key: str, begin: Callable[[SamplingRun], Around | None]) -> Any:
    """A clone of a MODEL whose predictions go through what `begin` returns; several of a key are a chain."""

    def sampler_sample(executor, guider, sigmas, extra_args, callback, noise, latent_image, mask=None, *more):
        run = _run(
            guider.model_patcher.model.model_sampling, sigmas, executor.class_obj, noise, latent_image, mask
        )
        around = begin(run)
        if around is None:
            return executor(guider, sigmas, extra_args, callback, noise, latent_image, mask, *more)

        def report(step, *shown):
            run.clock.report(step)
            if callback is not None:
                callback(step, *shown)

        guided = _Guided(guider, run, around)
        return executor(guided, sigmas, extra_args, report, noise, latent_image, mask, *more)

    model = model.clone()
    model.add_wrapper_with_key(_TYPES.SAMPLER_SAMPLE, key, sampler_sample)
    return model


def ahead_of_predictions(
    model: Any,
    key: str,
    begin: Callable[[SamplingRun], Ahead | None],
    noise_of: Callable[[SamplingRun], Tensor] | None = None,
) -> Any:
    """A clone of a MODEL whose sampler's own picture goes through what `begin` returns before each call.

    `noise_of` may give the run other noise to start from.
    """

    def outer_sample(executor, noise, latent_image, sampler, sigmas, denoise_mask=None, *more, **options):
        patcher = executor.class_obj.model_patcher
        known = _known(latent_image, patcher.model.process_latent_in)
        # Other nodes may have changed it, and before the model is loaded the patcher alone knows.
        sampling = patcher.get_model_object("model_sampling")
        run = _run(sampling, sigmas, sampler, noise, known, denoise_mask)
        ahead = begin(run)
        if ahead is not None:
            noise = noise if noise_of is None else noise_of(run)
            sampler = with_ahead(sampler, run, ahead)
        return executor(noise, latent_image, sampler, sigmas, denoise_mask, *more, **options)

    model = model.clone()
    model.add_wrapper_with_key(_TYPES.OUTER_SAMPLE, key, outer_sample)
    return model


def with_ahead(sampler: Any, run: SamplingRun, ahead: Ahead) -> Any:
    """A copy of a SAMPLER whose picture goes through `ahead` before each model call.

    Raises ValueError for a sampler that is not one of the host's step functions.
    """
    if not isinstance(sampler, comfy.samplers.KSAMPLER):
        raise ValueError(
            "DemoFusion, ISI Iterative Mix and ISI Mirror change the picture between a sampler's steps, "
            "which this SAMPLER does not allow: choose one of KSampler's, such as euler."
        )
    function = sampler.sampler_function

    @functools.wraps(function)  # by its name prompts that change know how far ahead it looks
    def sample(model, x, sigmas, *, callback=None, **options):
        def report(shown: dict) -> None:
            run.clock.report(shown["i"])
            if callback is not None:
                callback(shown)

        return function(_Moved(model, run, ahead), x, sigmas, callback=report, **options)

    changed = copy.copy(sampler)
    changed.sampler_function = sample
    return changed


def noise_level(model_sampling: Any, sigma: Tensor) -> float:
    """A sigma as a share (0..1) of the model's own time, t / T."""
    ends = (model_sampling.sigma_min, model_sampling.sigma_max)
    first, last = (float(model_sampling.timestep(torch.as_tensor(end).reshape(1)).max()) for end in ends)
    now = float(model_sampling.timestep(sigma.reshape(-1)[:1].cpu()).max())
    return min(1.0, max(0.0, (now - first) / (last - first)))


def _known(latent: Tensor | None, process_in: Callable[[Tensor], Tensor]) -> Tensor | None:
    """A latent as the model has it; the host leaves an empty one as it is."""
    return process_in(latent) if latent is not None and torch.count_nonzero(latent) else None


def _run(
    model_sampling: Any,
    sigmas: Tensor,
    sampler: Any,
    noise: Tensor,
    start: Tensor | None,
    mask: Tensor | None,
) -> SamplingRun:
    """Raises ValueError for latents that are not pictures, and for what is no number."""
    if noise.ndim < 4:
        raise ValueError(
            f"The patches of ISI work on latents of pictures, and this one is {list(noise.shape)}: take them "
            "out for this model."
        )
    if start is not None and not torch.isfinite(start).all():
        raise ValueError("The latent to start from has NaN or infinite values: connect another one.")
    start = None if start is None or not torch.count_nonzero(start) else start
    levels = sigmas.detach().cpu().clone()  # uni_pc writes into its schedule
    return SamplingRun(model_sampling, levels, noise, start, mask, Clock(sigmas, sampler))


class _Seen:
    """The model as a sampler sees it, with something more."""

    def __init__(self, inner: Any, run: SamplingRun, does: Any):
        self._inner, self._run, self._does = inner, run, does

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


class _Guided(_Seen):
    def __call__(self, x: Tensor, sigma: Tensor, **options) -> Tensor:
        self._run.clock.call(sigma.reshape(-1)[0])

        def predict() -> Tensor:
            return self._inner(x, sigma, **options)

        return self._does(self._run, predict, x, options)


class _Moved(_Seen):
    def __call__(self, x: Tensor, sigma: Tensor, **options) -> Tensor:
        self._run.clock.call(sigma.reshape(-1)[0])
        # In place: the sampler must go on from the changed picture, not only have it judged.
        x.copy_(self._does(self._run, x, sigma))
        return self._inner(x, sigma, **options)
