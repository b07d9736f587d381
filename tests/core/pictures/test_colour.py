"""Histogram equalisation against the 8-bit one, its fixed points, and what it must leave alone."""

import numpy as np
import pytest
import torch
from isi.core.pictures.colour import MODES, equalize


def grey_picture(batch=2, channels=3, height=64, width=48):
    """Low contrast around other means, as a washed-out VAE gives it."""
    generator = torch.Generator().manual_seed(0)
    means = torch.linspace(0.3, 0.6, channels)
    return means + 0.05 * torch.randn(batch, height, width, channels, generator=generator).clamp(-3, 3)


def equalized_8_bit(channel: np.ndarray) -> np.ndarray:
    """The textbook's table for 256 levels, before its rounding; `channel` holds integers."""
    cdf = np.bincount(channel.ravel(), minlength=256).cumsum()
    first = cdf[channel.min()]
    return ((cdf - first) / (channel.size - first))[channel]


def test_is_the_8_bit_equalisation_without_its_rounding():
    levels = (grey_picture() * 255).round().long()
    equal = equalize(levels / 255)
    for b in range(2):
        for c in range(3):
            expected = equalized_8_bit(levels[b, ..., c].numpy())
            np.testing.assert_allclose(equal[b, ..., c].numpy(), expected, atol=1e-6)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("low", [0.0, 0.3])
def test_a_ramp_is_spread_evenly_and_a_full_one_is_a_fixed_point(mode, low):
    full = torch.linspace(0, 1, 300).expand(1, 20, 300).unsqueeze(-1).repeat(1, 1, 1, 3)
    torch.testing.assert_close(equalize(full * (1 - low) + low, mode), full, atol=1e-6, rtol=0)


@pytest.mark.parametrize("mode", MODES)
def test_equalising_again_changes_nothing_and_no_level_is_lost(mode):
    picture = grey_picture(channels=1)
    once = equalize(picture, mode)
    torch.testing.assert_close(equalize(once, mode), once, atol=1e-6, rtol=0)
    assert [len(p.unique()) for p in once] == [len(p.unique()) for p in picture]
    assert once.min() == 0
    assert once.max() == 1


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("level", [0.0, 0.4, 1.0])
def test_a_constant_picture_stays_bit_for_bit_also_with_rounding_noise(mode, level):
    noise = 1e-6 * torch.rand(1, 16, 16, 3, generator=torch.Generator().manual_seed(0))
    flat = torch.full((1, 16, 16, 3), level)
    assert torch.equal(equalize(flat, mode), flat)
    assert torch.equal(equalize(flat + noise, mode), flat + noise)


def test_luma_makes_brightness_even_and_keeps_hues():
    picture = grey_picture() * 0.4 + 0.3
    equal = equalize(picture, "luma")
    inside = ((equal > 0) & (equal < 1)).all(-1)
    assert inside.float().mean() > 0.5
    difference = (equal - picture)[inside]
    torch.testing.assert_close(difference, difference[:, :1].expand_as(difference), atol=1e-6, rtol=0)
    luma = (equal * torch.tensor([0.2126, 0.7152, 0.0722])).sum(-1)[inside]
    before = (picture * torch.tensor([0.2126, 0.7152, 0.0722])).sum(-1)
    ranks = before[0].flatten().sort().values
    expected = (torch.searchsorted(ranks, before[0][inside[0]], right=True) - 1) / (len(ranks) - 1)
    torch.testing.assert_close(luma[: len(expected)], expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("mode", MODES)
def test_strength_goes_in_a_straight_line_and_0_is_absent(mode):
    picture = grey_picture()
    assert equalize(picture, mode, 0.0) is picture
    half, full = equalize(picture, mode, 0.5), equalize(picture, mode)
    torch.testing.assert_close(half, (picture + full) / 2)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("channels", [2, 4])
def test_alpha_stays(mode, channels):
    picture = grey_picture(channels=channels)
    equal = equalize(picture, mode)
    assert torch.equal(equal[..., -1], picture[..., -1])
    assert torch.equal(equal[..., :-1], equalize(picture[..., :-1], mode))


@pytest.mark.parametrize("mode", MODES)
def test_pictures_of_a_batch_do_not_mix_and_inputs_stay(mode):
    picture = grey_picture()
    before = picture.clone()
    equal = equalize(picture, mode)
    assert torch.equal(equal[1:], equalize(picture[1:], mode))
    assert torch.equal(picture, before)
