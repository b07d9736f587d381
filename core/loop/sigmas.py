"""Where in a schedule of noise levels a sampler is."""

from __future__ import annotations

from torch import Tensor

TOLERANCE = 1e-4
"""Samplers call the model in other floats than the schedule's: sigmas this close (relative) are one."""


def step_of(sigma: Tensor, sigmas: Tensor) -> Tensor:
    """The step, 0..N-1, of the schedule `sigmas` `[N + 1]` in which each of `sigma` (any shape) lies.

    A step begins at its own sigma and ends before the next one's, so the midpoints of second-order samplers
    belong to the step that they are the middle of. What lies beyond the ends belongs to the first or last
    step. A schedule may rise (unsampling).
    """
    later, at = sigmas[1:-1].to(sigma), sigma.unsqueeze(-1)
    if sigmas[-1] > sigmas[0]:
        return (later <= at * (1 + TOLERANCE)).sum(-1)
    return (later >= at * (1 - TOLERANCE)).sum(-1)
