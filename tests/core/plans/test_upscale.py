"""Plans that upscale: exact sizes, stages, and refusals before anything runs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from isi.core.loop.plan import Plan
from isi.core.plans.upscale import Upscale, stage_sizes, target_size, upscale_plan
from isi.core.tiles.demofusion import DemoFusion
from isi.core.tiles.tiling import Tiling

sides = st.integers(1, 4000)


@given(st.tuples(sides, sides), st.tuples(sides, sides), st.integers(0, 6))
def test_the_last_stage_has_the_target_size_exactly(size, target, stages):
    sizes = stage_sizes(size, target, stages)
    assert sizes[-1] == target
    assert stages == 0 or len(sizes) == stages
    assert all(height > 0 and width > 0 for height, width in sizes)


@given(st.tuples(st.integers(64, 2000), st.integers(64, 2000)), st.floats(1, 16))
def test_automatic_stages_at_most_double(size, factor):
    target = target_size(*size, factor, large=True)
    before = size
    for after in stage_sizes(size, target):
        # Stages between are rounded to 16 pixels.
        assert all(b <= 2 * a + 16 for a, b in zip(before, after, strict=True))
        before = after


@pytest.mark.parametrize(
    ("asked", "size"),
    [
        ({"factor": 2.0}, (1000, 1500)),
        ({"factor": 1.5}, (750, 1125)),
        ({"factor": 2.0, "target_width": 333}, (222, 333)),
        ({"factor": 2.0, "target_height": 101}, (101, 152)),
        ({"factor": 0.0, "target_height": 101, "target_width": 77}, (101, 77)),
    ],
)
def test_target_size(asked, size):
    assert target_size(500, 750, **asked) == size


@pytest.mark.parametrize("factor", [0.0, -2.0])
def test_a_factor_must_be_positive(factor):
    with pytest.raises(ValueError, match="larger than 0"):
        target_size(500, 750, factor)


def test_a_gigapixel_asks_for_confirmation():
    with pytest.raises(ValueError, match="allow_gigapixel"):
        target_size(4000, 4000, 10)
    assert target_size(4000, 4000, 10, large=True) == (40000, 40000)


def test_the_plan_is_a_value_that_json_keeps():
    how = Upscale("stone", 12, 5.0, (0.6, 0.4), 9, Tiling(tile=512, shift=True), DemoFusion())
    plan = upscale_plan((512, 768), (2048, 3072), 0, how)
    assert Plan.from_json(plan.to_json()) == plan
    assert [step.denoise for step in plan.steps] == [0.6, 0.4]
    assert [step.seed for step in plan.steps] == [9, 10]
    assert [step.lens.size(512, 768) for step in plan.steps] == [(1024, 1536), (2048, 3072)]
    tilings, fusions = zip(*(step.extras for step in plan.steps), strict=True)
    assert [DemoFusion.from_extra(extra).scale for extra in fusions] == [2, 4]
    assert all(Tiling.from_extra(extra) == how.tiling for extra in tilings)
