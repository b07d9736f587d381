"""From pictures and a VAE to the channels that a concat-conditioned model takes, and its starting latent."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import comfy.model_management
import comfy.utils
import torch
from torch import Tensor

from ...core.loop.lens import widened
from ...core.models import concat as maths
from ...core.models.concat import Concat, Depth, InpaintMask, Latents, LowResolution, Part
from ...core.models.kinds import CONCAT, ModelKind, describe
from ...core.pictures.resize import lanczos, mask_beside
from ..loop.moment import Needs
from ..loop.sampling import encode as encode_pictures
from ..models.living import living_models

PICTURES = ("image", "depth", "background")
"""What of `Sources` holds pictures."""


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
    check_sources(found, sources, node)
    pictures = {name: widened(getattr(sources, name)) for name in PICTURES}
    sources = replace(sources, mask=widened(sources.mask), **pictures)
    if found.kind in RELIT:
        sources = replace(sources, mask=with_alpha(sources.mask, sources.image))
    sources = replace(sources, image=rgb(sources.image), background=rgb(sources.background))
    return _BUILDERS[found.kind](found, model, vae, sources)


def check_sources(found: ModelKind, sources: Sources, node: str = CONCAT) -> None:
    """Raises ValueError for what is connected and can't be used."""
    for name in (*PICTURES, "mask"):
        given = getattr(sources, name)
        if given is not None and name != "mask":
            check_not_empty(given, name, node)
        if given is not None and not torch.isfinite(given).all():
            raise ValueError(
                f"Expected numbers in every pixel of {name}, but some are NaN or infinite: connect another "
                f"one to {node}, or make it anew."
            )
    if found.kind == "ic-light-fc" and sources.background is not None:
        raise ValueError(
            f"A background is connected to {node}, but this is {describe(found)}, which sees only the "
            "foreground: disconnect the background, or use an FBC file (iclight_sd15_fbc)."
        )


def check_not_empty(picture: Tensor, name: str, node: str) -> None:
    """Raises ValueError for a batch of no pictures. (A mask of none is one of zeros.)"""
    if not picture.numel():
        raise ValueError(
            f"Expected a picture in {name} of {node}, but it is an empty batch: connect another one."
        )


def encode(vae: Any, pixels: Tensor) -> Tensor:
    """The VAE's mode `[B, 4, h, w]`, unscaled, of the centre of `pixels` `[B, H, W, 3]`."""
    return encode_pictures(vae, maths.crop_to_multiple(pixels, vae.spacial_compression_encode()))


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


def _latents(vae: Any, pixels: Tensor, latent_format: Any = None) -> tuple[Latents, Tensor]:
    """The part made of `pixels` `[B, H, W, 3]`, scaled where the model's `latent_format` is given, and the
    unscaled latents."""
    latents = encode(vae, pixels)
    again = partial(_encoded_at, vae, pixels, latent_format)
    return Latents(latents if latent_format is None else latent_format.process_in(latents), again), latents


def _encoded_at(vae: Any, pixels: Tensor, latent_format: Any, height: int, width: int) -> Tensor:
    """The latents of `pixels` resampled for a latent of this size; whatever model is loaded stays so."""
    factor = vae.spacial_compression_encode()
    with living_models() as loaded:
        latents = encode_pictures(vae, lanczos(pixels, height * factor, width * factor))
        comfy.model_management.load_models_gpu(loaded)
    return latents if latent_format is None else latent_format.process_in(latents)


def _format(model: Any) -> Any:
    return model.get_model_object("latent_format")


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
    part, latents = _latents(vae, sources.image, _format(model) if found.scaled_concat else None)
    return Prepared(_concat(part, like=latents), _blank(latents))


def _relight(found: ModelKind, model: Any, vae: Any, sources: Sources) -> Prepared:
    image, mask = sources.image, sources.mask
    assert image is not None
    if mask is not None:
        image, mask = _same_batch(image, mask_beside(mask, *image.shape[1:3]))
    pictures = [maths.on_grey(image, mask, sources.grey)]
    if found.kind == "ic-light-fbc":
        assert sources.background is not None
        pictures.append(like(sources.background, image))
    parts, latents = zip(*(_latents(vae, picture, _format(model)) for picture in pictures), strict=True)
    return Prepared(_concat(*parts, like=latents[0]), _blank(max(latents, key=len)))


def _inpaint(found: ModelKind, model: Any, vae: Any, sources: Sources) -> Prepared:
    assert sources.image is not None and sources.mask is not None
    image, mask = _same_batch(sources.image, mask_beside(sources.mask, *sources.image.shape[1:3]))
    painted, masked = _latents(vae, maths.masked_picture(image, mask), _format(model))
    mask = maths.crop_to_multiple(mask, vae.spacial_compression_encode())
    parts = InpaintMask(mask, sources.mask_mode), painted
    latent = {"samples": encode(vae, image), "noise_mask": mask}
    return Prepared(_concat(*parts, like=masked), latent)


def _marigold(found: ModelKind, model: Any, vae: Any, sources: Sources) -> Prepared:
    assert sources.image is not None
    part, latents = _latents(vae, sources.image, _format(model))
    return Prepared(_concat(part, like=latents), _blank(latents))


_BUILDERS: dict[str, Callable[[ModelKind, Any, Any, Sources], Prepared]] = {
    "depth": _depth,
    "upscale-x4": _upscale,
    "instruct-pix2pix": _edit,
    "ic-light-fc": _relight,
    "ic-light-fbc": _relight,
    "inpaint": _inpaint,
    "marigold": _marigold,
}
RELIT = ("ic-light-fc", "ic-light-fbc")
"""Kinds whose mask is the matte of the foreground: a picture's own alpha is one."""
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


def rgb(picture: Any) -> Any:
    """Three channels of a picture `[B, H, W, C]`, or None: grey three times, RGBA without its alpha."""
    if picture is None:
        return None
    # Two channels are grey and alpha.
    return picture[..., :1].expand(-1, -1, -1, 3) if picture.shape[-1] < 3 else picture[..., :3]


def with_alpha(mask: Tensor | None, image: Tensor | None) -> Tensor | None:
    """The matte `[B, H, W]` of a picture: its alpha, times the mask where one is connected."""
    if image is None or image.shape[-1] not in (2, 4):
        return mask
    alpha = image[..., -1]
    if mask is None:
        return alpha
    mask, alpha = _same_batch(mask_beside(mask, *image.shape[1:3]), alpha)
    return mask * alpha


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
