"""ISI Frequency Lock: the low frequencies of each prediction are those of the picture at the start."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from torch import Tensor

from ...core.inside.frequency import KeepLow, locked
from ...core.inside.portion import Portion
from ..loop.moment import Moment, Needs, StepExtra
from ..loop.noise import cell_width
from .during import SamplingRun, around_predictions

KEY = "ISI_FrequencyLock"


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
            if run.step not in steps:
                return predict()

            def lock(made: Tensor, cut: Callable[[Tensor], Tensor]) -> Tensor:
                assert run.start is not None
                return locked(made, cut(run.start.to(made)), cells, strength)

            inner = options["model_options"].setdefault("transformer_options", {})
            before = inner.get(KEY, ())
            inner[KEY] = (*before, lock)
            try:
                made = predict()
            finally:
                inner[KEY] = before
            return lock(made, lambda whole: whole)

        return around

    return around_predictions(model, KEY, begin)


def locked_tile(part: Tensor, cut: Callable[[Tensor], Tensor], model_options: dict) -> Tensor:
    """The prediction of a tile, or of several, locked as the whole picture will be; `cut` makes tiles of a
    whole latent.

    Tiles that differ in colour are a ramp once they are blended, and of a ramp a lock of waves about as long
    keeps a part. Within a tile it is no ramp.
    """
    for lock in model_options.get("transformer_options", {}).get(KEY, ()):
        part = lock(part, cut)
    return part


class KeepLowExtra(StepExtra[KeepLow]):
    """A plan's step that keeps the low frequencies of its picture."""

    value = KeepLow

    def needs(self, value: KeepLow) -> Needs:
        return Needs("keep_low", picture=value.cutoff > 0)

    def patch(self, moment: Moment, value: KeepLow) -> Moment:
        width = moment.vae.spacial_compression_encode()
        return replace(moment, model=patch_frequency(moment.model, value.cutoff, 1.0, Portion(), width))
