"""What a step is about to sample, and the two kinds of things that may change it: extras and conditioners.

An *extra* is named by the plan (`core.loop.plan.Extra`) and looked up here by its kind. A *conditioner* is an
object that the user connects (ISI_CONDITIONER). The engine calls both once a step, with the picture as it
is at that step, so that ControlNet hints and concat models follow the moving picture.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from ...core.loop.lens import View
from ...core.loop.plan import Extra, Plan, Scalar, Step


@dataclass(frozen=True)
class Moment:
    """Everything that the sampler is given at one step. Change it with `dataclasses.replace`.

    `pixels` is the view `[B, h, w, C]` in 0..1, padded to the VAE's multiple (None in a text-to-image
    step); `latent` is the host's LATENT dict (`samples`, maybe `noise_mask`).
    """

    index: int
    step: Step
    model: Any
    vae: Any
    positive: list
    negative: list
    latent: dict
    pixels: Tensor | None


class Conditioner:
    """Base of ISI_CONDITIONER values. Stateless between steps: the same moment gives the same result."""

    def check(self, model: Any, vae: Any, plan: Plan) -> None:
        """Raises ValueError before anything is sampled if this conditioner can't serve this model."""

    def identity(self) -> Any:
        """All that the result depends on (models, tensors, numbers); `host.loop.fingerprint` hashes it."""
        raise NotImplementedError

    def condition(self, moment: Moment) -> Moment:
        """The moment with its model, conditioning or latent changed."""
        raise NotImplementedError


class StepExtra:
    """Base of what an `Extra` does. A subclass sets `kind`, overrides what it needs; the rest is a no-op."""

    kind: ClassVar[str] = ""

    def __init_subclass__(cls) -> None:
        _EXTRAS[cls.kind] = cls()

    def check(self, values: Mapping[str, Scalar], model: Any, vae: Any) -> None:
        """Raises ValueError before anything is sampled if the settings can't work here."""

    def prepare(self, view: View, values: Mapping[str, Scalar]) -> View:
        """Changes the view before it is encoded (fill under the mask)."""
        return view

    def patch(self, moment: Moment, values: Mapping[str, Scalar]) -> Moment:
        """Changes what is sampled (patch a clone of the model: `moment.model.clone()`)."""
        return moment

    def finish(self, pixels: Tensor, view: View, values: Mapping[str, Scalar]) -> Tensor:
        """Changes the decoded pixels before the lens puts them back; `view` is what `prepare` returned."""
        return pixels


_EXTRAS: dict[str, StepExtra] = {}


def step_extra(extra: Extra) -> tuple[StepExtra, dict[str, Scalar]]:
    """What `extra` does, and its settings. Raises ValueError for a kind that this version lacks."""
    if extra.kind not in _EXTRAS:
        raise ValueError(f"This plan asks for {extra.kind!r}, which this version of ISI lacks.")
    return _EXTRAS[extra.kind], dict(extra.values)
