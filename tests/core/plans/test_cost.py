"""What tiled work costs, counted by hand and against the tiles themselves."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from isi.core.loop.lens import Whole
from isi.core.loop.plan import Plan, Step
from isi.core.pictures.flat import detail_map
from isi.core.plans.cost import Geometry, peak_input, plan_cost, report, stage_cost
from isi.core.plans.upscale import Upscale, upscale_plan
from isi.core.tiles.demofusion import DemoFusion
from isi.core.tiles.tile_picture import draw_tiles
from isi.core.tiles.tiles import fit_layout
from isi.core.tiles.tiling import AUTO_TILE, Tiling

SDXL = Geometry(8, 4, AUTO_TILE)


@settings(deadline=None)
@given(st.integers(256, 9000), st.integers(256, 9000), st.integers(1, 4), st.booleans())
def test_calls_are_batches_of_tiles(height, width, batch, shift):
    tiling = Tiling(batch=batch, shift=shift)
    cost = stage_cost("", (height, width), 7, 7.0, tiling, SDXL)
    assert cost.calls == 7 * math.ceil(len(cost.layout) / batch)
    area = len(cost.layout) * math.prod(cost.layout.tile_size)
    assert cost.redundancy == pytest.approx(area / math.prod(cost.layout.size))
    assert max(cost.tile_pixels) <= AUTO_TILE


@pytest.mark.parametrize("megapixels", [4, 16, 64])
def test_the_largest_input_does_not_grow_with_the_picture(megapixels):
    side = round(math.sqrt(megapixels * 1e6))
    cost = stage_cost("", (side, side), 1, 7.0, Tiling(), SDXL)
    peak = peak_input([cost], 4)
    assert peak[:2] == [2, 4] and max(peak[2:]) <= AUTO_TILE // 8


def test_a_plan_is_counted_stage_by_stage():
    how = Upscale("stone", 10, 7.0, (0.5,), 0, Tiling(tile=1024, overlap=128), DemoFusion())
    plan = upscale_plan((1024, 1024), (4096, 4096), 0, how)
    first, second = plan_cost(plan, (1024, 1024), SDXL)
    # 2048: (2048-128)/(1024-128) -> 3 tiles a side; 4096: 5. Sparse pictures: 2 x 2 and 4 x 4.
    assert (first.calls, second.calls) == (10 * (9 + 4), 10 * (25 + 16))
    assert first.redundancy == pytest.approx(9 / 4 + 1)
    text = report([first, second], peak_input([first, second], 4), 3 * 2**30, 0.5)
    assert f"Model calls: {first.calls + second.calls}" in text and "3.0 GiB" in text
    assert "4 min 30 s" in text


def test_steps_without_tiles_are_one_call():
    plan = Plan((Step("a", steps=20, cfg=1.0, lens=Whole()),))
    (cost,) = plan_cost(plan, (3000, 5000), SDXL)
    assert cost.calls == 20 and cost.layout.whole and cost.redundancy == pytest.approx(1.0)


def test_detail_is_the_largest_step_to_a_neighbour():
    picture = torch.zeros(1, 4, 5, 3)
    picture[0, 2, 3, 1] = 0.5
    detail = detail_map(picture)[0]
    assert {tuple(place) for place in detail.nonzero().tolist()} == {(1, 3), (2, 2), (2, 3)}
    assert detail.max() == 0.5


def test_the_grid_is_drawn_over_the_picture():
    layout = fit_layout(64, 96, 40, 8)
    picture = torch.full((2, 640, 960, 4), 0.5)
    drawn = draw_tiles(picture, layout, {0})
    assert drawn.shape == (1, 683, 1024, 3)
    scale = 1024 / 96
    border = drawn[0, :, round(layout.columns.starts[1] * scale) + 1]
    assert (border[:, 0] > 0.9).float().mean() > 0.5
    assert drawn[0, 100, 100].mean() < 0.3
    assert drawn[0, 600, 900].mean() == pytest.approx(0.5, abs=0.01)
