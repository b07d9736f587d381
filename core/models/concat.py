"""The channels that concat-conditioned models take besides the noisy latent.

Each `Part` makes its channels at any latent size, exactly as the reference code of its paper does; `Concat`
puts parts in order and in a batch. Everything here is pure: pictures `[B, H, W, C]` and masks `[B, H, W]`
in 0..1, latents and channels `[B, C, h, w]`.

Sources: Latent Diffusion (Rombach et al. 2022, arXiv:2112.10752; depth, inpainting, x4 upscaling),
InstructPix2Pix (Brooks et al. 2023, arXiv:2211.09800), IC-Light (Zhang et al. 2025), Marigold (Ke et al.
2024, arXiv:2312.02145).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

MASK_MODES = ("nearest", "max-pool")
SIDES = ("left", "right", "top", "bottom")
CORNERS = ("top left", "top right", "bottom left", "bottom right")
GREY = 0.5
MAX_NOISE_LEVEL = 350
"""The x4 upscaler was trained on noise levels 0 to 350 of its low-resolution schedule."""


class Part:
    """Some consecutive channels of a concat."""

    def channels(self, height: int, width: int) -> Tensor:
        """These channels `[B, C, height, width]` at a latent's size."""
        raise NotImplementedError


@dataclass(frozen=True, eq=False)
class Latents(Part):
    """Latents `[B, 4, h, w]`, scaled as the model takes them.

    `again` makes them for a latent of another (height, width), from the picture that they were made of: a
    second, larger pass sees the picture's own detail, not a stretched latent. Without it: bilinear.
    """

    latents: Tensor
    again: Callable[[int, int], Tensor] | None = None

    def channels(self, height: int, width: int) -> Tensor:
        if self.again is not None and self.latents.shape[-2:] != (height, width):
            return self.again(height, width)
        return _bilinear(self.latents, height, width)


@dataclass(frozen=True, eq=False)
class Depth(Part):
    """One channel of depth in -1 (far) to 1 (near) from a depth map `[B, H, W]` of any range and size.

    Bicubic to the latent's size first, then normalised per sample, since bicubic overshoots the range of
    the map. A constant map, which says nothing about depth, becomes 0. `invert` is for maps where near is
    low.
    """

    depth: Tensor
    invert: bool = False

    def channels(self, height: int, width: int) -> Tensor:
        depth = functional.interpolate(self.depth.unsqueeze(1), (height, width), mode="bicubic")
        if self.invert:
            depth = -depth
        low = depth.amin((1, 2, 3), keepdim=True)
        span = depth.amax((1, 2, 3), keepdim=True) - low
        return torch.where(span > 0, 2 * (depth - low) / span - 1, torch.zeros_like(depth))


@dataclass(frozen=True, eq=False)
class InpaintMask(Part):
    """One channel that is 1 where the model paints, from a mask `[B, H, W]`.

    `nearest` is what the model was trained with, and loses lines thinner than a latent cell; `max-pool`
    paints every cell that the mask touches.
    """

    mask: Tensor
    mode: str = "nearest"

    def channels(self, height: int, width: int) -> Tensor:
        mask = binary(self.mask).unsqueeze(1)
        if self.mode == "max-pool":
            return functional.adaptive_max_pool2d(mask, (height, width))
        return functional.interpolate(mask, (height, width), mode="nearest")


@dataclass(frozen=True, eq=False)
class LowResolution(Part):
    """Three channels of RGB in -1..1 with noise of `level` (0 to 350) added, from pixels `[B, H, W, 3]`.

    The noise comes from a generator of its own, seeded with `seed`.
    """

    pixels: Tensor
    level: int = 20
    seed: int = 0

    def channels(self, height: int, width: int) -> Tensor:
        low = _bilinear(signed(self.pixels).movedim(-1, 1), height, width)
        noise = torch.randn(low.shape, generator=torch.Generator().manual_seed(self.seed), dtype=low.dtype)
        return add_noise(low, noise.to(low.device), self.level)


@dataclass(frozen=True, eq=False)
class Concat:
    """What is concatenated to a noisy latent, for a latent of any batch and size.

    `size` (height, width) is that of the latent that belongs to the pictures. `label` is the class label
    that goes with the channels (the noise level of the x4 upscaler).
    """

    parts: tuple[Part, ...]
    size: tuple[int, int]
    label: int | None = None

    def at(self, batch: int, height: int, width: int) -> Tensor:
        """The channels `[batch, C, height, width]`; the n-th picture goes with the n-th latent.

        Raises ValueError if the latent has another aspect ratio, or a batch that the pictures don't fill.
        """
        if not same_aspect(self.size, (height, width)):
            raise ValueError(
                f"Expected a latent of {_size(self.size)} cells, or larger or smaller with the same aspect "
                f"ratio, since that is what the picture to condition on makes, but the sampler got "
                f"{_size((height, width))}: connect the latent of the node that made the conditioning."
            )
        return torch.cat([fill_batch(part.channels(height, width), batch) for part in self.parts], dim=1)


def same_aspect(a: tuple[int, int], b: tuple[int, int]) -> bool:
    """Whether two latent sizes (height, width) are of one aspect ratio, give or take a cell a side of `b`."""
    return abs(b[0] * a[1] - b[1] * a[0]) <= a[0] + a[1]


def fill_batch(tensor: Tensor, batch: int) -> Tensor:
    """`tensor` repeated as a whole to `batch`, so that batches that were repeated keep their pairs.

    Raises ValueError where that leaves a remainder.
    """
    if batch % tensor.shape[0]:
        raise ValueError(
            f"Expected a latent batch of {tensor.shape[0]} or a multiple, one for each picture to condition "
            f"on, but the sampler got {batch}: connect the latent of the node that made the conditioning, "
            "or a single picture."
        )
    return tensor.repeat(batch // tensor.shape[0], *[1] * (tensor.dim() - 1))


def crop_to_multiple(picture: Tensor, multiple: int, size: tuple[int, int] | None = None) -> Tensor:
    """The centre of `[B, H, W, ...]` whose sides are multiples of `multiple`, cut as the host's VAE does.

    With `size`, the height and width of another picture, the part of `picture` that lies over what remains
    of that one. Raises ValueError if nothing would remain.
    """
    height, width = size or (picture.shape[1], picture.shape[2])
    if min(height, width) < multiple:
        raise ValueError(
            f"Expected a picture of at least {multiple}x{multiple} pixels, got {width}x{height}."
        )
    for dim, length in ((1, height), (2, width)):
        scale = picture.shape[dim] / length
        start = round(length % multiple // 2 * scale)
        stop = round((length % multiple // 2 + length // multiple * multiple) * scale)
        picture = picture.narrow(dim, start, max(stop - start, 1))
    return picture


def signed(pixels: Tensor) -> Tensor:
    """0..1 to -1..1."""
    return 2 * pixels - 1


def binary(mask: Tensor) -> Tensor:
    """1 where a mask is at least a half, else 0."""
    return (mask >= 0.5).to(mask)


def masked_picture(pixels: Tensor, mask: Tensor) -> Tensor:
    """`pixels` with grey wherever the model paints: what the inpainting model sees of the picture."""
    return GREY + (pixels - GREY) * (1 - binary(mask)).unsqueeze(-1)


def on_grey(pixels: Tensor, alpha: Tensor | None, grey: float = GREY) -> Tensor:
    """`pixels` `[B, H, W, 3]` over plain grey by their matte `alpha` `[B, H, W]` (None: opaque)."""
    return pixels if alpha is None else grey + (pixels - grey) * alpha.unsqueeze(-1)


def light_gradient(
    place: str, height: int, width: int, colour: tuple[float, float, float] = (1.0, 1.0, 1.0)
) -> Tensor:
    """A picture `[1, H, W, 3]` of IC-Light's lamp: `colour` (0..1) at `place`, black at the other end.

    `place` is one of SIDES or of CORNERS; the light of a corner is the mean of its two sides'.
    """
    ramps = []
    for side in place.split():
        length = width if side in ("left", "right") else height
        ramp = torch.linspace(1, 0, length) if side in ("left", "top") else torch.linspace(0, 1, length)
        ramps.append(ramp.reshape(1, -1) if side in ("left", "right") else ramp.reshape(-1, 1))
    light = torch.stack([ramp.expand(height, width) for ramp in ramps]).mean(0)
    return light.reshape(1, height, width, 1) * torch.tensor(colour)


def low_resolution_alphas() -> Tensor:
    """abar_t `[1000]` of the x4 upscaler's low-resolution schedule: beta 1e-4 to 0.02, scaled linear."""
    # In float32, as DDPMScheduler has it: at level 0 the rounding of 1 - abar shows in the sixth decimal.
    betas = torch.linspace(1e-4**0.5, 0.02**0.5, 1000, dtype=torch.float32) ** 2
    return torch.cumprod(1 - betas, 0)


def add_noise(x: Tensor, noise: Tensor, level: int) -> Tensor:
    """q(x_t | x_0) at t = `level`: sqrt(abar_t) x + sqrt(1 - abar_t) noise (Ho et al. 2020, eq. 4)."""
    abar = low_resolution_alphas()[level].to(x.device)
    return abar.sqrt() * x + (1 - abar).sqrt() * noise


def image_guidance(denoised: Tensor, image_only: Tensor, null: Tensor, s_image: float) -> Tensor:
    """The image half of InstructPix2Pix's guidance, on top of two-way guidance by text.

    e = e(0,0) + s_I [e(I,0) - e(0,0)] + s_T [e(I,T) - e(I,0)]  (eq. 3)
      = (e(I,0) + s_T [e(I,T) - e(I,0)]) + (s_I - 1) [e(I,0) - e(0,0)]
    where `denoised` is the first bracket, `image_only` e(I,0), `null` e(0,0).
    """
    return denoised + (s_image - 1) * (image_only - null)


def _bilinear(tensor: Tensor, height: int, width: int) -> Tensor:
    if tensor.shape[-2:] == (height, width):
        return tensor
    return functional.interpolate(tensor, (height, width), mode="bilinear")


def _size(size: tuple[int, int]) -> str:
    return f"{size[1]}x{size[0]}"
