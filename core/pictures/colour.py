"""Colours of whole pictures in float: equalised, or matched to another picture's.

Equalisation spreads the levels that a picture has over all of 0..1. Rounding to 256 levels before or after,
as the 8-bit version does, would leave gaps; a float picture keeps as many levels as it had.
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor

from ..loop.drift import match_statistics
from ..loop.lens import in_float32

EqualizeMode = Literal["per channel", "luma"]
MODES: tuple[EqualizeMode, ...] = get_args(EqualizeMode)

Matching = Literal["mean and contrast", "lab", "histogram"]
MATCHINGS: tuple[Matching, ...] = get_args(Matching)

_LUMA = (0.2126, 0.7152, 0.0722)  # ITU-R BT.709


@in_float32
def equalize(picture: Tensor, mode: EqualizeMode = "per channel", strength: float = 1.0) -> Tensor:
    """`picture` `[B, H, W, C]` with every level as frequent as any other; each picture of the batch alone.

    "per channel" equalises each colour, which also removes a cast; "luma" equalises brightness and adds the
    same to all colours, which keeps hues (clamped where a colour would leave 0..1).
    `strength` 0..1 mixes with the picture, 0 gives `picture` itself. The alpha channel stays. A channel
    whose values span less than one 8-bit level counts as constant and stays: it holds nothing but noise.
    """
    if strength == 0 or not len(picture):
        return picture
    channels = picture.shape[-1]
    colours = channels - 1 if channels in (2, 4) else channels
    plain = picture[..., :colours].float()
    if mode == "luma" and colours == 3:
        luma = (plain * plain.new_tensor(_LUMA)).sum(-1, keepdim=True)
        equal = plain + (_equalized(luma) - luma)
        equal = equal.clamp(plain.clamp_max(0), plain.clamp_min(1))
    else:
        equal = _equalized(plain)
    mixed = torch.lerp(plain, equal, strength)
    return torch.cat([mixed.to(picture), picture[..., colours:]], -1)


def _equalized(picture: Tensor) -> Tensor:
    """Each channel of each picture `[B, H, W, C]` mapped by its own cumulative distribution."""
    channels = picture.movedim(-1, 1).flatten(2)
    equal = torch.stack([torch.stack([_ranks(c) for c in sample]) for sample in channels])
    return equal.unflatten(2, picture.shape[1:3]).movedim(1, -1)


def _ranks(values: Tensor) -> Tensor:
    """(cdf(v) - cdf(min)) / (n - cdf(min)), with the exact cdf of these n values."""
    levels, index, counts = torch.unique(values, return_inverse=True, return_counts=True)
    if levels[-1] - levels[0] < 1 / 255:
        return values
    above_first = counts.cumsum(0) - counts[0]
    return (above_first / above_first[-1])[index]


@in_float32
def match_colours(
    picture: Tensor,
    reference: Tensor,
    mode: Matching = "mean and contrast",
    strength: float = 1.0,
    exclude: Tensor | None = None,
) -> Tensor:
    """`picture` `[B, H, W, C]` in the colours of `reference` `[B or 1, h, w, C]`; alpha stays.

    "mean and contrast" gives each channel the reference's mean and standard deviation (Reinhard et al.,
    "Color Transfer between Images", 2001); "lab" does so in CIE L*a*b* (pictures of three colours only);
    "histogram" gives each channel the reference's distribution. `strength` 0..1 mixes with the picture, 0
    gives `picture` itself.

    `exclude` `[B or 1, H, W]`: what it covers is not measured, in the reference neither where that has the
    same size; it is corrected all the same. Raises ValueError for channels or batches that do not fit.
    """
    if strength == 0:
        return picture
    colours = min(picture.shape[-1], 3)
    if min(reference.shape[-1], 3) != colours or (mode == "lab" and colours != 3):
        raise ValueError(
            f"ISI Color Match: expected {'3' if mode == 'lab' else 'equally many'} colour channels, came "
            f"{colours} of the picture and {min(reference.shape[-1], 3)} of the reference."
        )
    if reference.shape[0] not in (1, picture.shape[0]):
        raise ValueError(
            f"There are {reference.shape[0]} references for {picture.shape[0]} pictures: connect one, or one "
            "a picture."
        )
    if mode == "mean and contrast":
        return match_statistics(picture, reference, strength, exclude)
    plain, wanted = picture[..., :colours], reference[..., :colours].to(picture.device)
    if mode == "lab":
        matched = _to_rgb(match_statistics(_to_lab(plain), _to_lab(wanted), 1.0, exclude))
    else:
        matched = _match_histograms(plain, wanted, exclude)
    return torch.cat([torch.lerp(plain, matched, strength), picture[..., colours:]], -1)


def _to_lab(picture: Tensor) -> Tensor:
    """`[B, H, W, 3]` sRGB as L*a*b* in hundredths, so that a contrast of 1e-4 is as flat as in RGB."""
    from kornia.color import rgb_to_lab

    return rgb_to_lab(picture.movedim(-1, 1)).movedim(1, -1) / 100


def _to_rgb(lab: Tensor) -> Tensor:
    from kornia.color import lab_to_rgb

    return lab_to_rgb((lab * 100).movedim(-1, 1)).movedim(1, -1)


def _match_histograms(picture: Tensor, reference: Tensor, exclude: Tensor | None) -> Tensor:
    """Each channel of each picture mapped by its own distribution, and the inverse of the reference's."""
    out = torch.empty_like(picture)
    for index, one in enumerate(picture):
        other = reference[index % len(reference)]
        kept = _measured(one, exclude, index)
        kept_other = _measured(other, exclude if other.shape[:2] == one.shape[:2] else None, index)
        for channel in range(one.shape[-1]):
            values = one[..., channel].cpu().double().numpy()
            source, counts = np.unique(values[kept.cpu().numpy()], return_counts=True)
            target = np.sort(other[..., channel][kept_other].cpu().double().numpy())
            # A level stands for the middle of its ranks, so that a picture matched to itself stays.
            ranks = (counts.cumsum() - (counts + 1) / 2) / max(counts.sum() - 1, 1)
            share = np.interp(values, source, ranks)
            made = np.interp(share, np.linspace(0, 1, len(target)), target)
            out[index, ..., channel] = torch.from_numpy(made).to(out)
    return out


def _measured(picture: Tensor, exclude: Tensor | None, index: int) -> Tensor:
    """Where a picture `[H, W, C]` is measured; everywhere if the mask leaves nothing."""
    everywhere = torch.ones_like(picture[..., 0], dtype=torch.bool)
    if exclude is None:
        return everywhere
    kept = exclude[index % len(exclude)].to(picture.device) <= 0
    return kept if bool(kept.any()) else everywhere
