"""A picture seen by a CLIP vision, at each step of a loop: unCLIP, and style models such as Redux."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from ...core.loop.plan import Plan
from ..loop.moment import Conditioner, Moment, Needs
from .reference import rgb

NODE = "ISI CLIP Vision Conditioner"
CROPS = ["center", "none"]
STRENGTHS = ["multiply", "attn_bias"]


@dataclass(frozen=True, eq=False)
class ClipVisionConditioner(Conditioner):
    """Shows the model the picture that each step starts from, or `image` `[N, H, W, C]` at every step.

    Without a `style_model` by unCLIP, at `noise_augmentation` (0..1); with one by the tokens it makes, whose
    strength is of the kind `strength_type`. On the positive alone, as the host's nodes are used.
    """

    clip_vision: Any
    style_model: Any
    strength: float
    noise_augmentation: float
    strength_type: str
    crop: str
    image: Tensor | None

    def needs(self, model: Any) -> Needs | None:
        # Of a batch the host would show each picture all of them.
        return Needs(NODE, picture=True, alone=True) if self.image is None else None

    def check(self, model: Any, vae: Any, plan: Plan) -> None:
        if self.image is not None and not (self.image.numel() and torch.isfinite(self.image).all()):
            raise ValueError(
                f"Expected a picture in image of {NODE}, but it is empty, or has NaN or infinite values: "
                "connect another one."
            )
        augmentor: Any = getattr(model.model, "noise_augmentor", None)
        if self.style_model is None and not hasattr(augmentor, "data_mean"):
            raise ValueError(
                f"Expected an unCLIP model or SDXL for {NODE}, but got {type(model.model).__name__}: connect "
                "one, or a style model such as Redux to style_model."
            )
        seen = self._seen(torch.zeros(1, 64, 64, 3))
        if self.style_model is None:
            expected, got = augmentor.data_mean.shape[-1], seen.image_embeds.shape[-1]
            if expected != got:
                raise ValueError(
                    f"Expected a CLIP vision of {expected} values for this model in {NODE}, but got one of "
                    f"{got}: load the CLIP vision that belongs to it."
                )
            return
        try:
            self.style_model.get_cond(seen)
        except RuntimeError as error:
            raise ValueError(
                f"The style model of {NODE} does not fit its CLIP vision, of "
                f"{seen.last_hidden_state.shape[-1]} channels: load the CLIP vision that belongs to it."
            ) from error

    def identity(self) -> Any:
        return [
            "clip vision", self.clip_vision, self.style_model, self.strength, self.noise_augmentation,
            self.strength_type, self.crop, self.image,
        ]  # fmt: skip

    def condition(self, moment: Moment) -> Moment:
        picture = moment.pixels if self.image is None else self.image
        assert picture is not None  # `needs` has one
        if self.strength == 0:
            return moment
        # Imported here: should the host move them one day, every other node still loads.
        from nodes import StyleModelApply, unCLIPConditioning  # pyright: ignore[reportAttributeAccessIssue]

        seen = self._seen(picture)
        if self.style_model is None:
            (positive,) = unCLIPConditioning().apply_adm(
                moment.positive, seen, self.strength, self.noise_augmentation
            )
            return replace(moment, positive=positive)
        self._check_width(moment.positive, seen)
        (positive,) = StyleModelApply().apply_stylemodel(
            moment.positive, self.style_model, seen, self.strength, self.strength_type
        )
        return replace(moment, positive=positive)

    def _check_width(self, positive: list, seen: Any) -> None:
        made, text = self.style_model.get_cond(seen).shape[-1], positive[0][0].shape[-1]
        if made != text:
            raise ValueError(
                f"The style model of {NODE} makes tokens of {made} values, and the text of this model has "
                f"{text}: load the style model that belongs to it."
            )

    def _seen(self, picture: Tensor) -> Any:
        """What CLIPVisionEncode gives for `[N, H, W, C]`."""
        return self.clip_vision.encode_image(rgb(picture), crop=self.crop == "center")
