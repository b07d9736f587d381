"""What a step is about to sample, and the two kinds of things that may change it: extras and conditioners.

An *extra* is named by the plan (`core.loop.plan.Extra`) and looked up by its kind in `host.extras`. A
*conditioner* is an object that the user connects (ISI_CONDITIONER). Both are called once a step, with the
picture as it is at that step, so that ControlNet hints and concat models follow the moving picture. Both
declare what they need, and `StepSampler.check` holds a run to it before anything is sampled.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, TypeVar

from torch import Tensor

from ...core.loop.lens import View
from ...core.loop.plan import Extra, ExtraValue, Plan, Step


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


@dataclass(frozen=True)
class Sight:
    """What a text encoder may look at besides its text: the picture of the step, as `Moment` has it."""

    model: Any
    vae: Any
    pixels: Tensor | None


@dataclass(frozen=True)
class Needs:
    """What something can't do without. `who` names it in a sentence.

    `picture`: one to start from; `alone`: and no batch of them; `channels` and `factor`: a VAE with so many
    latent channels, which shrinks pictures by so much (None: any).
    """

    who: str
    picture: bool = False
    alone: bool = False
    channels: int | None = None
    factor: int | None = None

    def check(self, vae: Any, pictures: int) -> None:
        """Raises ValueError where a run of `pictures` at once (0: from nothing) lacks what is needed."""
        self.check_vae(vae)
        if self.picture and not pictures:
            raise ValueError(
                f"Expected a picture for {self.who}, but the first step starts from nothing: connect an "
                "image to ISI Iterate."
            )
        if self.alone and pictures > 1:
            raise ValueError(
                f"Expected one picture for {self.who}, but got a batch of {pictures}: connect one image to "
                "ISI Iterate."
            )

    def check_vae(self, vae: Any) -> None:
        """Raises ValueError where the VAE makes other latents than are needed."""
        channels, factor = vae.latent_channels, vae.spacial_compression_encode()
        if self.channels in (None, channels) and self.factor in (None, factor):
            return
        raise ValueError(
            f"Expected a VAE with {self.channels} latent channels"
            + (f" that shrinks by {self.factor}" if self.factor else "")
            + f" for {self.who}, but got one with {channels} that shrinks by {factor}: connect the VAE that "
            "belongs to this model."
        )


@dataclass(frozen=True, eq=False)
class Conditioner:
    """Base of ISI_CONDITIONER values. Stateless between steps: the same moment gives the same result.

    `before` acts first; `chain` has all of them, so that a conditioner need not know the one before it.
    """

    controls: ClassVar[bool] = False
    """Whether a step's own `control` is heeded."""
    looks: ClassVar[bool] = False
    """Whether `encode` looks at the picture, so that one text is encoded anew at each step."""

    before: Conditioner | None = field(default=None, kw_only=True)

    def needs(self, model: Any) -> Needs | None:
        """What this conditioner can't do without on this model."""
        return None

    def check(self, model: Any, vae: Any, plan: Plan) -> None:
        """Raises ValueError before anything is sampled if this conditioner can't serve this model."""

    def check_whole(self, plan: Plan, who: str) -> None:
        """Raises ValueError for a step that does not work on the whole picture, as what `who` names must."""
        for number, step in enumerate(plan.steps, 1):
            if not step.lens.whole:
                raise ValueError(
                    f"{who} is for whole pictures, and step {number} of the plan works on a part or a larger "
                    "canvas: disconnect it, or use a plan of ISI Script."
                )

    def identity(self) -> Any:
        """All that the result depends on (models, tensors, numbers); `host.keys` hashes it."""
        raise NotImplementedError

    def reads(self, model: Any) -> bool:
        """Whether `encode` takes the place of the host's text encoding on this model. One of a chain may."""
        return False

    def check_clip(self, clip: Any, model: Any) -> None:
        """Raises ValueError for a CLIP that `encode` can't use. Asked of one that reads."""

    def encode(self, clip: Any, text: str, sight: Sight, negative: bool) -> list:
        """CONDITIONING of a text of the step, which is part of its negative or not."""
        raise NotImplementedError

    def condition(self, moment: Moment) -> Moment:
        """The moment with its model, conditioning or latent changed."""
        raise NotImplementedError


def chain(conditioner: Conditioner | None) -> tuple[Conditioner, ...]:
    """A conditioner and all before it, in the order in which they act."""
    return () if conditioner is None else (*chain(conditioner.before), conditioner)


def reader_of(conditioner: Conditioner | None, model: Any) -> Conditioner | None:
    """The one of a chain that encodes texts in its own way, if there is one. Raises ValueError for two."""
    readers = [one for one in chain(conditioner) if one.reads(model)]
    if len(readers) > 1:
        raise ValueError(
            "Two of the conditioners of ISI Iterate encode the text in their own way (ISI Regions, ISI ELLA "
            "Conditioner, or ISI Reference Conditioner with an encode node of its family): disconnect one."
        )
    return next(iter(readers), None)


def check_control(plan: Plan, conditioner: Conditioner | None) -> None:
    """Raises ValueError for a step with a strength of its own for ControlNets, where there are none."""
    if any(one.controls for one in chain(conditioner)):
        return
    for number, step in enumerate(plan.steps, 1):
        if step.control is not None:
            raise ValueError(
                f"Step {number} of the plan sets @control, and no ISI ControlNet Conditioner is connected to "
                "ISI Iterate: connect one, or leave the setting out."
            )


V = TypeVar("V", bound=ExtraValue)


class StepExtra(Generic[V]):
    """Base of what an extra does. A subclass names its `value` and overrides what it needs to."""

    value: type[V]

    def needs(self, value: V) -> Needs | None:
        """What this extra can't do without."""
        return None

    def check(self, value: V, model: Any, vae: Any) -> None:
        """Raises ValueError before anything is sampled if the settings can't work here."""

    def prepare(self, view: View, value: V) -> View:
        """Changes the view before it is encoded (fill under the mask)."""
        return view

    def vae(self, vae: Any, value: V, model: Any) -> Any:
        """The VAE that pictures of this step go through."""
        return vae

    def patch(self, moment: Moment, value: V) -> Moment:
        """Changes what is sampled (patch a clone of the model: `moment.model.clone()`)."""
        return moment

    def finish(self, pixels: Tensor, view: View, value: V) -> Tensor:
        """Changes the decoded pixels before the lens puts them back; `view` is what `prepare` returned."""
        return pixels


Extras = Mapping[str, StepExtra]
"""What each kind of extra does."""


def bound(extra: Extra, extras: Extras) -> tuple[StepExtra, ExtraValue]:
    """What `extra` does, and its settings. Raises ValueError for a kind or setting this version lacks."""
    if extra.kind not in extras:
        raise ValueError(f"This plan asks for {extra.kind!r}, which this version of ISI lacks.")
    does = extras[extra.kind]
    return does, does.value.from_extra(extra)
