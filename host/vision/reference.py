"""An edit model that follows the moving picture of an iterative run: Flux Kontext, Qwen-Image-Edit, more."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import node_helpers
import torch
from torch import Tensor

from ...core.loop.plan import Plan
from ..loop.moment import Conditioner, Moment, Needs, Sight
from .families import FAMILIES, Family, Seen, family_of

NODE = "ISI Reference Conditioner"
METHODS = ["auto", "offset", "index", "uxo/uno", "index_timestep_zero"]


@dataclass(frozen=True, eq=False)
class ReferenceConditioner(Conditioner):
    """Gives the model the picture that each step starts from as its reference, and `images` after it.

    `method` is how references are told apart ("auto": the model's own way). `scale` is for the families that
    leave the size of references to the user: on, as they were trained. `images` are fixed pictures
    `[1 or B, H, W, C]`, `encoder` one of `ENCODERS`, `clip_vision` what Z-Image Omni looks with.
    """

    looks: ClassVar[bool] = True

    method: str
    scale: bool
    images: tuple[Tensor, ...]
    encoder: str = "auto"
    clip_vision: Any = None

    def needs(self, model: Any) -> Needs:
        family = family_of(model, self.encoder)
        if family is None or family.encode is None:
            return Needs("an edit model", picture=True)
        # The host's encode nodes look at the first of a batch alone.
        return Needs(family.name, picture=True, alone=True)

    def check(self, model: Any, vae: Any, plan: Plan) -> None:
        family = family_of(model, self.encoder)
        if family is None:
            names = ", ".join(one.name for one in FAMILIES.values())
            raise ValueError(
                f"Expected an edit model ({names}) for {NODE}, but got {type(model.model).__name__}: "
                "connect one, use ISI Concat Conditioner for an instruct-pix2pix model, or put references of "
                "your own on with ISI Apply Conditioning."
            )
        self._check_method(family, model)
        self._check_images(family)
        self._check_vision(family, model)

    def _check_method(self, family: Family, model: Any) -> None:
        if self.method != "auto" and not family.methods:
            raise ValueError(
                f"{family.name} tells references apart in one way alone: choose the method auto in {NODE}."
            )
        kind = type(model.model).__name__
        if (
            self.method == "index_timestep_zero"
            and kind == "Flux"
            and model.model.diffusion_model.params.vec_in_dim
        ):
            # The host doubles its time embedding for this method, and not the pooled text beside it.
            raise ValueError(
                "The method index_timestep_zero is not for models that take a pooled text, as Flux.1 does: "
                f"choose auto in {NODE}."
            )

    def _check_images(self, family: Family) -> None:
        count = 1 + len(self.images)
        if family.most is not None and count > family.most:
            raise ValueError(
                f"{family.name} takes {family.most} pictures at most, and {NODE} has {count}, the moving one "
                "included: disconnect the others."
            )
        if not all(image.numel() and torch.isfinite(image).all() for image in self.images):
            raise ValueError(
                f"Expected pictures in image2 to image4 of {NODE}, but one is empty, or has NaN or infinite "
                "values: connect another one."
            )
        if family.encode is not None and any(len(image) > 1 for image in self.images):
            raise ValueError(
                f"{family.name} takes one picture in each of image2 to image4 of {NODE}, but got a batch: "
                "connect single pictures."
            )

    def _check_vision(self, family: Family, model: Any) -> None:
        if self.clip_vision is None:
            return
        if family is not FAMILIES["Lumina2"]:
            raise ValueError(
                f"{family.name} looks at pictures without a CLIP vision: disconnect clip_vision of {NODE}."
            )
        expected = model.model.diffusion_model.siglip_embedder[1].in_features
        got = self.clip_vision.config.get("hidden_size")
        if expected != got or self.clip_vision.model_type != "siglip2_vision_model":
            raise ValueError(
                f"Expected a SigLIP 2 of {expected} channels in clip_vision of {NODE}, but got "
                f"{self.clip_vision.model_type} of {got}: load the CLIP vision that belongs to {family.name}."
            )

    def identity(self) -> Any:
        return ["reference", self.method, self.scale, self.encoder, self.clip_vision, self.images]

    def reads(self, model: Any) -> bool:
        family = family_of(model, self.encoder)
        return family is not None and family.encode is not None

    def check_clip(self, clip: Any, model: Any) -> None:
        _family(model, self.encoder).check_clip(clip)

    def encode(self, clip: Any, text: str, sight: Sight, negative: bool) -> list:
        node = _family(sight.model, self.encoder).encode
        assert node is not None  # it `reads`
        pictures = self._pictures(sight.pixels)
        return node(Seen(clip, text, negative, sight.vae, pictures, self.scale, self.clip_vision))

    def condition(self, moment: Moment) -> Moment:
        family = _family(moment.model, self.encoder)
        values: dict[str, Any] = {} if self.method == "auto" else {"reference_latents_method": self.method}
        if self.method == "uxo/uno":
            values["reference_latents_method"] = "uxo"
        references = {}
        if family.refer is not None:
            found = family.refer(moment.vae, self._pictures(moment.pixels), self.scale)
            references = {"reference_latents": found}
        if hasattr(moment.model.model.diffusion_model, "clear_kv_cache"):
            # HiDream-O1 knows what it has computed by a picture's address, which a later one may have.
            moment.model.model.diffusion_model.clear_kv_cache()

        def with_references(conditioning: list) -> list:
            conditioning = node_helpers.conditioning_set_values(conditioning, references, append=True)
            return node_helpers.conditioning_set_values(conditioning, values)

        # On both, so that guidance is by the words alone.
        return replace(
            moment,
            positive=with_references(moment.positive),
            negative=with_references(moment.negative),
        )

    def _pictures(self, pixels: Tensor | None) -> list[Tensor]:
        assert pixels is not None  # `needs` has one
        return [rgb(picture) for picture in (pixels, *self.images)]


def _family(model: Any, encoder: str) -> Family:
    family = family_of(model, encoder)
    assert family is not None  # `check` has one
    return family


def rgb(picture: Tensor) -> Tensor:
    """`[B, H, W, 3]` of a picture with or without alpha, or of one channel."""
    return picture[..., :3] if picture.shape[-1] >= 3 else picture[..., :1].expand(-1, -1, -1, 3)
