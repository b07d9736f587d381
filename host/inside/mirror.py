"""ISI Mirror: pictures that are symmetric, or become so, for the first part of sampling."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ...core.inside.mirror import order, symmetric, turned
from ...core.inside.portion import Portion
from .during import SamplingRun, ahead_of_predictions

HOWS = ("average", "alternate")


def patch_mirror(model: Any, turn: str, how: str, end: float) -> Any:
    """A clone of a MODEL whose picture is made symmetric (average), or turned (alternate), before each of the
    steps up to `end`, a share of those that are made."""

    def begin(run: SamplingRun):
        steps = Portion(0.0, end).steps(run.count)
        height, width = run.noise.shape[-2:]
        if steps and turn == "quarter turn" and height != width:
            raise ValueError(
                f"A quarter turn needs a square picture, and this latent has {width} x {height} cells: "
                "choose another turn of ISI Mirror, or a square size."
            )
        if not steps:
            return None

        done: set[int] = set()  # some samplers make several calls a step

        def ahead(run: SamplingRun, x: Tensor, sigma: Tensor) -> Tensor:
            step = run.step
            if step not in steps or how == "alternate" and step in done:
                return x
            done.add(step)
            return _within(run, x, symmetric(x, turn) if how == "average" else turned(x, turn))

        return ahead

    def noise_of(run: SamplingRun) -> Tensor:
        if how == "alternate":
            return run.noise
        # The mean of two would be noise of deviation 0.71.
        return _within(run, run.noise, symmetric(run.noise, turn) * order(turn) ** 0.5)

    return ahead_of_predictions(model, "ISI_Mirror", begin, noise_of)


def _within(run: SamplingRun, x: Tensor, made: Tensor) -> Tensor:
    """`made` where the picture may change, `x` elsewhere."""
    return made if run.mask is None else x + run.mask.to(x) * (made - x)
