"""The kind of a loaded MODEL: from its first convolution as it will be when patched, and its host class."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import comfy.supported_models as supported
from comfy.model_base import ModelType, Stable_Zero123

from ...core.models.detect_transformer import detect_transformer
from ...core.models.detect_unet import kinds_by_shape
from ...core.models.header import Header
from ...core.models.kinds import ModelKind

ATTACHMENT = "isi_model_kind"
"""Attachment of a ModelPatcher that names its kind; clones keep it. Set by ISI_LoadConcatModel."""

CONV_IN = "diffusion_model.input_blocks.0.0.weight"

OURS = "isi"
"""Option of a weight patch by which ISI IC-Light widens the first convolution."""

# (configuration class, family), subclasses before their bases.
FAMILIES = (
    (supported.SD_X4Upscaler, "x4"),
    (supported.SVD_img2vid, "SVD"),
    (supported.SDXLRefiner, "SDXL refiner"),
    (supported.SDXL, "SDXL"),
    (supported.SD20, "SD2"),
    (supported.Stable_Zero123, "SD1"),
    (supported.SD15, "SD1"),
)


def kind_of_model(model: Any) -> ModelKind:
    """What a MODEL (ModelPatcher) is. An IC-Light patch on it counts: 8 or 12 channels after padding."""
    padded = padded_channels(model)
    found = model.get_attachment(ATTACHMENT)
    if padded is None and found is not None:
        return found
    base = model.model
    family = next((name for config, name in FAMILIES if isinstance(base.model_config, config)), None)
    if family is None or not hasattr(base.diffusion_model, "input_blocks"):
        return _other(base)
    own = conv_in(base).in_channels
    if padded is not None:
        kind = {8: "ic-light-fc", 12: "ic-light-fbc"}.get(padded, "unknown")
        note = f"The weights have {own} input channels; an IC-Light patch makes them {padded}."
        return ModelKind(kind, padded, family, "loaded", "MODEL", notes=(note,))
    kinds = ("zero123",) if isinstance(base, Stable_Zero123) else kinds_by_shape(family, own, alone=False)
    scaled = base.model_type == ModelType.V_PREDICTION_EDM
    return ModelKind(" | ".join(kinds), own, family, "loaded", "MODEL", scaled)


def conv_in(base: Any) -> Any:
    """The first convolution of a UNet as it was built.

    Its weight is padded while a model with an IC-Light patch is loaded, and the configuration is shared by
    all clones and written by other packs: the layer's own numbers are neither.
    """
    return base.diffusion_model.input_blocks[0][0]


def padded_channels(model: Any) -> int | None:
    """Input channels after a patch that pads the first convolution; None without such a patch."""
    for _, value, *_ in reversed(model.patches.get(CONV_IN, [])):
        # The host keeps ("diff", [difference, {"pad_weight": True}]).
        if isinstance(value, tuple) and len(value) == 2 and value[0] == "diff":
            difference, *options = value[1]
            if options and options[0].get("pad_weight"):
                return difference.shape[1]
    return None


def _other(base: Any) -> ModelKind:
    """A transformer by the names and shapes of its weights, as in a file; else the host's own name for it."""
    weights = base.diffusion_model.state_dict()
    shapes = {name: tuple(weight.shape) for name, weight in weights.items()}
    header = Header(shapes, {name: str(weight.dtype) for name, weight in weights.items()})
    found = detect_transformer(header)
    if found is not None:
        return replace(found, layout="loaded", role="MODEL")
    return ModelKind("unknown", None, type(base.model_config).__name__, "loaded", "MODEL")
