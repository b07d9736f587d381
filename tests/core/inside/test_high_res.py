"""Deep blocks at the size that they know, and windows, against torch's own convolution."""

import pytest
import torch
from isi.core.inside.high_res import halvings, into_windows, out_of_windows, shift, thinned, windows
from torch.nn import functional


@pytest.mark.parametrize("size", [(16, 16), (13, 18)])
def test_a_thinned_map_makes_a_downsampler_stride_by_four(size):
    x, weight = torch.rand(2, 3, *size, dtype=torch.float64), torch.rand(5, 3, 3, 3, dtype=torch.float64)
    paper = functional.conv2d(x, weight, stride=4, dilation=2, padding=2)
    assert torch.allclose(functional.conv2d(thinned(x), weight, stride=2, padding=1), paper)


def test_what_is_twice_as_large_is_halved_once_and_what_is_not_larger_is_not():
    assert [halvings(side, side, 64) for side in (32, 64, 90, 91, 128, 256)] == [0, 0, 0, 1, 1, 2]
    assert halvings(64, 256, 64) == 1  # by area
    assert [windows(side, 4) for side in (64, 6, 65, 7)] == [4, 3, 1, 1]


def test_each_window_is_a_part_of_the_picture_and_all_of_it_comes_back():
    height, width, grid = 6, 8, (2, 4)
    places = torch.arange(height * width).reshape(1, -1, 1)
    for step in range(5):
        moved = shift(height, width, grid, step)
        cut = into_windows(places, height, width, grid, moved)
        assert torch.equal(out_of_windows(cut, height, width, grid, moved), places)
        for window in cut[..., 0]:
            # Where each place lies in its window's own frame: the same frame for all of them.
            rows, columns = (window // width - moved[0]) % height, (window % width - moved[1]) % width
            assert set((rows // 3 * 4 + columns // 2).tolist()) == {int(rows[0] // 3 * 4 + columns[0] // 2)}
    assert [shift(8, 16, (2, 2), step) for step in range(5)] == [(0, 0), (1, 2), (2, 4), (3, 6), (0, 0)]
    assert shift(8, 16, (1, 2), 1) == (0, 2)  # one window has no rim to move
