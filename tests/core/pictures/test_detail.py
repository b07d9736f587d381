"""Detail transfer against closed forms: what a light does to a picture, undone to the bit or to rounding."""

import numpy
import pytest
import torch
from isi.core.pictures.detail import MODES, soft_light, transfer_detail
from scipy.ndimage import gaussian_filter

SOURCE = torch.rand(1, 40, 56, 3, generator=torch.Generator().manual_seed(3)) * 0.6 + 0.2


def test_add_gives_back_what_was_blurred_and_shifted():
    """G(G s + c) is not G s, but a plain light on the picture itself is taken back exactly."""
    made = transfer_detail(SOURCE + 0.1, SOURCE, "add", 2.0, 1.0)
    assert torch.allclose(made, SOURCE + 0.1, atol=1e-6)


def test_multiply_scales_detail_with_the_light():
    made = transfer_detail(0.5 * SOURCE, SOURCE, "multiply", 2.0, 1.0)
    assert torch.allclose(made, 0.5 * SOURCE, atol=1e-6)


@pytest.mark.parametrize("mode", ["add", "multiply"])
def test_it_is_the_formula_with_scipys_gaussian(mode):
    def blur(picture):
        return gaussian_filter(picture[0].double().numpy(), (1.7, 1.7, 0), mode="nearest", truncate=3.0)

    target = SOURCE.flip(1)
    s, t = SOURCE[0].double().numpy(), blur(target)
    expected = t + s - blur(SOURCE) if mode == "add" else t * s / blur(SOURCE)
    made = transfer_detail(target, SOURCE, mode, 1.7, 1.0)[0].numpy()
    assert numpy.abs(made - expected.clip(0, 1)).max() < 1e-5


def test_soft_light_of_a_middle_grey_is_nothing():
    assert torch.allclose(soft_light(SOURCE, torch.full_like(SOURCE, 0.5)), SOURCE, atol=1e-6)
    plain = torch.full_like(SOURCE, 0.3)
    assert torch.allclose(transfer_detail(SOURCE, plain, "soft light", 3.0, 1.0), SOURCE, atol=1e-6)
    # The W3C's two branches of D at 0.25 meet, and layers of 0 and 1 give b^2 and D(b).
    b = torch.linspace(0.26, 1, 50)
    assert torch.allclose(soft_light(b, torch.zeros(50)), b * b, atol=1e-6)
    assert torch.allclose(soft_light(b, torch.ones(50)), b.sqrt(), atol=1e-6)


@pytest.mark.parametrize("mode", MODES)
def test_off_and_outside_the_mask_is_the_target(mode):
    target = torch.cat([SOURCE.flip(2), torch.rand(1, 40, 56, 1)], -1)
    assert transfer_detail(target, SOURCE, mode, 2.0, 0.0) is target
    mask = torch.zeros(1, 40, 56)
    mask[:, 10:20, 10:20] = 1
    made = transfer_detail(target, SOURCE, mode, 2.0, 1.0, mask)
    assert torch.equal(made[:, :10], target[:, :10]) and torch.equal(made[..., 3], target[..., 3])
    assert not torch.equal(made[:, 10:20, 10:20, :3], target[:, 10:20, 10:20, :3])


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_the_float_result_rounded(mode, dtype):
    target, source = SOURCE.flip(1).to(dtype), SOURCE.to(dtype)
    made = transfer_detail(target, source, mode, 2.0, 0.7)
    assert made.dtype == dtype
    assert torch.equal(made, transfer_detail(target.float(), source.float(), mode, 2.0, 0.7).to(dtype))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_sizes_channels_and_batches(mode, channels):
    target = torch.rand(3, 33, 47, channels)
    made = transfer_detail(target, SOURCE, mode, 4.0, 1.0, torch.rand(20, 20))
    assert made.shape == target.shape and torch.isfinite(made).all()
    with pytest.raises(ValueError, match="as many as there are targets"):
        transfer_detail(target, SOURCE.repeat(2, 1, 1, 1), mode, 4.0, 1.0)


def test_a_black_source_is_finite():
    made = transfer_detail(SOURCE, torch.zeros_like(SOURCE), "multiply", 2.0, 1.0)
    assert torch.isfinite(made).all()
