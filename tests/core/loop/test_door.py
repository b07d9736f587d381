"""Plans of strangers: types and ranges are checked when a plan is read; what is long is cut when shown."""

import copy
import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from isi.core.language.script import parse
from isi.core.loop.door import Newer
from isi.core.loop.lens import Chain, Masked, Resize
from isi.core.loop.plan import Extra, Plan, Step, content_hash, join
from isi.core.loop.schedule import make_plan
from isi.core.pictures.canvas import Canvas
from isi.core.pictures.crop import Crop

MASK = torch.rand(1, 8, 8)
NAME = content_hash(MASK)
PLAN = Plan(
    (
        Step("a", label="first", extras=(Extra.of("tiled", tile=64, blend="cosine", shift=True, note=None),)),
        Step("b", 7, 1.5, 0.3, 2**64 - 1, "", Chain(Masked(NAME, NAME), Resize(16, 16))),
        Step(
            "c", lens=Chain(Canvas(8, 0, -8, 16, "telea", 4, 2), Crop(-2, 0, 8, 8, 64, 64, NAME, NAME, 0.5))
        ),
    ),
    {NAME: MASK},
)


def opened(value, assets=PLAN.assets):
    return Plan.from_json(json.loads(json.dumps(value)), assets)


def at(value, path):
    for part in path:
        value = value[part]
    return value


def places(value, path=()):
    """Where each value in a JSON value stands."""
    yield path
    children = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    )
    for key, child in children:
        yield from places(child, (*path, key))


STRANGE = [
    None,
    True,
    0,
    -1,
    5,
    1.5,
    -0.5,
    1e300,
    float("nan"),
    float("inf"),
    10**6,
    2**64,
    -(2**63),
    10**400,
]
STRANGE += [
    "",
    "crop",
    "x" * 1_000_001,
    "../../etc/passwd",
    [],
    [[]],
    {},
    {"kind": "whole"},
    {"kind": "canvas"},
]


def test_the_plan_itself_is_opened():
    assert opened(PLAN.to_json()) == PLAN


@settings(max_examples=250, deadline=None)
@given(st.data())
def test_any_value_anywhere_is_taken_or_refused_in_a_sentence(data):
    value = copy.deepcopy(PLAN.to_json())
    path = data.draw(st.sampled_from([place for place in places(value) if place]))
    at(value, path[:-1])[path[-1]] = data.draw(st.sampled_from(STRANGE))
    try:
        plan = opened(value)
    except ValueError as error:
        assert len(str(error)) < 300 and "\n" not in str(error)
        return
    for step in plan.steps:  # as the widgets would have made it
        assert 1 <= step.steps <= 10_000 and 0 <= step.cfg <= 100 and 0 <= step.denoise <= 1
        assert 0 <= step.seed < 2**64 and isinstance(step.prompt, str) and hash(step)
    assert opened(plan.to_json()) == plan


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (("steps", 0, "denoise"), 5, "denoise is 5; expected a number 0 to 1"),
        (("steps", 0, "seed"), -1, "seed is -1; expected a whole number 0 to 18446744073709551615"),
        (("steps", 1, "lens", "inner", "width"), 10**6, "resize.width is 1000000"),
        (("steps", 2, "lens", "inner", "view_height"), 0, "crop.view_height is 0"),
        (("steps", 2, "lens", "outer", "fill"), "lava", "canvas.fill is 'lava'; expected one of neutral"),
        (("steps", 0, "steps"), True, "steps is True"),
        (("steps", 0, "lens", "kind"), "fisheye", "lens of kind 'fisheye'"),
        (("steps",), {}, "the list of steps is a dict"),
        (("version",), 2, "made by a newer ISI"),
        (("steps", 0, "hologram"), 1, "made by a newer ISI"),
        (("steps", 1, "lens", "inner", "depth"), 1, "made by a newer ISI"),
    ],
)
def test_says_what_is_wrong(path, value, said):
    plan = copy.deepcopy(PLAN.to_json())
    at(plan, path[:-1])[path[-1]] = value
    with pytest.raises(ValueError, match=said) as caught:
        opened(plan)
    assert ("newer" in said) == isinstance(caught.value, Newer)


@pytest.mark.parametrize(
    "other", [None, [], "plan", 5, {}, {"steps": []}, {"version": 1}, {"version": "1", "steps": []}]
)
def test_what_is_no_plan_is_refused(other):
    with pytest.raises(ValueError, match=r"\.|:"):
        Plan.from_json(other)


@pytest.mark.parametrize(
    "mask", [None, torch.full((1, 8, 8), torch.nan), torch.zeros(1, 9, 8), torch.zeros(8), MASK.long()]
)
def test_masks_must_be_there_and_fit(mask):
    with pytest.raises(ValueError, match="[Mm]ask of this plan"):
        opened(PLAN.to_json(), {} if mask is None else {NAME: mask})


def test_lenses_without_end_are_refused():
    lens = {"kind": "whole"}
    for _ in range(300):
        lens = {"kind": "chain", "outer": {"kind": "whole"}, "inner": lens}
    with pytest.raises(ValueError, match="lens"):
        opened({"version": 1, "steps": [PLAN.steps[0].to_json() | {"lens": lens}]})


def plan_of(script):
    return make_plan(parse(script), 20, 7.0, 0.75, 0.75, "constant", 0, "increment")


def test_text_that_is_multiplied_is_refused_before_it_is_made():
    with pytest.raises(ValueError, match="would take 2,000 MB, more than 50"):
        plan_of("x" * 10_000 + "*100000")
    with pytest.raises(ValueError, match="more than 50"):
        plan_of("{" + "y" * 500_000 + "}" + "a;" * 200_000)
    half = plan_of("x" * 10_000 + "*1500")
    with pytest.raises(ValueError, match="more than 50"):
        join([half, half])


def test_a_long_table_shows_its_ends_and_cuts_prompts():
    table = plan_of("a cat *50000; " + "z" * 1000).table()
    lines = table.splitlines()
    assert len(lines) == 1 + 100 + 1 + 20 and max(map(len, lines)) < 200
    assert lines[101] == "... 49,881 more ..."
    assert lines[1].split()[0] == "1" and lines[-1].split()[0] == "50001" and lines[-1].endswith("z…")
    assert len(plan_of("a *120").table().splitlines()) == 121
