"""How a model sees pixels, told from the header of its file by the host's own detection."""

from __future__ import annotations

from typing import Any

import comfy.latent_formats
import comfy.model_detection
import comfy.utils
import torch

from ...core.models.header import Header
from ...core.tiles.tiling import AUTO_TILE
from . import mini

SMALL_AUTO_TILE = 768
"""Longest side of an automatic tile for SD 1.x and 2.x, which were trained at 512 and 768 pixels."""
MOST_TENSORS = 20_000
"""No model has more; a stranger's file with more is not looked at."""


def auto_tile(form: comfy.latent_formats.LatentFormat) -> int:
    """Longest side in pixels of an automatic tile, by a model's latent format."""
    # Subclasses of SD15 are other models' formats.
    return SMALL_AUTO_TILE if type(form) is comfy.latent_formats.SD15 else AUTO_TILE


def geometry_of(form: comfy.latent_formats.LatentFormat) -> dict[str, int]:
    """`ratio` pixels a latent cell, `channels` of a latent, the `auto` tile in pixels."""
    return {
        "ratio": form.spacial_downscale_ratio,
        "channels": form.latent_channels,
        "auto": auto_tile(form),
    }


def geometry_of_file(header: Header) -> dict[str, int] | None:
    """The geometry of the model in a file; None where shapes alone don't tell the host."""
    if len(header.shapes) > MOST_TENSORS:
        return None
    detection: Any = comfy.model_detection
    try:
        weights = {name: torch.empty(shape, device="meta") for name, shape in header.shapes.items()}
        prefix = detection.unet_prefix_from_state_dict(weights)
        inner = comfy.utils.state_dict_prefix_replace(dict(weights), {prefix: ""}, filter_keys=True)
        config = detection.model_config_from_unet(inner or weights, "")
        if config is None and (converted := detection.convert_diffusers_mmdit(dict(weights), "")):
            config = detection.model_config_from_unet(converted, "")
        if config is None:
            config = detection.model_config_from_diffusers_unet(weights)
    except Exception:  # the host looks into values, or expects names that another kind of file lacks
        return None
    return None if config is None else geometry_of(config.latent_format)


def geometry_of_mini(kind: str) -> dict[str, int]:
    """The geometry of an embedded mini model. Raises ValueError for a kind that there is not."""
    if kind not in mini.KINDS:
        raise ValueError(f"There is no mini model {kind[:40]!r}: expected one of {', '.join(mini.KINDS)}.")
    config: Any = mini.SUPPORTED.get(kind, mini.MiniSD15)
    return geometry_of(config.latent_format())
