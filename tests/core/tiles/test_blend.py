"""Blend weights: a partition of unity for any grid, zero where the margin asks for it."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from isi.core.tiles.blend import TILE_BLENDS, TileWeights, axis_weights
from isi.core.tiles.tiles import TileLayout, fit_axis


@settings(deadline=None)
@given(
    st.sampled_from(TILE_BLENDS), st.integers(1, 300), st.integers(1, 60), st.integers(0, 40),
    st.integers(0, 12), st.booleans(), st.floats(0, 1),
)  # fmt: skip
def test_weights_sum_to_one(blend, length, extra, overlap, margin, wrap, shift):
    axis = fit_axis(length, overlap + extra, overlap, wrap=wrap).shifted(shift)
    weights = axis_weights(axis, blend, margin)
    total = torch.zeros(length, dtype=torch.float64)
    for i, start in enumerate(axis.starts):
        cells = (torch.arange(axis.tile) + start) % length
        total.index_add_(0, cells, weights[i].double())
    assert torch.isfinite(weights).all() and weights.min() >= 0
    assert (total - 1).abs().max() <= 1e-6


@pytest.mark.parametrize("blend", TILE_BLENDS)
@pytest.mark.parametrize("wrap", [False, True])
def test_weights_sum_to_one_on_the_canvas_at_aspect_four_to_one(blend, wrap):
    layout = TileLayout(fit_axis(188, 112, 12, wrap=wrap), fit_axis(400, 27, 12, wrap=wrap))
    assert layout.tile_size[0] >= 3.7 * layout.tile_size[1]
    weights, total = TileWeights(layout, blend), torch.zeros(188, 400)
    for tile in layout:
        layout.add(total, tile, weights[tile])
    assert (total - 1).abs().max() <= 1e-6


@pytest.mark.parametrize("blend", TILE_BLENDS)
@pytest.mark.parametrize("wrap", [False, True])
def test_the_margin_of_inner_edges_counts_for_nothing(blend, wrap):
    axis = fit_axis(300, 90, 20, wrap=wrap)
    weights = axis_weights(axis, blend, 4)
    inner_left, inner_right = weights if wrap else weights[1:], weights if wrap else weights[:-1]
    assert inner_left[:, :4].max() == 0 and inner_right[:, -4:].max() == 0
    assert wrap or (weights[0, :4].min() == 1 and weights[-1, -4:].min() == 1)


def test_linear_is_the_straight_ramp():
    weights = axis_weights(fit_axis(28, 16, 4), "linear")
    assert torch.allclose(weights[0, 12:], torch.tensor([0.875, 0.625, 0.375, 0.125]))


def test_cosine_is_half_a_cosine():
    weights = axis_weights(fit_axis(28, 16, 4), "cosine")
    expected = 0.5 + 0.5 * torch.cos(torch.pi * torch.tensor([0.125, 0.375, 0.625, 0.875]))
    assert torch.allclose(weights[0, 12:], expected)
