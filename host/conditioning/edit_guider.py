"""InstructPix2Pix's three-way guidance: by text as the host does it, by image on top of that."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import comfy.conds
import comfy.samplers
import torch
from torch import Tensor

from ...core.loop.schedule import Curve, denoise_curve
from ...core.loop.sigmas import step_of
from ...core.models.concat import image_guidance
from ...core.models.kinds import ModelKind, describe


@dataclass(frozen=True)
class Scale:
    """A guidance scale that goes from `start` at the first step to `end` at the last along a curve."""

    start: float
    end: float = 1.0
    curve: Curve = "constant"

    def at(self, sigma: Tensor, model_options: dict) -> float:
        """The scale in the step that a sampler which calls the model at `sigma` `[B]` is in."""
        sigmas = model_options["transformer_options"]["sample_sigmas"]
        values = denoise_curve(self.curve, self.start, self.end, len(sigmas) - 1)
        return values[int(step_of(sigma[0], sigmas))]

    @property
    def off(self) -> bool:
        """Whether it is 1 throughout."""
        return self.start == 1 and (self.curve == "constant" or self.end == 1)


class EditGuider(comfy.samplers.CFGGuider):
    """A guider whose two scales may change from step to step. With an image scale of 1 it is CFGGuider."""

    def __init__(self, model: Any, positive: list, negative: list, text_cfg: Scale, image_cfg: Scale):
        super().__init__(with_image_guidance(model, image_cfg))
        self.text_cfg = text_cfg
        self.set_conds(positive, negative)

    def predict_noise(self, x, timestep, model_options={}, seed=None):  # noqa: B006 (the host's signature)
        self.set_cfg(self.text_cfg.at(timestep, model_options))
        return super().predict_noise(x, timestep, model_options, seed)


def with_image_guidance(model: Any, image_cfg: Scale) -> Any:
    """A clone of an instruct-pix2pix model that any sampler guides by image as well as by text.

    The model itself if `image_cfg` is 1 throughout.
    """
    if image_cfg.off:
        return model
    clone = model.clone()
    clone.set_model_sampler_post_cfg_function(_ImageGuidance(image_cfg), disable_cfg1_optimization=True)
    return clone


def check_edit_model(found: ModelKind) -> None:
    """Raises ValueError if a model can't be guided by image."""
    if "instruct-pix2pix" not in found.candidates:
        raise ValueError(
            f"Expected an instruct-pix2pix model, but got {describe(found)}: connect the model that ISI "
            "Concat Conditioning made of an instruct-pix2pix checkpoint, or use CFGGuider."
        )


@dataclass(frozen=True)
class _ImageGuidance:
    """A post-CFG function; it asks the model once more, without text and without image."""

    image_cfg: Scale

    def __call__(self, args: dict) -> Tensor:
        scale = self.image_cfg.at(args["sigma"], args["model_options"])
        if scale == 1:
            return args["denoised"]
        # Second in the list, so that patches that tell text from no text by `cond_or_uncond` see 1.
        conds: list = [None, [_without_image(cond) for cond in args["uncond"]]]
        _, unguided = comfy.samplers.calc_cond_batch(
            args["model"], conds, args["input"], args["sigma"], args["model_options"]
        )
        return image_guidance(args["denoised"], args["uncond_denoised"], unguided, scale)


def _without_image(cond: dict) -> dict:
    """An encoded conditioning whose picture is InstructPix2Pix's null image: zeros in latent space."""
    picture = cond["model_conds"]["c_concat"]
    blank = comfy.conds.CONDNoiseShape(torch.zeros_like(picture.cond))
    return cond | {"model_conds": cond["model_conds"] | {"c_concat": blank}}
