"""The table of tilings and their cost that the page's own arithmetic is held to as well."""

import json
from pathlib import Path

import pytest
from isi.core.plans.cost import Geometry, stage_cost
from isi.core.plans.upscale import Upscale, target_size, upscale_plan
from isi.core.tiles.demofusion import DemoFusion
from isi.core.tiles.tiling import Tiling

TABLE = json.loads((Path(__file__).parents[2] / "vectors/tiles.json").read_text("utf-8"))
REFUSED = {"small": "too small", "overlap": "must be smaller", "auto": "at most"}


@pytest.mark.parametrize("case", TABLE["cases"])
def test_tiles(case):
    tiling = Tiling(
        case["tile"], case["overlap"], "cosine", case["batch"], case["shift"], case["wrap"],
        tile_height=case.get("tile_height", 0),
    )  # fmt: skip
    if "error" in case:
        with pytest.raises(ValueError, match=REFUSED[case["error"]]):
            tiling.check(case["ratio"])
        return
    tiling.check(case["ratio"])
    geometry = Geometry(case["ratio"], 4, case["auto"])
    cost = stage_cost("", tuple(case["size"]), case["steps"], 7.0, tiling, geometry, case["dilated"])
    layout = cost.layout.scaled(case["ratio"])
    for axis, wanted in ((layout.rows, case["rows"]), (layout.columns, case["columns"])):
        assert [axis.length, axis.tile, *axis.starts] == wanted
    assert (cost.tiles, cost.calls, cost.dilated) == (case["tiles"], case["calls"], case["stride"])
    assert cost.redundancy == pytest.approx(case["redundancy"])


@pytest.mark.parametrize("case", TABLE["hints"])
def test_hints(case):
    tiling = Tiling(case["tile"], case["overlap"], wrap=case["wrap"], tile_height=case["tile_height"])
    sizes, seen = [tuple(size) for size in case["sizes"]], (case["ratio"], case["auto"])
    better = tiling.thrifty(sizes, *seen)
    assert [better.tile, better.tile_height] == case["better"]
    assert [one.work(sizes, *seen) for one in (tiling, better)] == pytest.approx(case["work"])


@pytest.mark.parametrize("case", TABLE["stages"])
def test_stages(case):
    size = tuple(case["size"])
    target = target_size(*size, case["factor"], case["height"], case["width"])
    how = Upscale("", demofusion=DemoFusion(1, 3.0, 1.0, 1.0))
    plan = upscale_plan(size, target, case["stages"], how)
    assert [[step.lens.height, step.lens.width] for step in plan.steps] == case["sizes"]
    strides = [dict(extra.values)["scale"] for step in plan.steps for extra in step.extras[1:]]
    assert strides == case["strides"]
