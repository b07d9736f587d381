"""Drift lock: the statistics it promises, and what it must leave alone."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from isi.core.loop.drift import match_statistics


def pictures(batch=2, height=40, width=50, channels=3, seed=0):
    """Pictures with other colours and contrast in each channel."""
    generator = torch.Generator().manual_seed(seed)
    scale = torch.rand(batch, 1, 1, channels, generator=generator) * 0.4 + 0.1
    shift = torch.rand(batch, 1, 1, channels, generator=generator) * 0.5
    return torch.rand(batch, height, width, channels, generator=generator) * scale + shift


def moments(picture):
    flat = picture.double().flatten(1, 2)
    return flat.mean(1), flat.std(1, correction=0)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 3), st.integers(2, 30), st.integers(2, 30), st.sampled_from([1, 3]), st.integers(0, 99))
def test_full_strength_gives_each_picture_the_moments_of_its_reference(batch, height, width, channels, seed):
    picture, reference = pictures(batch, height, width, channels, seed), pictures(batch, 24, 17, channels, 1)
    torch.testing.assert_close(
        moments(match_statistics(picture, reference)), moments(reference), atol=1e-5, rtol=1e-4
    )


def test_strength_goes_in_a_straight_line_and_0_is_absent():
    picture, reference = pictures(), pictures(seed=1)
    assert match_statistics(picture, reference, 0.0) is picture
    full, half = (match_statistics(picture, reference, s) for s in (1.0, 0.5))
    torch.testing.assert_close(half, (picture + full) / 2)


def test_a_picture_that_is_its_own_reference_comes_back_bit_for_bit():
    picture = pictures()
    assert torch.equal(match_statistics(picture, picture.clone()), picture)


def test_one_reference_serves_a_batch():
    matched = match_statistics(pictures(3), pictures(1, seed=1))
    mean, std = moments(pictures(1, seed=1))
    torch.testing.assert_close(moments(matched), (mean.expand(3, 3), std.expand(3, 3)), atol=1e-5, rtol=1e-4)


def test_masked_pixels_are_not_counted():
    picture, reference = pictures(), pictures(seed=1)
    mask = torch.zeros(1, 40, 50)
    mask[:, 10:20, 10:30] = 1
    mask[:, 9, 10:30] = 0.25  # a soft edge may change too
    matched = match_statistics(picture, reference, mask=mask)
    other = torch.where(mask.unsqueeze(-1) > 0, 9.0, picture)
    outside = (mask == 0)[0]
    assert torch.equal(match_statistics(other, reference, mask=mask)[:, outside], matched[:, outside])
    torch.testing.assert_close(
        moments(matched[:, outside].unsqueeze(1)),
        moments(reference[:, outside].unsqueeze(1)),
        atol=1e-5, rtol=1e-4,
    )  # fmt: skip


def test_a_loop_that_only_changes_masked_pixels_is_left_alone():
    picture = pictures()
    mask = torch.zeros(2, 40, 50)
    mask[0, :20], mask[1, :, 5:9] = 1, 1
    result = torch.where(mask.unsqueeze(-1) > 0, torch.rand(picture.shape), picture)
    assert torch.equal(match_statistics(result, picture, mask=mask), result)


def test_a_mask_that_covers_all_is_as_no_mask():
    picture, reference = pictures(), pictures(seed=1)
    matched = match_statistics(picture, reference, mask=torch.ones(1, 40, 50))
    assert torch.equal(matched, match_statistics(picture, reference))


@pytest.mark.parametrize("level", [0.0, 0.1, 0.7, 1.0])
def test_constant_channels_move_to_the_mean_and_stay_finite(level):
    flat, picture = torch.full((2, 400, 500, 3), level), pictures()
    moved = match_statistics(flat, picture)
    torch.testing.assert_close(moved, moments(picture)[0].float()[:, None, None].expand_as(moved))
    kept = match_statistics(picture, flat)
    torch.testing.assert_close(kept.mean((1, 2)), torch.full((2, 3), level), atol=1e-5, rtol=0)
    torch.testing.assert_close(moments(kept)[1], moments(picture)[1])


def test_alpha_stays():
    picture = pictures(channels=4)
    matched = match_statistics(picture, pictures(seed=1))
    assert torch.equal(matched[..., 3], picture[..., 3])
    torch.testing.assert_close(moments(matched[..., :3])[0], moments(pictures(seed=1))[0])


def test_half_precision_is_measured_in_float():
    matched = match_statistics(pictures().half(), pictures(seed=1))
    assert matched.dtype == torch.float16
    torch.testing.assert_close(moments(matched), moments(pictures(seed=1)), atol=1e-3, rtol=1e-2)


def test_inputs_are_not_written_into():
    picture, reference = pictures(), pictures(seed=1)
    before = picture.clone(), reference.clone()
    match_statistics(picture, reference)
    assert torch.equal(picture, before[0])
    assert torch.equal(reference, before[1])


@pytest.mark.parametrize("reference", [torch.zeros(3, 8, 8, 3), torch.zeros(1, 8, 8, 1)])
def test_a_reference_that_does_not_fit_is_an_error(reference):
    with pytest.raises(ValueError, match="Drift lock"):
        match_statistics(pictures(), reference)


@pytest.mark.parametrize("contrast", [1.0, 1.01])
def test_injected_drift_of_one_level_a_step_for_fifty_steps(contrast):
    """A loop that gets brighter by 1/255 a step, and maybe harder, between clamps as a VAE has them."""
    start = (pictures(1, 200, 200) * 255).round() / 255
    middle = start.mean((1, 2), keepdim=True)

    def drift(picture):
        return ((picture - middle) * contrast + middle + 1 / 255).clamp(0, 1)

    free = held = start
    for _ in range(50):
        free = drift(free)
        held = match_statistics(drift(held), start)
    (mean, std), (held_mean, held_std) = moments(start), moments(held)
    assert ((moments(free)[0] - mean).abs() > 20 / 255).all()
    assert ((held_mean - mean).abs() <= 0.5 / 255).all()
    assert ((held_std / std - 1).abs() <= 0.02).all()

    def levels(picture):
        return len((picture * 255).round().unique())

    assert levels(held) >= 0.95 * levels(start)
