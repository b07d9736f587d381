"""Histogram equalisation in float: spreads the levels that a picture has over all of 0..1.

Rounding to 256 levels before or after, as the 8-bit version does, would leave gaps; a float picture keeps
as many levels as it had.
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor

EqualizeMode = Literal["per channel", "luma"]
MODES: tuple[EqualizeMode, ...] = get_args(EqualizeMode)

_LUMA = (0.2126, 0.7152, 0.0722)  # ITU-R BT.709


def equalize(picture: Tensor, mode: EqualizeMode = "per channel", strength: float = 1.0) -> Tensor:
    """`picture` `[B, H, W, C]` with every level as frequent as any other; each picture of the batch alone.

    "per channel" equalises each colour, which also removes a cast; "luma" equalises brightness and adds the
    same to all colours, which keeps hues (clamped where a colour would leave 0..1).
    `strength` 0..1 mixes with the picture, 0 gives `picture` itself. The alpha channel stays. A channel
    whose values span less than one 8-bit level counts as constant and stays: it holds nothing but noise.
    """
    if strength == 0:
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
