"""A plan is a value: equal, hashable, and the same after a trip through JSON."""

import json
from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch
from isi.core.loop.lens import Chain, Masked, Resize, Whole
from isi.core.loop.plan import Extra, ExtraValue, Plan, Step, content_hash, join


def example() -> Plan:
    mask = torch.rand(1, 8, 8)
    name = content_hash(mask)
    steps = (
        Step("a red circle", seed=2**64 - 1, label="red"),
        Step("b", 7, 1.5, 0.3, 3, "", Chain(Masked(name, name), Resize(16, 16))),
        Step("c", extras=(Extra.of("tiled", tile=64, overlap=8),)),
    )
    return Plan(steps, {name: mask})


def test_json_round_trip_gives_an_equal_hashable_plan():
    plan = example()
    again = Plan.from_json(json.loads(json.dumps(plan.to_json())), plan.assets)
    assert again == plan
    assert hash(again) == hash(plan)


def test_joined_plans_keep_order_and_assets():
    plan = example()
    both = join([plan, Plan((Step("d"),))])
    assert [s.prompt for s in both.steps] == ["a red circle", "b", "c", "d"]
    assert set(both.assets) == set(plan.assets)


def test_table_has_a_line_a_step():
    assert len(example().table().splitlines()) == 4


def test_content_hash_sees_values_shape_and_dtype():
    x = torch.zeros(2, 3)
    names = {content_hash(t) for t in (x, x.reshape(3, 2), x.double(), x + 1)}
    assert len(names) == 4
    assert content_hash(x.clone()) == content_hash(x)


def test_whole_is_the_default_lens():
    assert Step("x").lens == Whole()


@dataclass(frozen=True)
class Glow(ExtraValue):
    """A stranger's settings."""

    kind: ClassVar[str] = "test glow"

    radius: int = 3
    colour: str = "red"


def test_an_extras_settings_go_through_a_plan_and_come_back():
    step = Step("x", extras=(Glow(5).to_extra(),))
    (plan,) = Plan.from_json(json.loads(json.dumps(Plan((step,)).to_json()))).steps
    assert Glow.from_extra(plan.extras[0]) == Glow(5, "red")
    assert Glow.from_extra(Extra.of("test glow", colour="blue")) == Glow(3, "blue")


def test_a_setting_of_a_newer_version_is_named():
    with pytest.raises(ValueError, match="sets speed of 'test glow'"):
        Glow.from_extra(Extra.of("test glow", radius=1, speed=2))
