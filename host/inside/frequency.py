"""ISI Frequency Lock: the low frequencies of each prediction are those of the picture at the start."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from torch import Tensor

from ...core.inside.frequency import KeepLow, locked
from ...core.inside.portion import Portion
from ..loop.moment import Moment, Needs, StepExtra
from ..loop.noise import cell_width
from .during import SamplingRun, around_predictions


def patch_frequency(model: Any, cutoff: float, strength: float, portion: Portion, width: int = 0) -> Any:
    """A clone of a MODEL whose predictions keep the waves over `cutoff` pixels of the picture that a run
    starts from, by `strength` (0..1) in the steps of `portion`; at 0 the model itself.

    `width` is that of a latent cell in pixels, where the model does not know it. A run from an empty latent
    has nothing to keep, and is left alone.
    """
    if cutoff == 0 or strength == 0:
        return model
    cells = cutoff / (width or cell_width(model))

    def begin(run: SamplingRun):
        steps = portion.steps(run.count)
        if run.start is None or not steps:
            return None

        def around(run: SamplingRun, predict, x: Tensor, options: dict) -> Tensor:
            made = predict()
            assert run.start is not None
            return locked(made, run.start.to(made), cells, strength) if run.step in steps else made

        return around

    return around_predictions(model, "ISI_FrequencyLock", begin)


class KeepLowExtra(StepExtra[KeepLow]):
    """A plan's step that keeps the low frequencies of its picture."""

    value = KeepLow

    def needs(self, value: KeepLow) -> Needs:
        return Needs("keep_low", picture=value.cutoff > 0)

    def patch(self, moment: Moment, value: KeepLow) -> Moment:
        width = moment.vae.spacial_compression_encode()
        return replace(moment, model=patch_frequency(moment.model, value.cutoff, 1.0, Portion(), width))
