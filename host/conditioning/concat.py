"""From pictures and a VAE to the channels that a concat-conditioned model takes, and its starting latent."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import comfy.model_management
import comfy.utils
import torch
from torch import Tensor

from ...core.models import concat as maths
from ...core.models.concat import Concat, Depth, InpaintMask, Latents, LowResolution, Part
from ...core.models.kinds import CONCAT, ModelKind, describe
from ...core.pictures.resize import mask_beside
from ..loop.moment import Needs


@dataclass(frozen=True, eq=False)
class Sources:
    """What the user connected: pictures `[B, H, W, C]`, mask `[B, H, W]`, and settings."""

    image: Tensor | None = None
    mask: Tensor | None = None
    depth: Tensor | None = None
    background: Tensor | None = None
    noise_level: int = 20
    noise_seed: int = 0
    mask_mode: str = "nearest"
    invert_depth: bool = False
    grey: float = maths.GREY


@dataclass(frozen=True, eq=False)
class Prepared:
    """What sampling needs: the channels, and the latent (host's dict) that belongs to the pictures."""

    concat: Concat
    latent: dict


def prepare(found: ModelKind, model: Any, vae: Any, sources: Sources, node: str = CONCAT) -> Prepared:
    """The channels that a model of kind `found` takes, made from what is connected to `node`.

    Raises ValueError if the kind takes no channels, an input is missing, or the VAE is of another kind.
    """
    check_kind(found)
    given = {"image": sources.image, "mask": sources.mask, "depth": sources.depth}
    given |= {"background": sources.background, "vae": vae}
    missing = [name for name in found.facts.needs if given[name] is None]
    if missing:
        raise ValueError(
            f"Expected {' and '.join(missing)} for {describe(found)}, but nothing is connected there: "
            f"connect {' and '.join(missing)} to {node}."
        )
    if vae is not None:
        needs_of(found).check_vae(vae)
    sources = replace(sources, image=_rgb(sources.image), background=_rgb(sources.background))
    return _BUILDERS[found.kind](found, model, vae, sources)


def encode(vae: Any, pixels: Tensor) -> Tensor:
    """The VAE's mode `[B, 4, h, w]`, unscaled, of the centre of `pixels` `[B, H, W, 3]`."""
    return vae.encode(maths.crop_to_multiple(pixels, vae.spacial_compression_encode()))


def check_kind(found: ModelKind) -> None:
    """Raises ValueError for a kind of model that takes no channels, or others than `prepare` knows."""
    facts = found.facts
    if found.kind not in _BUILDERS:
        other = f"use {facts.connect}" if facts.node else "connect a model that ISI Load Concat Model loads"
        raise ValueError(
            f"Expected a model that takes more than the noisy latent, but got {describe(found)}: {other}."
        )


def needs_of(found: ModelKind) -> Needs:
    """What a kind of model can't do without: the VAE in whose latents it works, maybe a picture."""
    factor = 4 if found.kind == "upscale-x4" else 8
    return Needs(describe(found), picture="image" in found.facts.needs, channels=4, factor=factor)


def _scaled(model: Any, latents: Tensor) -> Tensor:
    return model.get_model_object("latent_format").process_in(latents)


def _blank(like: Tensor) -> dict:
    return {"samples": torch.zeros_like(like)}


def _depth(found: ModelKind, model: Any, vae: Any, sources: Sources) -> Prepared:
    factor = 8 if vae is None else vae.spacial_compression_encode()
    depth, image = sources.depth, sources.image
    assert depth is not None
    height, width = (depth if image is None else image).shape[1:3]
    grey = maths.crop_to_multiple(depth[..., :3].mean(-1), factor, (height, width))
    size = (height // factor, width // factor)
    if image is None or vae is None:
        device = comfy.model_management.intermediate_device()
        latent = {"samples": torch.zeros(depth.shape[0], 4, *size, device=device)}
    else:
        latent = {"samples": _same_batch(encode(vae, image), depth)[0]}
    return Prepared(Concat((Depth(grey, sources.invert_depth),), size), latent)


def _upscale(found: ModelKind, model: Any, vae: Any, sources: Sources) -> Prepared:
    assert sources.image is not None
    batch, height, width, _ = sources.image.shape
    part = LowResolution(sources.image, sources.noise_level, sources.noise_seed)
    device = comfy.model_management.intermediate_device()
    latent = {"samples": torch.zeros(batch, 4, height, width, device=device)}
    return Prepared(Concat((part,), (height, width), sources.noise_level), latent)


def _edit(found: ModelKind, model: Any, vae: Any, sources: Sources) -> Prepared:
    assert sources.image is not None
    latents = encode(vae, sources.image)
    picture = _scaled(model, latents) if found.scaled_concat else latents
    return Prepared(_concat(Latents(picture), like=latents), _blank(latents))


def _relight(found: ModelKind, model: Any, vae: Any, sources: Sources) -> Prepared:
    image, mask = sources.image, sources.mask
    assert image is not None
    if mask is not None:
        image, mask = _same_batch(image, mask_beside(mask, *image.shape[1:3]))
    pictures = [maths.on_grey(image, mask, sources.grey)]
    if found.kind == "ic-light-fbc":
        assert sources.background is not None
        pictures.append(like(sources.background, image))
    latents = [encode(vae, picture) for picture in pictures]
    parts = [Latents(_scaled(model, latent)) for latent in latents]
    return Prepared(_concat(*parts, like=latents[0]), _blank(max(latents, key=len)))


def _inpaint(found: ModelKind, model: Any, vae: Any, sources: Sources) -> Prepared:
    assert sources.image is not None and sources.mask is not None
    image, mask = _same_batch(sources.image, mask_beside(sources.mask, *sources.image.shape[1:3]))
    masked = encode(vae, maths.masked_picture(image, mask))
    mask = maths.crop_to_multiple(mask, vae.spacial_compression_encode())
    parts = InpaintMask(mask, sources.mask_mode), Latents(_scaled(model, masked))
    latent = {"samples": encode(vae, image), "noise_mask": mask}
    return Prepared(_concat(*parts, like=masked), latent)


def _marigold(found: ModelKind, model: Any, vae: Any, sources: Sources) -> Prepared:
    assert sources.image is not None
    latents = encode(vae, sources.image)
    return Prepared(_concat(Latents(_scaled(model, latents)), like=latents), _blank(latents))


_BUILDERS: dict[str, Callable[[ModelKind, Any, Any, Sources], Prepared]] = {
    "depth": _depth,
    "upscale-x4": _upscale,
    "instruct-pix2pix": _edit,
    "ic-light-fc": _relight,
    "ic-light-fbc": _relight,
    "inpaint": _inpaint,
    "marigold": _marigold,
}
SUPPORTED = tuple(_BUILDERS)
"""Kinds of models that `prepare` knows."""


def _concat(*parts: Part, like: Tensor) -> Concat:
    return Concat(parts, (like.shape[-2], like.shape[-1]))


def like(picture: Tensor, image: Tensor) -> Tensor:
    """`picture` at the size of `image`: the centre that has its aspect ratio, bicubic."""
    if picture.shape[1:3] == image.shape[1:3]:
        return picture
    height, width = image.shape[1:3]
    moved = comfy.utils.common_upscale(picture.movedim(-1, 1), width, height, "bicubic", "center")
    return moved.movedim(1, -1)


def _rgb(picture: Tensor | None) -> Tensor | None:
    """Three channels of a picture: grey three times, RGBA without its alpha."""
    if picture is None:
        return None
    return picture.expand(-1, -1, -1, 3) if picture.shape[-1] == 1 else picture[..., :3]


def _same_batch(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Both with the larger batch of the two. Raises ValueError if neither is single and they differ."""
    a, b = first.shape[0], second.shape[0]
    if a != b and 1 not in (a, b):
        raise ValueError(
            f"Expected one picture, or as many as there are masks or depth maps, but got {a} and {b}: "
            "connect batches of one size."
        )
    batch = max(a, b)
    return first.expand(batch, *first.shape[1:]), second.expand(batch, *second.shape[1:])
