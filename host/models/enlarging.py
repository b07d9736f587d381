"""A stage of an upscale plan whose picture is enlarged by an upscale model before it is sampled."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import folder_paths

from ...core.loop.lens import View
from ...core.plans.upscale import Enlarge
from ..loop.moment import StepExtra
from .upscale_models import FOLDER, LANCZOS, MINI, load_upscaler, upscale


class EnlargeExtra(StepExtra[Enlarge]):
    """A plan's step that starts from a picture enlarged by a network."""

    value = Enlarge

    def check(self, value: Enlarge, model: Any, vae: Any) -> None:
        if value.model not in (LANCZOS, MINI) and folder_paths.get_full_path(FOLDER, value.model) is None:
            raise ValueError(
                f"This plan enlarges by {value.model[:200]}, which is not in models/{FOLDER}: put it there, "
                "or choose another model in ISI Upscale."
            )
        load_upscaler(value.model)

    def prepare(self, view: View, value: Enlarge) -> View:
        if view.source is None:
            return view
        height, width = view.pixels.shape[1:3]
        return replace(view, pixels=upscale(view.source, height, width, load_upscaler(value.model)))
