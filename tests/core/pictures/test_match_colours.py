"""Colours matched to a reference: statistics in RGB and L*a*b*, distribution, and what is excluded."""

import pytest
import torch
from isi.core.pictures.colour import MATCHINGS, match_colours
from kornia.color import rgb_to_lab


def noisy(seed: int, mean: tuple, spread: float, height: int = 40, width: int = 50, channels: int = 3):
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(1, height, width, channels, generator=generator).clamp(-3, 3)
    return torch.tensor(mean[:channels]) + spread * values


BLUE = ((0.3, 0.4, 0.7), 0.03)
RED = ((0.6, 0.4, 0.35), 0.06)


@pytest.mark.parametrize("mode", MATCHINGS)
def test_a_picture_matched_to_itself_stays_and_0_is_absent(mode):
    picture = noisy(1, *BLUE)
    torch.testing.assert_close(match_colours(picture, picture, mode), picture, atol=2e-5, rtol=0)
    assert match_colours(picture, noisy(2, *RED), mode, 0.0) is picture


def test_mean_and_contrast_are_the_references():
    made = match_colours(noisy(1, *BLUE), noisy(2, *RED))
    wanted = noisy(2, *RED)
    torch.testing.assert_close(made.mean((1, 2)), wanted.mean((1, 2)))
    torch.testing.assert_close(made.std((1, 2)), wanted.std((1, 2)))


def test_lab_statistics_are_the_references_in_the_eyes_of_kornia():
    made, wanted = (
        rgb_to_lab(p.movedim(-1, 1))
        for p in (match_colours(noisy(1, *BLUE), noisy(2, *RED), "lab"), noisy(2, *RED))
    )
    torch.testing.assert_close(made.mean((2, 3)), wanted.mean((2, 3)), atol=0.1, rtol=0)
    torch.testing.assert_close(made.std((2, 3)), wanted.std((2, 3)), atol=0.1, rtol=0)


def test_a_histogram_is_the_references_and_the_order_of_levels_stays():
    picture, reference = noisy(1, *BLUE), noisy(2, *RED)
    made = match_colours(picture, reference, "histogram")
    for channel in range(3):
        a, b = made[..., channel].flatten(), reference[..., channel].flatten()
        inner = slice(20, -20)  # the ends are clamped: ties
        torch.testing.assert_close(a.sort().values[inner], b.sort().values[inner], atol=1e-6, rtol=0)
        assert (a[picture[..., channel].flatten().argsort()].diff() >= -1e-6).all()


@pytest.mark.parametrize("mode", MATCHINGS)
def test_what_is_excluded_is_not_measured_but_corrected(mode):
    """A cast over a picture with a new thing in it: without the mask the thing's colour would pull."""
    reference = noisy(3, *BLUE, height=80, width=80)
    picture = reference + 0.08
    picture[:, 10:50, 10:50] = torch.tensor([0.95, 0.2, 0.1])
    exclude = torch.zeros(1, 80, 80)
    exclude[:, 10:50, 10:50] = 1
    outside = exclude[0] == 0
    errors = [
        (match_colours(picture, reference, mode, 1.0, mask) - reference)[0, outside].abs().mean()
        for mask in (exclude, None)
    ]
    assert errors[0] < 0.012 < errors[1]
    thing = match_colours(picture, reference, mode, 1.0, exclude)[0, 30, 30]
    assert not torch.equal(thing, picture[0, 30, 30])


@pytest.mark.parametrize("mode", MATCHINGS)
def test_alpha_stays_batches_are_matched_one_by_one_and_half_precision_is_rounded(mode):
    picture = torch.cat([noisy(1, *BLUE), noisy(5, *RED)])
    alpha = torch.rand(2, 40, 50, 1)
    rgba = torch.cat([picture, alpha], -1)
    made = match_colours(rgba, noisy(2, *RED), mode)
    assert torch.equal(made[..., 3:], alpha)
    single = torch.cat([match_colours(picture[i : i + 1], noisy(2, *RED), mode) for i in range(2)])
    torch.testing.assert_close(made[..., :3], single)
    half = [one.half() for one in (picture, noisy(2, *RED))]
    wide = [one.float() for one in half]
    assert torch.equal(match_colours(*half, mode), match_colours(*wide, mode).half())


def test_what_does_not_fit_is_refused():
    grey, three = noisy(1, (0.5,), 0.1, channels=1), noisy(1, *BLUE)
    with pytest.raises(ValueError, match="colour channels"):
        match_colours(grey, three)
    with pytest.raises(ValueError, match="expected 3 colour channels"):
        match_colours(grey, grey, "lab")
    with pytest.raises(ValueError, match="2 references for 3 pictures"):
        match_colours(three.expand(3, -1, -1, -1), three.expand(2, -1, -1, -1))
