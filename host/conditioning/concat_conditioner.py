"""A concat-conditioned model that follows the moving picture of an iterative run."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from ...core.loop.lens import resize
from ...core.loop.plan import Plan
from ...core.models.kinds import ModelKind, describe
from ..loop.moment import Conditioner, Moment, Needs, chain
from ..models.model_kind import kind_of_model
from .concat import Sources, check_kind, check_sources, needs_of, prepare
from .concat_patch import patched, with_concat
from .edit_guider import Scale, with_image_guidance

NODE = "ISI Concat Conditioner"


@dataclass(frozen=True, eq=False)
class ConcatConditioner(Conditioner):
    """Gives the model its channels, made of the picture that each step starts from.

    `kind` is `auto` or the user's choice. `image_cfg` is the image scale of instruct-pix2pix (1: off), for
    any sampler. `sources` has everything but the picture.
    """

    kind: str
    image_cfg: float
    sources: Sources

    def needs(self, model: Any) -> Needs:
        found = self._found(model)
        check_kind(found)
        return needs_of(found)

    def check(self, model: Any, vae: Any, plan: Plan) -> None:
        found = self._found(model)
        check_sources(found, self.sources, NODE)
        given = {name for name in ("depth", "background") if getattr(self.sources, name) is not None}
        # The picture and the mask may come with the step.
        missing = [name for name in found.facts.needs if name not in given | {"image", "mask", "vae"}]
        if missing:
            raise ValueError(
                f"Expected {' and '.join(missing)} for {describe(found)}, but nothing is connected there: "
                f"connect {' and '.join(missing)} to {NODE}."
            )

    def identity(self) -> Any:
        return ["concat", self.kind, self.image_cfg, self.sources]

    def condition(self, moment: Moment) -> Moment:
        found = self._found(moment.model)
        made = prepare(found, moment.model, moment.vae, self._sources(moment, found), NODE)
        model = patched(moment.model, found, made.concat)
        if found.kind == "instruct-pix2pix":
            model = with_image_guidance(model, Scale(self.image_cfg))
        return replace(
            moment,
            model=model,
            positive=with_concat(moment.positive, made.concat),
            negative=with_concat(moment.negative, made.concat),
        )

    def _found(self, model: Any) -> ModelKind:
        return kind_of_model(model).decided(self.kind)

    def _sources(self, moment: Moment, found: ModelKind) -> Sources:
        pixels = moment.pixels
        if pixels is not None and found.kind == "upscale-x4":
            # The view is as large as the result; the model takes it at a quarter of that.
            pixels = resize(pixels, *moment.latent["samples"].shape[-2:])
        mask = moment.latent.get("noise_mask") if self.sources.mask is None else self.sources.mask
        return replace(self.sources, image=pixels, mask=mask)


class OwnMask(ConcatConditioner):
    """Gives an inpainting model the picture and the mask of each step that has both: nothing else is asked
    for, so that it runs where a model without further channels does."""

    def needs(self, model: Any) -> Needs:
        return replace(super().needs(model), picture=False)

    def condition(self, moment: Moment) -> Moment:
        known = moment.pixels is not None and "noise_mask" in moment.latent
        return super().condition(moment) if known else moment


def with_own_mask(model: Any, conditioner: Conditioner | None) -> Conditioner | None:
    """`conditioner`, and after it an OwnMask if the model is an inpainting one that none of them serves."""
    served = any(isinstance(one, ConcatConditioner) for one in chain(conditioner))
    if served or kind_of_model(model).kind != "inpaint":
        return conditioner
    return OwnMask("auto", 1.0, Sources(), before=conditioner)
