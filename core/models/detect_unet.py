"""Recognises UNets of Stable Diffusion's lines by the shapes in a header, in LDM's and diffusers' layout.

The count of input channels, the width of the cross-attention context and a few telling tensors decide.
Where two kinds have the very same shapes, both are named.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TypeGuard

from .header import Header
from .kinds import ModelKind

LDM_PREFIXES = ("model.diffusion_model.", "diffusion_model.", "model.", "unet.", "")
DIFFUSERS_PREFIXES = ("", "unet.", "model.", "model.diffusion_model.")
COMPANIONS = ("\nfirst_stage_model.", "\ncond_stage_model.", "\nconditioner.", "\nvae.", "\ntext_encoder")
"""Starts of the names of a VAE and of text encoders in a whole checkpoint."""

LDM_PARTS = ("time_embed", "label_emb", "input_blocks", "middle_block", "output_blocks", "out")
DIFFUSERS_PARTS = (
    "conv_in", "conv_norm_out", "conv_out", "down_blocks", "up_blocks", "mid_block", "time_embedding",
    "add_embedding", "class_embedding", "encoder_hid_proj",
)  # fmt: skip
BESIDE = (
    "cc_projection",
    "edm_mean",
    "edm_std",
    "denoiser",
    "model_ema",
    "alphas_cumprod",
    "betas",
    "logvar",
)
"""Further names of the models that are known, beside the UNet."""
MOVING = (".motion_modules.", ".temp_convs.", ".temp_attentions.", ".temopral_conv.", "\ninit_attn.")
"""Layers over time of other models than Stable Video Diffusion (the third is spelt so in LVDM's code)."""
LATE = re.compile(r"(?:^|\.)input_blocks\.\d+\.[2-9]\.", re.MULTILINE)
"""A third layer in a block of an encoder: only video models have it."""

BY_CONTEXT = {768: "SD1", 1024: "SD2", 1280: "SDXL refiner", 2048: "SDXL"}
KOLORS_ADM = 5632
LOTUS_ADM = 4
SV3D = {256: "SV3D_u", 1280: "SV3D_p"}


@dataclass(frozen=True)
class Unet:
    """What tells UNets apart: `channels` in, `width` of the first convolution's output, `context` of the
    cross-attention, `adm` (vector conditioning), `labels` (a table of class labels), `temporal` layers of
    Stable Video Diffusion, `video` for those of another one, `stranger` for a part that none of them has.
    """

    channels: int
    width: int
    context: int | None
    adm: int | None
    labels: bool
    temporal: bool
    video: bool
    stranger: str


def detect_unet(header: Header) -> ModelKind | None:
    """The UNet in a header; None where there is none."""
    read = _read_ldm(header) or _read_diffusers(header)
    if read is None:
        return None
    unet, layout = read
    whole = any(mark in header.text for mark in COMPANIONS)
    family = _family(unet)
    scaled = "edm_vpred.sigma_max" in header.shapes
    kinds: tuple[str, ...]
    if unet.video or unet.stranger:
        kinds = ("unknown",)
    elif "cc_projection.weight" in header.shapes and unet.channels == 8:
        kinds = ("zero123",)
    elif unet.adm == LOTUS_ADM and unet.channels == 8:
        kinds = ("marigold",)
    else:
        kinds = kinds_by_shape(family, unet.channels, alone=not whole and not scaled)
        if whole and family == "SD1" and unet.channels == 8 and "token_embedding.weight\n" not in header.text:
            kinds = (*kinds, "zero123")  # an editing model brings its text encoder
    return ModelKind(
        " | ".join(kinds),
        unet.channels,
        family,
        layout if layout == "diffusers" or whole else "UNet-only",
        "checkpoint" if whole else "UNet",
        scaled,
        _notes(header, unet, scaled),
    )


def kinds_by_shape(family: str, channels: int, alone: bool) -> tuple[str, ...]:
    """The kinds that a UNet of a family may be by its input channels, the likeliest first.

    `alone`: nothing else came with it, so that it may be the differences of IC-Light, which have the same
    names and shapes, or a part of Zero123.
    """
    if channels == 8:
        if family == "SVD":
            return ("svd",)
        if family == "SD1":
            merged = ("instruct-pix2pix", "ic-light-fc")
            return (*merged, "ic-light-delta", "zero123") if alone else merged
        return {"SD2": ("marigold", "instruct-pix2pix"), "SDXL": ("instruct-pix2pix",)}.get(
            family, ("unknown",)
        )
    if channels == 12 and family == "SD1" and alone:
        return ("ic-light-fbc", "ic-light-delta")
    if family in ("SVD", "unknown") or (channels == 7) != (family == "x4"):
        return ("unknown",)
    kinds = {4: "standard", 5: "depth", 7: "upscale-x4", 9: "inpaint", 12: "ic-light-fbc"}
    return (kinds.get(channels, "unknown"),)


def _read_ldm(header: Header) -> tuple[Unet, str] | None:
    for prefix in LDM_PREFIXES:
        first = header.shapes.get(f"{prefix}input_blocks.0.0.weight")
        # A ControlNet has no way out.
        if not _is_convolution(first) or f"{prefix}out.0.weight" not in header.shapes:
            continue
        starts = [f"{prefix}input_blocks.{i}.1." for i in range(1, 13)] + [f"{prefix}middle_block.1."]
        adm = header.shapes.get(f"{prefix}label_emb.0.0.weight")
        labels = f"{prefix}label_emb.weight" in header.shapes
        context = _context(header, prefix, starts)
        temporal = _temporal(header, ".time_stack.")
        video = _moves(header, prefix, temporal) or bool(LATE.search(header.text))
        stranger = _stranger(header, prefix, LDM_PARTS)
        return (
            Unet(first[1], first[0], context, _width(adm), labels, temporal, video, stranger),
            "LDM",
        )
    return None


def _read_diffusers(header: Header) -> tuple[Unet, str] | None:
    for prefix in DIFFUSERS_PREFIXES:
        first = header.shapes.get(f"{prefix}conv_in.weight")
        if not _is_convolution(first) or f"{prefix}conv_norm_out.weight" not in header.shapes:
            continue
        blocks = [f"{prefix}down_blocks.{i}.attentions.0." for i in range(4)]
        starts = [*blocks, f"{prefix}mid_block.attentions.0."]
        adm = header.shapes.get(f"{prefix}add_embedding.linear_1.weight") or header.shapes.get(
            f"{prefix}class_embedding.linear_1.weight"
        )
        labels = f"{prefix}class_embedding.weight" in header.shapes
        context = _context(header, prefix, starts)
        temporal = _temporal(header, ".temporal_transformer_blocks.")
        video = _moves(header, prefix, temporal)
        stranger = _stranger(header, prefix, DIFFUSERS_PARTS)
        return (
            Unet(first[1], first[0], context, _width(adm), labels, temporal, video, stranger),
            "diffusers",
        )
    return None


def _is_convolution(shape: tuple[int, ...] | None) -> TypeGuard[tuple[int, ...]]:
    """Whether a shape is that of a convolution over a picture, or a video."""
    return shape is not None and len(shape) in (4, 5)


def _width(shape: tuple[int, ...] | None) -> int | None:
    """What a matrix of this shape takes in; None for what is no matrix."""
    return shape[1] if shape is not None and len(shape) > 1 else None


def _temporal(header: Header, mark: str) -> bool:
    """Whether each attention over the picture has one over time beside it, and they are mixed."""
    mixed = header.text.count(".time_mixer.")
    return (
        0
        < header.text.count(".transformer_blocks.0.norm1.weight")
        <= 2 * min(mixed, header.text.count(f"{mark}0.norm1.weight"))
    )


def _moves(header: Header, prefix: str, temporal: bool) -> bool:
    """Whether a UNet has layers over time that are not those of Stable Video Diffusion."""
    if any(mark in header.text for mark in MOVING):
        return True
    return not temporal and any(
        len(shape) == 5 for name, shape in header.shapes.items() if name.startswith(prefix)
    )


def _stranger(header: Header, prefix: str, parts: tuple[str, ...]) -> str:
    """The first part of the UNet at `prefix` that a UNet of a known kind does not have."""
    known = {*parts, *BESIDE} if not prefix else set(parts)
    begin = len(prefix)
    for name, shape in header.shapes.items():
        if len(shape) < 2 or not name.startswith(prefix):
            continue
        part = name[begin:].partition(".")[0]
        if part not in known and not f"\n{name}".startswith(COMPANIONS):
            return part
    return ""


def _context(header: Header, prefix: str, starts: list[str]) -> int | None:
    """The width of the text conditioning, from the first cross-attention; None where two disagree."""
    shapes = (header.shapes.get(f"{start}transformer_blocks.0.attn2.to_k.weight") for start in starts)
    width = next((_width(shape) for shape in shapes if shape), None)
    for name, shape in header.shapes.items():
        reads_text = name.endswith(".attn2.to_k.weight") and ".transformer_blocks." in name
        if reads_text and name.startswith(prefix) and len(shape) == 2 and shape[1] != width:
            return None
    return width


def _family(unet: Unet) -> str:
    if unet.video:
        return "video model"
    if unet.temporal:
        return "SVD"
    if unet.labels and unet.width == 256:
        return "x4"
    if unet.adm == KOLORS_ADM:
        return "Kolors"
    return BY_CONTEXT.get(unet.context or 0, "unknown")


def _notes(header: Header, unet: Unet, scaled: bool) -> tuple[str, ...]:
    notes = []
    if unet.video:
        notes.append("A video model: it has layers over time that none of the known kinds has.")
    elif unet.stranger:
        notes.append(f"Looks like {_family(unet)}, but has a part that no known kind has: {unet.stranger}.")
    if scaled:
        notes.append("CosXL: v-prediction on continuous (EDM) sigmas; the picture to edit is scaled.")
    if unet.adm == LOTUS_ADM:
        notes.append("Lotus: a depth or normal estimator, sampled in one step.")
    if unet.temporal and unet.adm in SV3D:
        notes.append(f"{SV3D[unet.adm]}: orbits around an object.")
    if "edm_mean" in header.shapes:
        notes.append("Playground v2.5: EDM sampling and latents of its own.")
    if not unet.temporal and unet.context == 1024 and unet.adm in (1536, 2048):
        notes.append("unCLIP: takes an image embedding too.")
    return tuple(notes)
