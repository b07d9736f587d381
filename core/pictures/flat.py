"""Where a picture has detail: so that tiles without any need no model call."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from ..loop.lens import in_float32


@in_float32
def detail_map(pictures: Tensor) -> Tensor:
    """`[B, H, W]`: the largest step between a cell and its right and lower neighbours, over channels.

    `pictures` `[B, H, W, C]` in 0..1, at one cell for each cell of the latent.
    """
    moved = pictures.movedim(-1, 1)
    right = functional.pad((moved[..., :, 1:] - moved[..., :, :-1]).abs(), (0, 1, 0, 0))
    below = functional.pad((moved[..., 1:, :] - moved[..., :-1, :]).abs(), (0, 0, 0, 1))
    return torch.maximum(right, below).amax(1)
