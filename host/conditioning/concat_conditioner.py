"""A concat-conditioned model that follows the moving picture of an iterative run."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from ...core.loop.lens import resize
from ...core.loop.plan import Plan
from ...core.models.kinds import ModelKind, describe
from ..loop.moment import Conditioner, Moment
from ..models.model_kind import kind_of_model
from .concat import Sources, check_vae, prepare
from .concat_patch import patched, with_concat
from .edit_guider import Schedule, with_image_guidance

NODE = "ISI Concat Conditioner"


@dataclass(frozen=True, eq=False)
class ConcatConditioner(Conditioner):
    """Gives the model its channels, made of the picture that each step starts from.

    `kind` is `auto` or the user's choice. `image_cfg` is the image scale of instruct-pix2pix (1: off), for
    any sampler. `sources` has everything but the picture. `before` is a conditioner that acts first.
    """

    kind: str
    image_cfg: float
    sources: Sources
    before: Conditioner | None = None

    def check(self, model: Any, vae: Any, plan: Plan) -> None:
        if self.before:
            self.before.check(model, vae, plan)
        found = self._found(model)
        check_vae(found, vae)
        given = {name for name in ("depth", "background") if getattr(self.sources, name) is not None}
        # The picture and the mask may come with the step.
        missing = [name for name in found.facts.needs if name not in given | {"image", "mask", "vae"}]
        if missing:
            raise ValueError(
                f"Expected {' and '.join(missing)} for {describe(found)}, but nothing is connected there: "
                f"connect {' and '.join(missing)} to {NODE}."
            )

    def identity(self) -> Any:
        earlier = self.before.identity() if self.before else None
        return ["concat", earlier, self.kind, self.image_cfg, self.sources]

    def condition(self, moment: Moment) -> Moment:
        if self.before:
            moment = self.before.condition(moment)
        found = self._found(moment.model)
        made = prepare(found, moment.model, moment.vae, self._sources(moment, found), NODE)
        model = patched(moment.model, found, made.concat)
        if found.kind == "instruct-pix2pix":
            model = with_image_guidance(model, Schedule(self.image_cfg))
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
        if pixels is None and "image" in found.facts.needs:
            raise ValueError(
                f"Expected a picture for {describe(found)}, but the first step starts from nothing: connect "
                "an image to ISI Iterate."
            )
        if pixels is not None and found.kind == "upscale-x4":
            # The view is as large as the result; the model takes it at a quarter of that.
            pixels = resize(pixels, *moment.latent["samples"].shape[-2:])
        mask = moment.latent.get("noise_mask") if self.sources.mask is None else self.sources.mask
        return replace(self.sources, image=pixels, mask=mask)
