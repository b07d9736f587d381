"""Pictures larger than a UNet was trained for: deep blocks as large as they know, attention in windows.

HiDiffusion (arXiv:2311.17528). Objects come twice because the deep blocks see feature maps larger than in
training (RAU-Net), and most of the time goes into the outer blocks' attention, which looks no farther than a
part of the picture (MSW-MSA).
"""

from __future__ import annotations

import math

from torch import Tensor

SHIFTS = 4
"""How many places the windows go round to, step by step."""


def halvings(height: float, width: float, trained: float) -> int:
    """How many times a map of `height` x `width` is to be halved to be about as large as one of
    `trained` x `trained`; 0 for what is no larger."""
    return max(0, round(math.log2(math.sqrt(height * width) / trained)))


def thinned(x: Tensor) -> Tensor:
    """Every second row and column of `[..., H, W]`.

    A convolution of kernel 3, stride 2 and padding 1 on it is the paper's resolution-aware downsampler on
    `x`: stride 4, dilation 2, padding 2.
    """
    return x[..., ::2, ::2]


def windows(side: int, most: int) -> int:
    """Into how many equal windows a side is cut: as many as `most` that come out even."""
    return next(parts for parts in range(max(1, most), 0, -1) if side % parts == 0)


def shift(height: int, width: int, grid: tuple[int, int], step: int) -> tuple[int, int]:
    """How far the windows are moved at `step`, so that their rims lie at other places in each of four steps.

    The paper draws one of these four by lot; here they go round, so that a seed alone decides.
    """
    part = step % SHIFTS / SHIFTS
    down, right = (
        int(part * side / parts) if parts > 1 else 0
        for side, parts in zip((height, width), grid, strict=True)
    )
    return down, right


def into_windows(
    tokens: Tensor, height: int, width: int, grid: tuple[int, int], moved: tuple[int, int]
) -> Tensor:
    """Tokens `[B, H W, C]` as `[B rows columns, h w, C]`, each window a picture of its own; a window that
    leaves the picture goes on at its other side."""
    rows, columns = grid
    pictures = tokens.unflatten(1, (height, width)).roll((-moved[0], -moved[1]), (1, 2))
    cut = pictures.unflatten(2, (columns, -1)).unflatten(1, (rows, -1))
    return cut.transpose(2, 3).flatten(3, 4).flatten(0, 2)


def out_of_windows(
    cut: Tensor, height: int, width: int, grid: tuple[int, int], moved: tuple[int, int]
) -> Tensor:
    """`into_windows` undone."""
    rows, columns = grid
    apart = cut.unflatten(0, (-1, rows, columns)).unflatten(3, (height // rows, width // columns))
    return apart.transpose(2, 3).flatten(3, 4).flatten(1, 2).roll(moved, (1, 2)).flatten(1, 2)
