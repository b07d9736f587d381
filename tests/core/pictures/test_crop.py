"""Context crops: geometry, three masks, colours matched on the known ring."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from isi.core.pictures.crop import (
    Box,
    Crop,
    ViewSize,
    blended,
    bounds,
    known_ring,
    match_colour,
    take,
    take_mask,
)
from isi.core.pictures.masks import feather, grow

sides = st.integers(1, 300)


def picture(seed: int, *shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def smooth(seed: int, height: int, width: int, channels: int = 3) -> torch.Tensor:
    """A picture with low frequencies, so that a seam stands out in its gradients."""
    generator = torch.Generator().manual_seed(seed)
    y, x = torch.arange(height)[:, None, None] / height, torch.arange(width)[None, :, None] / width
    phase = torch.rand(2, channels, generator=generator) * 6
    rate = torch.rand(2, channels, generator=generator) * 9
    waves = torch.sin(rate[0] * y + phase[0]) + torch.sin(rate[1] * x + phase[1])
    return (0.5 + 0.2 * waves)[None]


@settings(max_examples=200, deadline=None)
@given(
    top=st.integers(0, 200), left=st.integers(0, 200), height=sides, width=sides,
    frame=st.tuples(st.integers(200, 600), st.integers(200, 600)),
    target=st.one_of(st.none(), st.tuples(st.integers(8, 300), st.integers(8, 300))),
    megapixels=st.one_of(st.none(), st.floats(0.001, 2)), multiple=st.sampled_from([1, 8, 64]),
)  # fmt: skip
def test_a_fitted_box_holds_the_mask_has_the_views_aspect_and_stays_inside(
    top, left, height, width, frame, target, megapixels, multiple
):
    box = Box(top, left, min(height, frame[0] - top) or 1, min(width, frame[1] - left) or 1)
    box = box.within(*frame)
    if box.height <= 0 or box.width <= 0:
        return
    fitted, view = ViewSize(target, megapixels, multiple).fit(box, frame)
    if target:
        assert view == target
    else:
        assert view[0] % multiple == 0 and view[1] % multiple == 0
    # Aspect within the rounding of one pixel.
    assert abs(fitted.height * view[1] - fitted.width * view[0]) <= max(view)
    for start, length, inner, inner_length, limit in (
        (fitted.top, fitted.height, box.top, box.height, frame[0]),
        (fitted.left, fitted.width, box.left, box.width, frame[1]),
    ):
        assert start <= inner and start + length >= inner + inner_length
        assert (start >= 0 and start + length <= limit) if length <= limit else start <= 0


@settings(max_examples=100, deadline=None)
@given(top=st.integers(-9, 11), left=st.integers(-9, 11), height=st.integers(1, 30), width=st.integers(1, 30))
def test_taking_repeats_the_edge_and_masks_nothing_beyond_the_frame(top, left, height, width):
    box = Box(top, left, max(height, 1 - top), max(width, 1 - left))
    image = picture(1, 2, 12, 12, 3)
    rows = torch.arange(box.top, box.bottom)
    columns = torch.arange(box.left, box.right)
    expected = image[:, rows.clamp(0, 11)][:, :, columns.clamp(0, 11)]
    assert torch.equal(take(image, box), expected)
    beyond = ((rows < 0) | (rows > 11))[:, None] | ((columns < 0) | (columns > 11))[None]
    mask = take_mask(torch.ones(1, 12, 12), box)
    assert torch.equal(mask[0], (~beyond).float())


def test_bounds_are_those_of_any_level_above_0():
    mask = torch.zeros(2, 20, 30)
    assert bounds(mask) is None
    mask[0, 3, 4] = 1e-6
    mask[1, 10, 20] = 1
    assert bounds(mask, 0) == Box(3, 4, 8, 17)


@pytest.mark.parametrize("pixels", [0, 1, 2, 15, 16])
def test_a_blended_mask_is_1_inside_and_ends_n_pixels_outside(pixels):
    mask = torch.zeros(1, 80, 80)
    mask[0, 30:50, 30:50] = 1
    soft = blended(mask, pixels)
    assert (soft[mask == 1] == 1).all()
    assert (soft[grow(mask, pixels) == 0] == 0).all()
    if pixels:
        assert (soft[0, 40, 50 : 50 + pixels - 1] > 0).all()


def crop_of(box: Box, view: tuple[int, int], mask: torch.Tensor, match: float = 0.0) -> tuple[Crop, dict]:
    names = {"m": take_mask(mask, box)}
    return Crop(box.top, box.left, box.height, box.width, *view, "m", "m", match), names


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("match", [0.0, 0.5, 1.0])
def test_identity_round_trip_is_bit_exact_at_scale_1(channels, match):
    image = picture(2, 2, 90, 100, channels) * 4 - 1
    mask = torch.zeros(1, 90, 100)
    mask[0, 40:60, 45:70] = 1
    crop, assets = crop_of(Box(-4, 20, 88, 80), (88, 80), mask, match)
    assert torch.equal(crop.put(image, crop.get(image, assets).pixels, assets), image)


@pytest.mark.parametrize("view", [(64, 64), (160, 160), (80, 80), (37, 41)])
@pytest.mark.parametrize("match", [0.0, 1.0])
def test_constant_pictures_are_exact_at_any_scale(view, match):
    image = torch.tensor([0.1, 1 / 3, 5.5]).expand(1, 90, 100, 3)
    mask = torch.zeros(1, 90, 100)
    mask[0, 40:50, 45:60] = 1
    crop, assets = crop_of(Box(5, 10, 80, 80), view, mask, match)
    assert torch.equal(crop.put(image, crop.get(image, assets).pixels, assets), image)


@settings(max_examples=12, deadline=None)
@given(
    seed=st.integers(0, 2**31 - 1),
    gain=st.lists(st.floats(0.7, 1.4), min_size=3, max_size=3),
    shift=st.lists(st.floats(-0.2, 0.2), min_size=3, max_size=3),
)
def test_a_shift_and_gain_is_taken_back_on_the_known_ring(seed, gain, shift):
    """Seam: offset at most 1/255, and gradients across it at most 1.1 times what they were."""
    image = smooth(seed, 160, 160)
    mask = torch.zeros(1, 160, 160)
    mask[0, 60:100, 60:100] = 1
    crop, assets = crop_of(Box(10, 10, 140, 140), (140, 140), feather(mask, 4), match=1.0)
    drifted = crop.get(image, assets).pixels * torch.tensor(gain) + torch.tensor(shift)
    after = crop.put(image, drifted, assets)
    assert (after - image).abs().max() <= 1 / 255
    jump, own = ((p[0, 50:110, 50:110].diff(dim=1)).abs().mean() for p in (after, image))
    assert jump <= 1.1 * own


def test_noise_on_a_flat_ring_changes_no_contrast():
    under = torch.full((1, 60, 60, 3), 0.5)
    patch = 0.55 + 0.01 * torch.randn(1, 60, 60, 3, generator=torch.Generator().manual_seed(0))
    everywhere = torch.ones(1, 60, 60, dtype=torch.bool)
    out = match_colour(patch, under, everywhere, 1.0)
    assert abs(float(out.mean()) - 0.5) < 1e-5
    assert abs(float(out.std() / patch.std()) - 1) < 0.01


def test_matching_leaves_alpha_alone_and_needs_a_ring():
    patch, under = picture(1, 1, 20, 20, 4), picture(2, 1, 20, 20, 4)
    ring = torch.zeros(1, 20, 20, dtype=torch.bool)
    assert torch.equal(match_colour(patch, under, ring, 1.0), patch)
    ring[:, :5] = True
    out = match_colour(patch, under, ring, 1.0)
    assert torch.equal(out[..., 3], patch[..., 3]) and not torch.equal(out[..., :3], patch[..., :3])


def test_the_ring_keeps_away_from_the_mask_and_stays_near_it():
    mask = torch.zeros(1, 200, 200)
    mask[0, 100, 100] = 0.1
    rows, columns = known_ring(mask)[0].nonzero().T
    reach = torch.maximum((rows - 100).abs(), (columns - 100).abs())
    assert (int(reach.min()), int(reach.max())) == (9, 40)


def test_a_sampled_rgb_view_goes_into_grey_and_rgba():
    mask = torch.zeros(1, 40, 40)
    mask[0, 10:20, 10:20] = 1
    for channels in (1, 4):
        image = picture(3, 1, 40, 40, channels)
        crop, assets = crop_of(Box(0, 0, 40, 40), (40, 40), mask)
        after = crop.put(image, torch.full((1, 40, 40, 3), 0.25), assets)
        assert after.shape == image.shape
        assert (after[0, 10:20, 10:20, :3] == 0.25).all()
        assert channels == 1 or torch.equal(after[..., 3], image[..., 3])
