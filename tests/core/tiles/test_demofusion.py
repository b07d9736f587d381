"""The paper's equations against closed forms."""

import math

import pytest
import torch
from isi.core.tiles.demofusion import (
    blurred,
    dilated,
    fused,
    sparse_rows,
    with_statistics,
)


def random(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_mixes_are_linear_and_exact_at_their_ends():
    a, b = random(1, 4, 8, 8), random(1, 4, 8, 8, seed=1)
    assert torch.equal(fused(a, b, 0.0), a) and torch.equal(fused(a, b, 1.0), b)
    assert torch.allclose(fused(a, b, 0.25), 0.25 * b + 0.75 * a)


def test_blur_is_the_gaussian_and_keeps_the_statistics():
    z, s = random(2, 4, 33, 29), 3
    out = blurred(z, s, 1.0)
    at = torch.arange(-2, 3, dtype=torch.float64)
    kernel = torch.exp(-(at**2) / 2)
    kernel = torch.outer(kernel, kernel) / kernel.sum() ** 2
    direct = torch.zeros_like(z[..., 2:-2, 2:-2])
    for y in range(5):
        for x in range(5):
            direct += kernel[y, x] * z[..., y : y + 29, x : x + 25]
    # Restoring the statistics is one affine map of each picture.
    for plain, ours in zip(direct.flatten(1), out[..., 2:-2, 2:-2].flatten(1), strict=True):
        slope = (ours[0] - ours[1]) / (plain[0] - plain[1])
        assert torch.allclose((plain - plain[0]) * slope + ours[0], ours)
    assert torch.allclose(out.mean((1, 2, 3)), z.mean((1, 2, 3)))
    assert torch.allclose(out.std((1, 2, 3)), z.std((1, 2, 3)))


def test_blur_vanishes_at_the_end():
    z = random(1, 4, 16, 16)
    assert torch.equal(blurred(z, 4, 0.0), z)


def test_a_video_is_blurred_frame_by_frame():
    z = random(1, 4, 3, 16, 16)
    still = z[:, :, :1].expand(-1, -1, 3, -1, -1)
    out = blurred(still, 2, 1.0)
    assert torch.equal(out[:, :, 0], out[:, :, 2])


@pytest.mark.parametrize("length", [7, 8, 9])
def test_sparse_rows_cover_every_cell_once(length):
    cells = [row for offset in range(3) for row in range(offset, length, 3)]
    assert sorted(cells) == list(range(length))
    for offset in range(3):
        rows = sparse_rows(length, 3, offset).tolist()
        own = list(range(offset, length, 3))
        assert rows[: len(own)] == own and len(rows) == math.ceil(length / 3)


def test_dilated_prediction_takes_the_noise_of_the_blurred_picture():
    x, x_g, z = random(1, 4, 8, 8), random(1, 4, 8, 8, seed=1), random(1, 4, 8, 8, seed=2)
    sigma = 0.7
    eps = (x_g - z) / sigma
    assert torch.allclose(dilated(x, x_g, z), x - sigma * eps)
    assert torch.allclose(dilated(x, x, z), z)


def test_statistics_of_a_constant_stay_finite():
    assert torch.isfinite(with_statistics(torch.zeros(1, 4, 8, 8), random(1, 4, 8, 8))).all()
