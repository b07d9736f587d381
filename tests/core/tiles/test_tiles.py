"""Tiles cover the canvas, are equal, keep their overlap and waste little."""

import math

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from isi.core.tiles.tiles import Axis, fit_axis, fit_layout

axes = st.builds(
    lambda length, overlap, extra, multiple, wrap, fit: (
        fit_axis(length, overlap + extra, overlap, multiple=multiple, wrap=wrap, fit=fit),
        overlap,
        multiple,
    ),
    st.integers(1, 700), st.integers(0, 40), st.integers(8, 120), st.integers(1, 8),
    st.booleans(), st.booleans(),
)  # fmt: skip


def covered(axis: Axis) -> list[int]:
    """How many tiles lie on each cell, counted cell by cell."""
    counts = [0] * axis.length
    for start in axis.starts:
        for cell in range(start, start + axis.tile):
            counts[cell % axis.length if axis.wrap else cell] += 1
    return counts


@given(axes)
def test_every_cell_is_covered_and_every_overlap_is_kept(case):
    axis, overlap, _ = case
    assert min(covered(axis)) >= 1
    assert all(shared >= overlap for shared in axis.overlaps())
    assert axis.starts == tuple(sorted(set(axis.starts)))


@given(axes, st.floats(0, 1))
def test_a_shifted_grid_covers_too(case, fraction):
    axis, overlap, multiple = case
    shifted = axis.shifted(fraction, multiple)
    assert min(covered(shifted)) >= 1
    assert all(shared >= overlap for shared in shifted.overlaps())
    assert shifted.tile == axis.tile and len(shifted) <= len(axis) + 1
    assert axis.shifted(0.0, multiple) == axis


@given(axes)
def test_pieces_are_the_tile_modulo_the_canvas(case):
    axis, _, _ = case
    for i, start in enumerate(axis.starts):
        cells = [at + k for at, _, size in axis.pieces(i) for k in range(size)]
        assert cells == [(start + k) % axis.length for k in range(axis.tile)]


@given(st.integers(1, 700), st.integers(9, 300), st.integers(0, 8))
def test_fitted_tiles_never_exceed_the_asked_size_and_number_is_least(length, tile, overlap):
    axis = fit_axis(length, tile, overlap)
    assert axis.tile <= tile
    fewer = len(axis) - 1
    assert fewer == 0 or fewer * tile - (fewer - 1) * overlap < length


@given(st.integers(1, 700), st.integers(9, 300), st.integers(0, 8))
def test_unfitted_tiles_have_the_asked_size(length, tile, overlap):
    assert fit_axis(length, tile, overlap, fit=False).tile == min(tile, length)


@given(st.floats(2, 64), st.floats(-1, 1), st.sampled_from([(64, 1.15), (128, 1.28)]))
def test_redundant_compute_is_small(megapixels, aspect, case):
    overlap, limit = case
    width = round(math.sqrt(megapixels * 1e6 * 2**aspect) / 16) * 16
    height = round(megapixels * 1e6 / width / 16) * 16
    assume(max(width / height, height / width) <= 2)
    layout = fit_layout(height, width, 1216, overlap, multiple=16)
    assert layout.redundancy <= limit
    assert max(layout.tile_size) <= 1216


@pytest.mark.parametrize("wrap", [(False, False), (False, True), (True, True)])
def test_cut_and_add_agree_with_indexing(wrap):
    layout = fit_layout(23, 41, 12, 3, wrap_rows=wrap[0], wrap_columns=wrap[1])
    canvas = torch.arange(2 * 23 * 41).reshape(2, 23, 41)
    sums = torch.zeros(23, 41)
    for tile in layout:
        ys = (torch.arange(tile.height) + tile.y) % 23
        xs = (torch.arange(tile.width) + tile.x) % 41
        assert torch.equal(layout.cut(canvas, tile), canvas[:, ys][:, :, xs])
        layout.add(sums, tile, torch.ones(tile.height, tile.width))
    expected = torch.tensor(covered(layout.rows)).unsqueeze(1) * torch.tensor(covered(layout.columns))
    assert torch.equal(sums, expected.float())


def test_a_wrapped_tile_may_be_longer_than_the_canvas():
    axis = fit_axis(20, 64, 6, wrap=True)
    assert axis == Axis(20, 26, (0,), wrap=True)
    assert axis.pieces(0) == [(0, 0, 20), (0, 20, 6)]


def test_scaling_is_the_same_grid_in_finer_units():
    layout = fit_layout(100, 150, 48, 8, multiple=2, wrap_columns=True)
    fine = layout.scaled(8)
    canvas = torch.rand(3, 100, 150)
    big = canvas.repeat_interleave(8, -1).repeat_interleave(8, -2)
    for coarse, tile in zip(layout, fine, strict=True):
        part = layout.cut(canvas, coarse).repeat_interleave(8, -1).repeat_interleave(8, -2)
        assert torch.equal(fine.cut(big, tile), part)


def test_a_tile_larger_than_the_canvas_is_one_tile():
    assert fit_layout(64, 96, 96, 8).whole
    assert not fit_layout(64, 97, 96, 8).whole
    assert not fit_layout(64, 96, 128, 8, wrap_columns=True).whole


@pytest.mark.parametrize("overlap", [64, 65, -1])
def test_overlap_must_be_smaller_than_the_tile(overlap):
    with pytest.raises(ValueError, match="larger than its overlap"):
        fit_axis(256, 64, overlap)
