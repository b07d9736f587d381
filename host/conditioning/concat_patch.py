"""Hands a `Concat` to the UNet of a loaded model, through patches on a clone of it.

The channels travel in the conditioning, under `KEY`, as a `Concat` that fills any latent; an object patch on
a clone of the model takes them from there. Conditioning that lacks them (a negative from elsewhere) gets
those of the clone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import comfy.conds
import comfy.lora
import torch
from comfy.patcher_extension import WrappersMP
from torch import Tensor

from ...core.models.concat import Concat
from ...core.models.kinds import NOISE, ModelKind, describe
from ..models.model_kind import CONV_IN, OURS, conv_in

KEY = "isi_concat"


def patched(model: Any, found: ModelKind, concat: Concat) -> Any:
    """A clone of `model` whose UNet gets the channels that its conditioning carries, else `concat`'s."""
    clone = model.clone()
    channels = _ConcatCond(concat, found)
    if found.kind == "upscale-x4":
        clone.add_object_patch("extra_conds", _UpscalerConds(clone.model, channels))
    else:
        clone.add_object_patch("concat_cond", channels)
    clone.remove_wrappers_with_key(WrappersMP.OUTER_SAMPLE, KEY)
    clone.add_wrapper_with_key(WrappersMP.OUTER_SAMPLE, KEY, preflight)
    clone.remove_wrappers_with_key(WrappersMP.DIFFUSION_MODEL, KEY)
    if found.facts.parts[0] != NOISE:
        clone.add_wrapper_with_key(WrappersMP.DIFFUSION_MODEL, KEY, _noise_last)
    return clone


def with_concat(conditioning: list, concat: Concat) -> list:
    """The conditioning with `concat` in each of its entries."""
    return [[embedding, values | {KEY: concat}] for embedding, values in conditioning]


def preflight(executor: Callable, noise: Tensor, *args: Any, **kwargs: Any) -> Any:
    """An OUTER_SAMPLE wrapper: what can be known to go wrong is said before the first step."""
    patcher = executor.class_obj.model_patcher
    expected = patcher.get_model_object("latent_format").latent_channels
    if noise.dim() != 4 or noise.shape[1] != expected:
        raise ValueError(
            f"Expected a latent with {expected} channels, but got one of shape {tuple(noise.shape)}: connect "
            "the latent of the node that made the conditioning."
        )
    check_conv_in(patcher)
    return executor(noise, *args, **kwargs)


def check_conv_in(patcher: Any) -> None:
    """Raises ValueError if a patch of the first convolution does not fit the weight that ISI widened.

    The host drops such a patch with a line in the log: a LoRA for 4 channels that comes after IC-Light's
    padding loses a layer that it would have before it. On a model that was made with more channels the host
    skips the layer of a LoRA or of a merged model with 4, as all its own nodes do, and so does ISI.
    """
    layer = conv_in(patcher.model)
    weight = torch.zeros(layer.out_channels, layer.in_channels, 3, 3)
    patches = patcher.patches.get(CONV_IN, [])
    widened = next((i for i, patch in enumerate(patches) if _is_ours(patch[1])), len(patches))
    for i, patch in enumerate(patches):
        if isinstance(patch[1], tuple) and patch[1][0] in ("set", "model_as_lora"):
            continue
        before = weight
        weight = comfy.lora.calculate_weight([patch], before.clone(), CONV_IN)
        if i > widened and patch[0] != 0 and torch.equal(weight, before) and not _is_zero(patch[1]):
            raise ValueError(
                "Expected weight patches that fit the first convolution of this model, which has "
                f"{weight.shape[1]} input channels at that point, but a LoRA is for another number of them: "
                "connect that LoRA before ISI IC-Light, or use one that was trained for this kind of model."
            )


def _is_ours(value: Any) -> bool:
    """Whether a weight patch is one by which ISI IC-Light widens the first convolution."""
    return isinstance(value, tuple) and value[0] == "diff" and any(OURS in part for part in value[1][1:])


def _is_zero(value: Any) -> bool:
    """Whether a weight patch changes nothing by itself, such as a LoRA that was never trained."""
    tensors = getattr(value, "weights", value)
    tensors = tensors[1] if isinstance(tensors, tuple) and tensors[0] == "diff" else tensors
    return any(torch.is_tensor(tensor) and not tensor.any() for tensor in tensors)


@dataclass(frozen=True, eq=False)
class _ConcatCond:
    """Takes the place of `BaseModel.concat_cond` on one clone."""

    default: Concat
    found: ModelKind

    def __call__(self, noise: Tensor, device: torch.device, **kwargs: Any) -> Tensor:
        concat: Concat = kwargs.get(KEY, self.default)
        batch, _, height, width = noise.shape
        channels = concat.at(batch, height, width).to(device)
        if channels.shape[1] + NOISE[0] != self.found.channels:
            raise ValueError(
                f"Expected conditioning for {describe(self.found)}, but some of it was made for a model with "
                f"{channels.shape[1] + NOISE[0]} input channels: connect positive and negative of the node "
                "that the model comes from."
            )
        return channels


@dataclass(frozen=True, eq=False)
class _UpscalerConds:
    """Takes the place of `SD_X4Upscaler.extra_conds` on one clone: exact noise levels, its own seed."""

    base: Any
    channels: _ConcatCond

    def __call__(self, noise: Tensor, device: torch.device, **kwargs: Any) -> dict:
        concat: Concat = kwargs.get(KEY, self.channels.default)
        # Level 0 of the host is no noise and no reseeding of the global generator; the label comes after.
        picture = self.channels(noise, device, **kwargs)
        kwargs |= {"concat_image": picture, "noise_augmentation": 0.0}
        out = type(self.base).extra_conds(self.base, noise=noise, device=device, **kwargs)
        out["y"] = comfy.conds.CONDRegular(torch.tensor([concat.label], device=device))
        return out


def _noise_last(executor: Callable, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """A DIFFUSION_MODEL wrapper for models that were trained with the picture before the noisy latent."""
    return executor(torch.cat([x[:, 4:], x[:, :4]], dim=1), *args, **kwargs)
