"""Recognises UNets of Stable Diffusion's lines by the shapes in a header, in LDM's and diffusers' layout.

The count of input channels, the width of the cross-attention context and a few telling tensors decide.
Where two kinds have the very same shapes, both are named.
"""

from __future__ import annotations

from dataclasses import dataclass

from .header import Header
from .kinds import ModelKind

LDM_PREFIXES = ("model.diffusion_model.", "diffusion_model.", "model.", "unet.", "")
DIFFUSERS_PREFIXES = ("", "unet.", "model.", "model.diffusion_model.")
COMPANIONS = ("\nfirst_stage_model.", "\ncond_stage_model.", "\nconditioner.", "\nvae.", "\ntext_encoder")
"""Starts of the names of a VAE and of text encoders in a whole checkpoint."""

BY_CONTEXT = {768: "SD1", 1024: "SD2", 1280: "SDXL refiner", 2048: "SDXL"}
KOLORS_ADM = 5632
LOTUS_ADM = 4
SV3D = {256: "SV3D_u", 1280: "SV3D_p"}


@dataclass(frozen=True)
class Unet:
    """What tells UNets apart: `channels` in, `width` of the first convolution's output, `context` of the
    cross-attention, `adm` (vector conditioning), `labels` (a table of class labels), `temporal` layers.
    """

    channels: int
    width: int
    context: int | None
    adm: int | None
    labels: bool
    temporal: bool


def detect_unet(header: Header) -> ModelKind | None:
    """The UNet in a header; None where there is none."""
    read = _read_ldm(header) or _read_diffusers(header)
    # The first ControlNets were published together with the model that they were trained on.
    if read is None or "control_model.input_blocks.0.0.weight" in header.shapes:
        return None
    unet, layout = read
    whole = any(mark in header.text for mark in COMPANIONS)
    family = _family(unet)
    scaled = "edm_vpred.sigma_max" in header.shapes
    if "cc_projection.weight" in header.shapes and unet.channels == 8:
        kinds: tuple[str, ...] = ("zero123",)
    elif unet.adm == LOTUS_ADM and unet.channels == 8:
        kinds = ("marigold",)
    else:
        kinds = kinds_by_shape(family, unet.channels, alone=not whole and not scaled)
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
        if first is None or f"{prefix}out.0.weight" not in header.shapes:  # a ControlNet has no way out
            continue
        starts = [f"{prefix}input_blocks.{i}.1." for i in range(1, 13)] + [f"{prefix}middle_block.1."]
        adm = header.shapes.get(f"{prefix}label_emb.0.0.weight")
        temporal = any(f"{start}time_stack.0.norm1.weight" in header.shapes for start in starts)
        labels = f"{prefix}label_emb.weight" in header.shapes
        context = _context(header, starts)
        return Unet(first[1], first[0], context, adm[1] if adm else None, labels, temporal), "LDM"
    return None


def _read_diffusers(header: Header) -> tuple[Unet, str] | None:
    for prefix in DIFFUSERS_PREFIXES:
        first = header.shapes.get(f"{prefix}conv_in.weight")
        if first is None or f"{prefix}conv_norm_out.weight" not in header.shapes:
            continue
        blocks = [f"{prefix}down_blocks.{i}.attentions.0." for i in range(4)]
        starts = [*blocks, f"{prefix}mid_block.attentions.0."]
        adm = header.shapes.get(f"{prefix}add_embedding.linear_1.weight") or header.shapes.get(
            f"{prefix}class_embedding.linear_1.weight"
        )
        temporal = any(
            f"{start}temporal_transformer_blocks.0.norm1.weight" in header.shapes for start in starts
        )
        labels = f"{prefix}class_embedding.weight" in header.shapes
        context = _context(header, starts)
        return Unet(first[1], first[0], context, adm[1] if adm else None, labels, temporal), "diffusers"
    return None


def _context(header: Header, starts: list[str]) -> int | None:
    """The width of the text conditioning, from the first cross-attention there is."""
    shapes = (header.shapes.get(f"{start}transformer_blocks.0.attn2.to_k.weight") for start in starts)
    return next((shape[1] for shape in shapes if shape), None)


def _family(unet: Unet) -> str:
    if unet.temporal:
        return "SVD"
    if unet.labels and unet.width == 256:
        return "x4"
    if unet.adm == KOLORS_ADM:
        return "Kolors"
    return BY_CONTEXT.get(unet.context or 0, "unknown")


def _notes(header: Header, unet: Unet, scaled: bool) -> tuple[str, ...]:
    notes = []
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
