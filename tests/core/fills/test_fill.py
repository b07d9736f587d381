"""Fills: known pixels stay, holes close with what the papers promise."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from isi.core.fills.fill import MODES, fill
from scipy import ndimage

SMOOTH = ["blur", "telea", "navier-stokes"]


def noise(seed: int, *shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def hole(height: int, width: int, box: tuple[int, int, int, int]) -> torch.Tensor:
    mask = torch.zeros(1, height, width)
    mask[0, box[0] : box[1], box[2] : box[3]] = 1
    return mask


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**31 - 1), mode=st.sampled_from(sorted(MODES)), batch=st.integers(1, 2),
    height=st.integers(1, 20), width=st.integers(1, 20), channels=st.sampled_from([1, 3, 4]),
    shared=st.booleans(), density=st.floats(0, 1),
)  # fmt: skip
def test_known_pixels_stay_bit_for_bit_and_none_is_unset(
    seed, mode, batch, height, width, channels, shared, density
):
    pixels = noise(seed, batch, height, width, channels) * 5 - 1
    level = noise(seed + 1, 1 if shared else batch, height, width)
    mask = torch.where(level < density, level, 0)
    before = pixels.clone()
    out = fill(pixels, mask, mode, seed=seed % 1000)
    assert torch.equal(pixels, before) and out.shape == pixels.shape and out.isfinite().all()
    known = (mask == 0).expand(batch, height, width)
    assert torch.equal(out[known], pixels[known])
    assert torch.equal(out, fill(pixels, mask, mode, seed=seed % 1000))


@pytest.mark.parametrize("mode", MODES)
def test_an_empty_mask_changes_nothing_and_a_full_one_is_neutral(mode):
    pixels = noise(1, 1, 16, 12, 3)
    assert fill(pixels, torch.zeros(1, 16, 12), mode) is pixels
    assert (fill(pixels, torch.ones(1, 16, 12), mode) == 0.5).all()


@pytest.mark.parametrize("mode", [mode for mode in MODES if mode != "neutral"])
def test_constants_go_on(mode):
    pixels = torch.tensor([0.2, 0.6, 3.0]).expand(1, 40, 40, 3)
    out = fill(pixels, hole(40, 40, (10, 30, 12, 40)), mode)
    torch.testing.assert_close(out, pixels.clone(), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("mode", MODES)
def test_graded_masks_mix_and_filled_pixels_are_opaque(mode):
    pixels = noise(2, 1, 24, 24, 4)
    whole, half = (fill(pixels, hole(24, 24, (8, 16, 8, 16)) * level, mode) for level in (1.0, 0.5))
    torch.testing.assert_close(half, (whole + pixels) / 2)
    assert (whole[0, 8:16, 8:16, 3] == 1).all()


def test_edge_is_the_nearest_known_pixel():
    pixels = noise(3, 1, 30, 26, 3)
    mask = (noise(4, 1, 30, 26) > 0.2).float()
    index = ndimage.distance_transform_edt(mask[0].numpy(), return_distances=True, return_indices=True)
    out = fill(pixels, mask, "edge")[0]
    known = mask[0] == 0
    for y, x in mask[0].nonzero()[::7].tolist():
        distance = (known.nonzero() - torch.tensor([y, x])).float().norm(dim=1)
        assert distance.min() == pytest.approx(index[0][y, x])
        candidates = pixels[0][known][distance <= distance.min() + 1e-4]
        assert (candidates == out[y, x]).all(1).any()


@pytest.mark.parametrize("mode", SMOOTH)
def test_smooth_fills_follow_a_ramp(mode):
    """A linear ramp is harmonic: its own oracle inside any hole. Grey would be off by half the range."""
    ramp = torch.linspace(0, 1, 60)[None, None, :, None].expand(1, 60, 60, 3)
    mask = hole(60, 60, (24, 36, 24, 36))
    error = (fill(ramp, mask, mode) - ramp)[0, 24:36, 24:36].abs()
    assert error.mean() < 0.03 and error.max() < 0.1


@pytest.mark.parametrize("mode", ["telea", "navier-stokes"])
def test_marching_fills_carry_an_edge_across_and_membranes_do_not(mode):
    """A vertical edge through a wide, short hole: the isophote is to arrive on the other side."""
    step = (torch.arange(80) >= 40).float()[None, None, :, None].expand(1, 60, 80, 3)
    mask = hole(60, 80, (24, 36, 20, 60))
    errors = {m: float((fill(step, mask, m) - step)[0, 24:36, 20:60].abs().mean()) for m in (mode, "blur")}
    assert errors[mode] < 0.5 * errors["blur"]


def test_telea_extrapolates_gradients_that_its_rivals_do_not():
    """Equation 2 of the paper has a gradient term: at the first layer the ramp goes on at full slope."""
    ramp = torch.linspace(0, 1, 60)[None, None, :, None].expand(1, 60, 60, 1)
    mask = hole(60, 60, (20, 40, 20, 40))
    first = {m: float((fill(ramp, mask, m) - ramp)[0, 30, 20, 0].abs()) for m in SMOOTH}
    assert first["telea"] < 0.2 * min(first["blur"], first["navier-stokes"])


def test_patch_noise_has_the_known_colours_and_a_red_spectrum():
    pixels = torch.cumsum(noise(5, 1, 128, 128, 3) - 0.5, 2)
    mask = hole(128, 128, (32, 96, 32, 96))
    out = fill(pixels, mask, "patch noise", seed=4)
    known = pixels[0][mask[0] == 0]
    new = out[0, 32:96, 32:96].reshape(-1, 3)
    for q in (0.05, 0.5, 0.95):
        torch.testing.assert_close(new.quantile(q, 0), known.quantile(q, 0), atol=0.05, rtol=0.02)
    grey = out[0, 32:96, 32:96].mean(-1)
    assert grey.diff(dim=1).square().mean() < 0.5 * 2 * grey.var()  # white noise: 2 * variance
    assert not torch.equal(out, fill(pixels, mask, "patch noise", seed=5))
