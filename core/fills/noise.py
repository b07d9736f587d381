"""Patch noise: noise with the spectrum and the colours of the picture round it, for outpainting."""

from __future__ import annotations

import torch
from torch import Tensor

from ..loop.lens import in_float32
from .pyramid import push_pull

COLOUR = 0.05
"""Share of the noise that differs between the channels; the rest is grey."""
DETAIL = 1.0
"""Exponent q of the picture's spectrum."""


@in_float32
def patch_noise(pixels: Tensor, unknown: Tensor, seed: int) -> Tensor:
    """`pixels` `[B, H, W, C]` with noise where `unknown` `[H, W]` (bool), known pixels bit for bit.

    The noise spectrum |F(n)|^2 |F(x)|^q takes the phases of the picture x (its unknown part a smooth
    membrane); n is white noise, 5 % of it coloured, low-passed by 1 / ((1 + u^2)(1 + v^2)) with u and v in
    units of the Nyquist frequency. The result has, channel by channel, the known pixels' distribution.
    Source: the maths of "outpainting mk2" (parlance-zz, g-diffuser, 2022).
    """
    image = push_pull(pixels, ~unknown).movedim(-1, 1).float()
    mean = image.mean((-2, -1), keepdim=True)
    height, width = image.shape[-2:]
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn((*image.shape[:1], image.shape[1] + 1, height, width), generator=generator)
    noise = (COLOUR * noise[:, 1:] + (1 - COLOUR) * noise[:, :1]).to(image)
    u = 2 * torch.fft.fftfreq(height, device=image.device)[:, None]
    v = 2 * torch.fft.rfftfreq(width, device=image.device)
    shape = 1 / ((1 + u**2) * (1 + v**2))
    power = (torch.fft.rfft2(noise) * shape).abs().square()
    source = torch.fft.rfft2(image - mean)
    spectrum = power * source.abs().pow(DETAIL) * torch.exp(1j * source.angle())
    shaped = torch.fft.irfft2(spectrum, s=(height, width))
    out = pixels.clone()
    known = ~unknown
    for picture, field in zip(out, shaped, strict=True):
        for channel, values in enumerate(field):
            picture[..., channel][unknown] = _match(values[unknown], picture[..., channel][known]).to(picture)
    return out


def _match(values: Tensor, reference: Tensor) -> Tensor:
    """`values` `[n]` with the distribution of `reference` `[m]`, by rank."""
    order = values.argsort(stable=True)
    quantile = torch.linspace(0, len(reference) - 1, len(values), device=values.device)
    out = reference.new_empty(values.shape)
    out[order] = reference.sort().values[quantile.round().long()]
    return out
