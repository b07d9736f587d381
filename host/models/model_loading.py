"""Loads any model file that detection knows, each with the host class that fits it, or says why not.

The host does the loading. What is added: diffusers' names for every count of input channels, prefixes that
the host doesn't strip, settings that it loses beside a bare UNet (CosXL), and the extra channels: the host
takes every model with more than four for an inpainting model, which then fails inside a convolution.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import comfy.sd
import comfy.utils
import folder_paths
from torch import Tensor

from ...core.models.detect import REFUSED
from ...core.models.detect_unet import DIFFUSERS_PREFIXES, LDM_PREFIXES
from ...core.models.kinds import DIT, ModelKind, describe, kind_facts, wrapped_by
from .diffusers_unet import from_diffusers
from .model_files import header_of, inspect, model_path
from .model_kind import ATTACHMENT

FILLED_BY_HOST = {"standard", "inpaint", "instruct-pix2pix", "upscale-x4", "zero123", "svd"}
"""Kinds whose extra channels the host's own classes fill."""

# A normalisation's weights: near 1 in a model, near 0 in the differences between two.
NORMS = ("input_blocks.1.0.in_layers.0.weight", "down_blocks.0.resnets.0.norm1.weight")
DELTA = "ic-light-delta"

# Settings that stand beside the UNet's weights in a file; the host reads them when it picks the sampling.
SETTINGS = ("edm_vpred.sigma_max", "edm_vpred.sigma_min", "edm_mean", "edm_std", "v_pred", "ztsnr")


@dataclass(frozen=True)
class Loaded:
    """What a file held: MODEL, CLIP (None without one), VAE (the host's empty one without one)."""

    model: Any
    clip: Any
    vae: Any


class Unfilled:
    """Takes the place of `concat_cond` until a conditioning node does, and says which node that is."""

    def __init__(self, found: ModelKind):
        self.found = found

    def __call__(self, **conds: Any) -> None:
        # Conditioning under this key brings the channels itself.
        if conds.get("noise_concat") is None:
            raise ValueError(
                f"Expected the extra channels of {describe(self.found)} {_filled_by(self.found)}."
            )


def load_model_file(file: str, kind: str = "auto", disable_dynamic: bool = False) -> Loaded:
    """Loads `FOLDER/NAME`; `kind` decides where the file is ambiguous. Raises ValueError with the reason."""
    found = inspect(file, kind)
    _check(file, found)
    weights, metadata = comfy.utils.load_torch_file(
        str(model_path(file)), safe_load=True, return_metadata=True
    )
    found = _without_delta(file, found, weights)
    if found.role == "checkpoint" and not found.layout.startswith("diffusers"):
        parts = comfy.sd.load_state_dict_guess_config(
            weights,
            embedding_directory=folder_paths.get_folder_paths("embeddings"),
            metadata=metadata,
            disable_dynamic=disable_dynamic,
        )
        model, clip, vae, _ = parts or (None, None, None, None)
    else:
        if not found.kind.startswith(DIT):
            weights = _bare(weights, found)
        model = comfy.sd.load_diffusion_model_state_dict(
            weights, metadata=metadata, disable_dynamic=disable_dynamic
        )
        clip, vae = None, comfy.sd.VAE(sd={})
    if model is None:
        raise ValueError(f"{file} is {describe(found)}, which this version of ComfyUI can't load.")
    _settle(model, found)
    for part, owner in (("model", model), ("clip", clip), ("vae", vae)):
        patcher: Any = owner if part == "model" else getattr(owner, "patcher", None)
        if patcher is not None:
            # The host loads a second copy through this, for a second device.
            patcher.cached_patcher_init = (load_patcher, (file, kind, part))
    return Loaded(model, clip, vae)


def load_patcher(file: str, kind: str, part: str, disable_dynamic: bool = False) -> Any:
    """The ModelPatcher of one part of a file, loaded afresh."""
    loaded = getattr(load_model_file(file, kind, disable_dynamic), part)
    return loaded if part == "model" else loaded.patcher


def _check(file: str, found: ModelKind) -> None:
    """Raises ValueError for what can't be loaded as a MODEL, before a byte of a tensor is read."""
    header = header_of(file)
    if header.missing:
        raise ValueError(f"{file} is cut short: {header.missing} bytes are missing. Download it again.")
    if found.wrapped:
        raise ValueError(f"{file} is {describe(found)}, but it {wrapped_by(found)}.")
    storage = next((name for name in REFUSED if name in found.layout), None)
    if storage:
        raise ValueError(
            f"{file} keeps its weights as {storage}, which ComfyUI can't load by itself: use the loader node "
            "of the extension made for that format, or get an fp16, bf16 or fp8 version."
        )
    # IC-Light's differences are told from a whole model by their values, later.
    if found.role not in ("checkpoint", "UNet", "IC-Light delta"):
        facts = kind_facts(found.kind)
        raise ValueError(
            f"Expected a diffusion model, but {file} is {facts.title}"
            + (f": use the node {facts.node}." if facts.node else ".")
        )
    if found.kind == "zero123" and "cc_projection.weight" not in header.shapes:
        raise ValueError(
            f"{file} is a Zero123 UNet without its projection: load the whole checkpoint instead."
        )
    if found.kind == "svd" and found.layout.startswith("diffusers"):
        raise ValueError(
            f"{file} is a Stable Video Diffusion UNet in diffusers' layout, which ComfyUI can't load: "
            "get the single-file version."
        )


def _without_delta(file: str, found: ModelKind, weights: dict[str, Tensor]) -> ModelKind:
    """`found` without IC-Light's differences among its kinds: the values tell them from a whole model."""
    if DELTA not in found.candidates:
        return found
    norm = next(weight for name, weight in weights.items() if name.endswith(NORMS))
    if norm.float().abs().mean() < 0.5:
        raise ValueError(
            f"Expected a whole model, but {file} is {kind_facts(DELTA).title}: use the node "
            f"{kind_facts(DELTA).node} with an SD 1.5 model."
        )
    kinds = [name for name in found.candidates if name not in (DELTA, "zero123")]
    if not kinds:
        # The name said IC-Light and the values say a whole model: a merged one.
        kinds = ["ic-light-fbc" if found.channels == 12 else "ic-light-fc"]
    return replace(found, kind=" | ".join(kinds), role="UNet")


def _bare(weights: dict[str, Tensor], found: ModelKind) -> dict[str, Tensor]:
    """A UNet's weights under LDM's names without a prefix, with the settings that stand beside them."""
    diffusers = found.layout.startswith("diffusers")
    first = "conv_in.weight" if diffusers else "input_blocks.0.0.weight"
    prefixes = DIFFUSERS_PREFIXES if diffusers else LDM_PREFIXES
    prefix = next((prefix for prefix in prefixes if prefix + first in weights), None)
    if prefix is None:  # a transformer of a variant that is not known: the host may know it
        return weights
    settings = {name: weights[name] for name in SETTINGS if name in weights}
    unet = {
        name.removeprefix(prefix): weight
        for name, weight in weights.items()
        if name.startswith(prefix) and name not in settings
    }
    return (from_diffusers(unet) if diffusers else unet) | settings


def _settle(model: Any, found: ModelKind) -> None:
    """Notes the kind on the freshly loaded model, and has it ask for channels that the host can't fill."""
    model.set_attachments(ATTACHMENT, replace(found, role="MODEL"))
    if found.kind.startswith(DIT) or FILLED_BY_HOST & set(found.candidates):
        return
    if not hasattr(model.model.diffusion_model, "input_blocks"):
        return
    # In place of the host's guess, that every model with more than four channels is for inpainting.
    model.add_object_patch("concat_cond", Unfilled(found))


def _filled_by(found: ModelKind) -> str:
    """How the channels of these kinds get filled, as the end of a sentence."""
    nodes = {kind_facts(name).node for name in found.candidates}
    if nodes == {""}:
        return "in the conditioning, under the key noise_concat, which no connected node has set"
    through = " or ".join(sorted(nodes))
    return f"to be filled: connect its model, positive and negative through the node {through}"
