"""Group normalisation of a picture that is only seen tile by tile.

Wu & He, "Group Normalization" (2018), with the statistics of the whole picture: each tile's count, mean and
sum of squared deviations are merged by Chan, Golub & LeVeque (1979), "Updating Formulae and a Pairwise
Algorithm for Computing Sample Variances". The result does not depend on the tiles or their order.
"""

from __future__ import annotations

import torch
from torch import Tensor


class GroupStats:
    """Mean and variance of each channel of one picture, gathered tile by tile.

    Groups are made of them when a norm asks: norms of one network may have groups of different sizes.
    """

    def __init__(self, channels: int):
        self.count = 0
        self.mean = torch.zeros(channels, dtype=torch.float64)
        self.squares = torch.zeros(channels, dtype=torch.float64)

    def add(self, tile: Tensor) -> None:
        """Takes in `tile` `[C, h, w]`: cells that were not taken in before."""
        cells = tile.float().reshape(len(self.mean), -1)
        mean = cells.mean(1)
        squares = (cells - mean.unsqueeze(1)).square_().sum(1)
        mean, squares = torch.stack([mean, squares]).cpu().double()  # one wait for the device
        self._merge(cells.shape[1], mean, squares)

    def _merge(self, count: int, mean: Tensor, squares: Tensor) -> None:
        total = self.count + count
        delta = mean - self.mean
        self.squares += squares + delta**2 * (self.count * count / total)
        self.mean += delta * (count / total)
        self.count = total

    def affine(self, groups: int, weight: Tensor, bias: Tensor, eps: float) -> tuple[Tensor, Tensor]:
        """Scale and shift `[C]` float32 on weight's device, so that `x * scale + shift` is the group norm.

        `weight` and `bias` `[C]` are the layer's, and C is a multiple of its `groups`. The variance is the
        biased one, as in torch.
        """
        means = self.mean.view(groups, -1)
        mean = means.mean(1, keepdim=True)
        # Channels of a group are parts of one size, merged as tiles are.
        squares = self.squares.view(groups, -1).mean(1) / self.count + (means - mean).square().mean(1)
        per_group = means.shape[1]
        inverse = (squares + eps).rsqrt().repeat_interleave(per_group).float()
        scale = inverse.to(weight.device) * weight.float()
        centre = mean.squeeze(1).repeat_interleave(per_group).float().to(weight.device)
        return scale, bias.float() - centre * scale


def normalise(tile: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """`tile` `[1, C, h, w]` by `GroupStats.affine`, computed in float32, in the tile's own dtype."""
    return torch.addcmul(shift.view(-1, 1, 1), tile.float(), scale.view(-1, 1, 1)).to(tile.dtype)
