"""UNets in diffusers' layout, renamed to the names that the host's own UNet has.

The host knows some of them by their channels and depths (`unet_config_from_diffusers_unet`) and gives up on
5, 7, 8 and 12 channels. Its table of names (`unet_to_diffusers`) works for every depth, so the depths are
counted here, and everything after the renaming is left to the host's loader.
"""

from __future__ import annotations

from typing import Any

import comfy.utils
from torch import Tensor

LABELS = ("class_embedding.weight", "label_emb.weight")
"""The x4 upscaler's table of noise levels, which the host's table of names lacks."""


def from_diffusers(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same weights under LDM's names. Raises ValueError for a name that has no counterpart."""
    names = comfy.utils.unet_to_diffusers(_depths(weights))
    names[LABELS[0]] = LABELS[1]
    strangers = [name for name in weights if name not in names]
    if strangers:
        raise ValueError(
            f"Expected a UNet in diffusers' layout, but {len(strangers)} of its tensors have no place in "
            f"ComfyUI's UNet, the first is {strangers[0]!r}: get the single-file version of this model."
        )
    return {names[name]: weight for name, weight in weights.items()}


def _depths(weights: dict[str, Tensor]) -> dict[str, Any]:
    """Blocks and transformer layers of each level, as the host's configurations have them."""
    levels = _count(weights, "down_blocks.{}.")
    resnets = [_count(weights, f"down_blocks.{level}.resnets.{{}}.") for level in range(levels)]
    down = [
        _transformers(weights, f"down_blocks.{level}.attentions.{i}.")
        for level in range(levels)
        for i in range(resnets[level])
    ]
    up = [
        _transformers(weights, f"up_blocks.{level}.attentions.{i}.")
        for level in range(levels)
        for i in range(resnets[-1 - level] + 1)
    ]
    return {
        "num_res_blocks": resnets,
        "channel_mult": [1] * levels,  # only its length matters for names
        "transformer_depth": down,
        "transformer_depth_output": up[::-1],  # the host takes them from its end
        "transformer_depth_middle": _transformers(weights, "mid_block.attentions.0."),
    }


def _transformers(weights: dict[str, Tensor], start: str) -> int:
    return _count(weights, start + "transformer_blocks.{}.")


def _count(weights: dict[str, Tensor], pattern: str) -> int:
    count = 0
    while any(name.startswith(pattern.format(count)) for name in weights):
        count += 1
    return count
