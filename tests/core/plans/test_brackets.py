"""A plan of one picture at several exposures: a value, and a lens that keeps the laws."""

import pytest
import torch
from isi.core.inside.tone import Bracket
from isi.core.loop.plan import Plan, content_hash
from isi.core.plans.brackets import Again, brackets_plan

from ..loop.laws import hold


def plan(picture, count=5):
    return brackets_plan(picture, "moss", count, 0.3, 1.2, 20, 5.0, 0.4, 2**64 - 1)


def test_the_lens_keeps_the_laws_and_shows_its_own_picture():
    picture, other = torch.rand(2, 13, 20, 3), torch.rand(2, 13, 20, 3)
    assets = {content_hash(picture): picture}
    hold(Again(content_hash(picture)), other, assets)
    assert torch.equal(Again(content_hash(picture)).get(other, assets).pixels, picture)


@pytest.mark.parametrize("count", [3, 9])
def test_the_plan_is_a_value_that_json_keeps(count):
    made = plan(torch.rand(1, 16, 8, 3), count)
    assert Plan.from_json(made.to_json(), made.assets) == made
    found = [Bracket.from_extra(step.extras[0]).brightness for step in made.steps]
    assert len(found) == count and found == sorted(set(found))
    assert {step.seed for step in made.steps} == {2**64 - 1}


def test_what_can_not_work_is_said():
    made = plan(torch.rand(1, 16, 8, 3))
    with pytest.raises(ValueError, match="of a picture of 8 x 16, and one of 8 x 8 goes through"):
        made.steps[0].lens.check_size(8, 8, made.assets)
    with pytest.raises(ValueError, match="The picture of this plan is missing or damaged"):
        Plan.from_json(made.to_json(), {})
