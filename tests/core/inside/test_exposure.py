"""Exposure fusion by its definition, and what it must keep."""

import numpy as np
import pytest
import torch
from isi.core.inside.exposure import exposures, fuse


def random(*shape, seed=0):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("size", [(64, 48), (37, 51), (1, 9), (2, 2)])
@pytest.mark.parametrize("channels", [3, 4])
def test_equal_pictures_come_out_as_they_were(size, channels):
    picture = random(1, *size, channels)
    assert (fuse(picture.expand(4, -1, -1, -1)) - picture).abs().max() < 1e-5
    assert (fuse(picture) - picture).abs().max() < 1e-5


def test_pictures_that_do_not_count_leave_no_trace_and_the_order_is_all_one():
    flat = torch.full((1, 32, 32, 3), 0.0)  # black: no contrast, no colour, no exposure
    picture = random(1, 32, 32, 3)
    assert (fuse(torch.cat([picture, flat])) - picture).abs().max() < 1e-3
    two = torch.cat([picture, random(1, 32, 32, 3, seed=1)])
    assert torch.allclose(fuse(two), fuse(two.flip(0)), atol=1e-5)
    assert torch.allclose(fuse(two, 0.0, 0.0, 0.0), two.mean(0, keepdim=True), atol=1e-5)


@pytest.mark.parametrize(("saturation", "exposedness"), [(1.0, 1.0), (2.0, 0.0), (0.0, 1.5)])
def test_plain_pictures_are_mixed_by_saturation_and_exposedness(saturation, exposedness):
    plain = np.array([[0.9, 0.4, 0.2], [0.3, 0.35, 0.6]])
    exposed = np.exp(-((plain - 0.5) ** 2) / 0.08).prod(1)
    weights = plain.std(1) ** saturation * exposed**exposedness
    wanted = weights @ plain / weights.sum()
    pictures = torch.tensor(plain, dtype=torch.float32)[:, None, None].expand(-1, 24, 17, -1)
    found = fuse(pictures, 0.0, saturation, exposedness)
    assert np.abs(found.numpy() - wanted).max() < 1e-5


@pytest.mark.parametrize("contrast", [1.0, 2.0])
def test_checks_are_mixed_by_their_contrast(contrast):
    signs = (-1.0) ** (torch.arange(64)[:, None] + torch.arange(64))
    pictures = torch.stack([(0.5 + a * signs)[..., None].expand(-1, -1, 3) for a in (0.3, 0.1)])
    shares = np.array([0.3, 0.1]) ** contrast
    mixed = (shares @ np.array([0.3, 0.1])) / shares.sum()
    found = fuse(pictures, contrast, 0.0, 0.0)[0, ..., 0]
    assert (found - (0.5 + mixed * signs))[8:-8, 8:-8].abs().max() < 2e-3


def test_a_bracketed_ramp_keeps_both_ends_where_each_picture_clips():
    light = torch.linspace(-0.5, 1.5, 256).expand(64, 256)
    scene = torch.stack([light, light * 0.9 + 0.02, light * 0.8 + 0.05], -1)
    pictures = torch.stack([(scene + by).clamp(0, 1) for by in exposures(5, 0.5, 1.0)])
    fused = fuse(pictures).mean((0, 1, 3))
    ends = (slice(2, 64), slice(192, 254))
    middle = pictures[2].mean((0, 2))
    for end in ends:  # where the middle exposure is black or white
        assert middle[end].diff().abs().max() < 1e-2 or middle[end].diff().min() == 0
        assert fused[end].diff().mean() > 5e-4
    assert fused[ends[0]].mean() < fused[96:160].mean() < fused[ends[1]].mean()


@pytest.mark.parametrize("curve", [0.5, 1.0, 2.0])
def test_exposures_are_even_round_nothing(curve):
    found = exposures(5, 0.4, curve)
    assert found[0] == -0.4 and found[2] == 0 and found[4] == 0.4 and found == sorted(found)
    assert np.allclose(found, [-one for one in reversed(found)])
    assert (found[3] < 0.2) == (curve > 1) or curve == 1
