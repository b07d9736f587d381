"""Group statistics over tiles against torch's own group norm of the whole picture."""

import pytest
import torch
from isi.core.tiles.group_stats import GroupStats, normalise
from torch.nn import functional


@pytest.mark.parametrize(("cut", "groups"), [(1, 2), (5, 4), (13, 1), (30, 3), (31, 4)])
def test_tiles_of_any_size_and_order_give_the_norm_of_the_whole(cut, groups):
    generator = torch.Generator().manual_seed(cut)
    picture = torch.randn(1, 4 * groups, 24, 31, generator=generator) * 3 + 40  # far from zero mean
    weight, bias = torch.randn(2, 4 * groups, generator=generator)
    stats = GroupStats(4 * groups)
    for part in reversed(picture[0].split(cut, -1)):
        for tile in part.split(cut + 3, -2):
            stats.add(tile)
    ours = normalise(picture, *stats.affine(groups, weight, bias, 1e-6))
    assert (ours - functional.group_norm(picture, groups, weight, bias, 1e-6)).abs().max() < 1e-4


def test_a_constant_picture_becomes_the_bias():
    stats = GroupStats(4)
    tile = torch.full((1, 4, 5, 5), 7.0)
    stats.add(tile[0])
    bias = torch.arange(4.0)
    ours = normalise(tile, *stats.affine(2, torch.ones(4), bias, 1e-6))
    assert torch.allclose(ours, bias.view(1, 4, 1, 1).expand_as(ours), atol=1e-3)
