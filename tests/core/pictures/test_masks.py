"""Masks: exact pixels, symmetric feathers, strokes that survive."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from isi.core.pictures.masks import (
    PROFILES,
    as_mask,
    boxed,
    feather,
    fill_holes,
    grow,
    inward,
    latent_blocks,
    levels,
    pool_to_latent,
    ramp,
    resize_mask,
    split_objects,
    threshold,
)
from scipy import ndimage
from torch.nn import functional

seeds = st.integers(0, 2**31 - 1)
sides = st.integers(1, 40)


def noise(seed: int, *shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


@settings(max_examples=60, deadline=None)
@given(seed=seeds, height=sides, width=sides, pixels=st.integers(-45, 45))
def test_grow_is_grey_dilation_and_erosion_by_a_square(seed, height, width, pixels):
    mask = noise(seed, 2, height, width)
    size = (1, 2 * abs(pixels) + 1, 2 * abs(pixels) + 1)
    filtered = (ndimage.maximum_filter if pixels >= 0 else ndimage.minimum_filter)(mask.numpy(), size)
    assert torch.equal(grow(mask, pixels), torch.from_numpy(filtered))


@pytest.mark.parametrize("pixels", [0, 1, 6, 32])
def test_a_pixel_grows_by_exactly_n_on_every_side(pixels):
    mask = torch.zeros(1, 101, 101)
    mask[0, 50, 50] = 1
    rows, columns = grow(mask, pixels)[0].nonzero().T
    for found in (rows, columns):
        assert (found.min(), found.max()) == (50 - pixels, 50 + pixels)


@pytest.mark.parametrize("profile", PROFILES)
def test_ramps_rise_from_0_to_1_and_are_symmetric(profile):
    t = torch.linspace(-0.5, 1.5, 201, dtype=torch.float64)
    y = ramp(t, profile)
    assert (y[t <= 0] == 0).all() and (y[t >= 1] == 1).all() and (y.diff() >= 0).all()
    torch.testing.assert_close(y + y.flip(0), torch.ones_like(y))


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("pixels", [1, 2, 7, 20])
def test_a_feathered_edge_is_the_ramp_with_its_middle_on_the_edge(profile, pixels):
    mask = torch.zeros(1, 9, 100)
    mask[..., 50:] = 1
    position = (torch.arange(100) - 49.5 + pixels + 0.5) / (2 * pixels + 1)
    expected = ramp(position.double(), profile).float().expand(1, 9, 100)
    torch.testing.assert_close(feather(mask, pixels, profile), expected, atol=5e-6, rtol=0)


@settings(max_examples=40, deadline=None)
@given(seed=seeds, height=sides, width=sides, pixels=st.integers(0, 50), profile=st.sampled_from(PROFILES))
def test_feather_is_symmetric_local_and_stays_in_range(seed, height, width, pixels, profile):
    mask = (functional.interpolate(noise(seed, 1, 1, 4, 4), (height, width))[0] > 0.5).float()
    soft = feather(mask, pixels, profile)
    assert ((soft >= 0) & (soft <= 1)).all()
    torch.testing.assert_close(feather(1 - mask, pixels, profile), 1 - soft, atol=1e-5, rtol=0)
    assert (soft[grow(mask, pixels) == 0] == 0).all()
    assert (soft[grow(mask, -pixels) == 1] == 1).all()


def test_feather_0_and_uniform_masks_stay_bit_equal():
    mask = noise(1, 1, 20, 20)
    assert feather(mask, 0) is mask
    for value in (0.0, 1.0):
        assert torch.equal(feather(torch.full((1, 30, 20), value), 9), torch.full((1, 30, 20), value))


@settings(max_examples=30, deadline=None)
@given(seed=seeds, height=st.integers(1, 24), width=st.integers(1, 24))
def test_fill_holes_agrees_with_scipy(seed, height, width):
    mask = (noise(seed, 1, height, width) > 0.45).float()
    expected = ndimage.binary_fill_holes(
        mask[0].numpy() > 0.5, structure=ndimage.generate_binary_structure(2, 1)
    )
    assert np.array_equal(fill_holes(mask)[0].numpy() > 0.5, expected)


def test_fill_holes_keeps_soft_edges_and_its_input():
    mask = torch.zeros(1, 20, 20)
    mask[0, 4:16, 4:16] = 0.7
    mask[0, 8:12, 8:12] = 0.2
    before = mask.clone()
    filled = fill_holes(mask)
    assert torch.equal(mask, before)
    assert (filled[0, 8:12, 8:12] == 1).all() and (filled[0, 4:8] == mask[0, 4:8]).all()


def test_objects_come_largest_first_with_their_own_levels():
    mask = torch.zeros(1, 40, 40)
    mask[0, 2:5, 2:5] = 0.5
    mask[0, 10:30, 10:30] = 1
    mask[0, 30, 30] = 0.3  # touches the large one by a corner
    mask[0, 35:39, 2:10] = 0.8
    objects = split_objects(mask, 8)
    assert [int((o > 0).sum()) for o in objects] == [401, 32, 9]
    assert torch.equal(objects.sum(0), mask[0])
    assert len(split_objects(mask, 2)) == 2
    assert torch.equal(split_objects(torch.zeros(1, 5, 6), 3), torch.zeros(1, 5, 6))


@settings(max_examples=60, deadline=None)
@given(y=st.integers(0, 66), x=st.integers(0, 66), height=st.integers(8, 67), width=st.integers(8, 67))
def test_a_stroke_of_one_pixel_survives_every_reduction(y, x, height, width):
    mask = torch.zeros(1, height, width)
    mask[0, y % height, x % width] = 1
    for how in ("max", "area"):
        small = pool_to_latent(mask, 8, how)
        assert small.shape == (1, -(-height // 8), -(-width // 8)) and small.sum() > 0
    assert resize_mask(mask, 8, 8).max() == 1


@settings(max_examples=20, deadline=None)
@given(seed=seeds, rows=st.integers(1, 6), columns=st.integers(1, 6), how=st.sampled_from(["max", "area"]))
def test_the_hosts_reduction_of_blocks_is_the_pooled_mask(seed, rows, columns, how):
    mask = noise(seed, 1, rows * 8, columns * 8)
    blocks = latent_blocks(mask, 8, how)
    reduced = functional.interpolate(blocks.unsqueeze(1), (rows, columns), mode="bilinear").squeeze(1)
    torch.testing.assert_close(reduced, pool_to_latent(mask, 8, how))
    if how == "area":
        torch.testing.assert_close(blocks.mean(), mask.mean())


def test_threshold_0_is_off_and_else_binary():
    mask = noise(3, 1, 8, 8)
    assert threshold(mask, 0) is mask
    assert set(threshold(mask, 0.4).unique().tolist()) <= {0.0, 1.0}


def test_bad_masks_are_refused_in_one_sentence():
    with pytest.raises(ValueError, match="NaN"):
        as_mask(torch.full((1, 4, 4), float("nan")), 4, 4)
    with pytest.raises(ValueError, match="8x4, but the picture is 9x5"):
        as_mask(torch.ones(1, 4, 8), 5, 9)
    with pytest.raises(ValueError, match="3 masks for 2 pictures"):
        as_mask(torch.ones(3, 4, 4), 4, 4, batch=2)
    with pytest.raises(ValueError, match="batch, height, width"):
        as_mask(torch.ones(1, 1, 4, 4), 4, 4)


def test_an_empty_mask_of_any_size_is_nothing():
    assert torch.equal(as_mask(torch.zeros(64, 64), 30, 50), torch.zeros(1, 30, 50))
    for shape in ((0, 30, 50), (0, 8, 8), (1, 0, 0)):
        assert torch.equal(as_mask(torch.zeros(shape), 30, 50, batch=3), torch.zeros(1, 30, 50))


def test_a_ramp_of_levels_is_linear_between_its_ends_and_off_at_0_to_1():
    mask = noise(3, 1, 8, 8)
    assert levels(mask, 0.0, 1.0) is mask
    made = levels(mask, 0.25, 0.5)
    assert (made[mask <= 0.25] == 0).all() and (made[mask >= 0.5] == 1).all()
    torch.testing.assert_close(levels(torch.tensor([[[0.375]]]), 0.25, 0.5), torch.tensor([[[0.5]]]))
    with pytest.raises(ValueError, match="set ramp_high above it"):
        levels(mask, 0.5, 0.5)


@settings(max_examples=30, deadline=None)
@given(seed=seeds, height=st.integers(1, 40), width=st.integers(1, 40), each=st.booleans())
def test_boxes_are_scipys_slices_round_objects_or_round_all(seed, height, width, each):
    mask = (noise(seed, 1, height, width) > 0.9).float() * 0.7
    labels, _ = ndimage.label(mask[0].numpy(), ndimage.generate_binary_structure(2, 2))
    expected = np.zeros((height, width), np.float32)
    for box in ndimage.find_objects(labels if each else (mask[0].numpy() > 0).astype(int)):
        expected[box] = 0.7
    assert np.array_equal(boxed(mask, each)[0].numpy(), expected)


@pytest.mark.parametrize("pixels", [0, 1, 8])
def test_an_inward_edge_starts_at_the_mask_and_is_whole_n_pixels_further_in(pixels):
    mask = torch.zeros(1, 40, 60)
    mask[0, 5:35, 20:50] = 0.8
    faded = inward(mask, pixels)
    assert torch.equal(faded > 0, mask > 0)
    row = faded[0, 20, 20:35]
    assert (row.diff() >= 0).all() and (row[pixels:] == 0.8).all() and (row[:pixels] < 0.8).all()
    assert torch.equal(inward(torch.ones(1, 8, 8), 3), torch.ones(1, 8, 8))
