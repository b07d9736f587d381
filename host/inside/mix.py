"""The skip residual in the host's samplers: ISI Iterative Mix, and the first term of DemoFusion."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ...core.inside.mix import cosine_weight, skip_residual
from ...core.inside.portion import Portion
from .during import SamplingRun, ahead_of_predictions, noise_level


def patch_mix(model: Any, alpha: float, portion: Portion) -> Any:
    """A clone of a MODEL that pulls its picture to the noised original by c(t)^alpha in steps of `portion`.

    A run from an empty latent has no original, and is left alone.
    """

    def begin(run: SamplingRun):
        steps = portion.steps(run.count)
        if run.start is None or not steps:
            return None
        mix = mixing(alpha)
        return lambda run, x, sigma: mix(run, x, sigma) if run.step in steps else x

    return ahead_of_predictions(model, "ISI_IterativeMix", begin)


def mixing(alpha: float):
    """What pulls a sampler's picture to the noised start of its run, c(t)^alpha of the way."""

    def mix(run: SamplingRun, x: Tensor, sigma: Tensor) -> Tensor:
        assert run.start is not None
        weight = cosine_weight(noise_level(run.model_sampling, sigma), alpha)
        noised = run.model_sampling.noise_scaling(sigma[:1], run.noise.to(x), run.start.to(x))
        return skip_residual(x, noised, weight)

    return mix
