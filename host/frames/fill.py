"""The plan's `fill` extra: what a step's hole holds before it is sampled, in each picture or over a clip."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ...core.fills.fill import MODES, Fill
from ...core.frames.clip import clip_of
from ...core.loop.lens import View
from ..loop.moment import StepExtra
from ..models.fill_models import fill_by_name, load_fill_model
from .clean import clean_clip

NEW = 0.99
"""Where a view's sample mask is at least this, there is nothing to be kept: a soft edge lies beyond it.

A step whose mask is a hole and nothing else says `touched`: there, any level is a part of the hole."""


class FillExtra(StepExtra[Fill]):
    """Fills what is new in the view before it is encoded; with `only` the fill is the step's result."""

    value = Fill

    def check(self, value: Fill, model: Any, vae: Any) -> None:
        if value.fill not in MODES:
            load_fill_model(value.fill)

    def prepare(self, view: View, value: Fill) -> View:
        if view.mask is None:
            return view
        new = view.new
        if new is None:
            new = (view.mask > 0 if value.touched else view.mask >= NEW).float()
        if value.window:
            clean, _ = clean_clip(clip_of(view.pixels, new), value.fill, value.seed, value.window)
            return View(clean, view.mask)
        return View(fill_by_name(view.pixels, new, value.fill, value.seed), view.mask)

    def finish(self, pixels: Tensor, view: View, value: Fill) -> Tensor:
        return view.pixels if value.only else pixels
