"""ISI Tail Average: what a sampler ends with is the mean of some of its last predictions."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .during import SamplingRun, around_predictions


def patch_tail(model: Any, drop: int, average: int) -> Any:
    """A clone of a MODEL whose last `drop` steps are not made, and whose picture is the mean of the `average`
    predictions before them. A schedule that does not end at 0 has no such end, and is left alone."""

    def begin(run: SamplingRun):
        if drop == 0 and average == 1 or run.sigmas[-1] != 0:
            return None
        if run.count < drop + average:
            raise ValueError(
                f"ISI Tail Average drops {drop} steps and averages {average}, but only {run.count} are made: "
                "lower drop or average, or take more steps."
            )
        kept: dict[int, Tensor] = {}
        steps = range(run.count - drop - average, run.count - drop)

        def around(run: SamplingRun, predict, x: Tensor, options: dict) -> Tensor:
            step = run.step
            if step in steps:
                prediction = predict()
                kept.setdefault(step, prediction)
                if step < run.count - 1:
                    return prediction
            elif step < steps.start:
                return predict()
            return torch.stack(list(kept.values())).mean(0)

        return around

    return around_predictions(model, "ISI_TailAverage", begin)
