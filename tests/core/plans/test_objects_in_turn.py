"""Frames one after another as a plan: a step each, with one noise."""

import pytest
import torch
from isi.core.fills.fill import Fill
from isi.core.frames.carried import Carried
from isi.core.loop.plan import Plan
from isi.core.plans.objects import ObjectEdits

from ..frames.clips import camera_clip, disc_masks


def planned(actions=("fill",), masks=None, **settings):
    masks = disc_masks(5) if masks is None else masks
    given = {"prompts": ["a"], "seed": 7, "grow": 2, "blend": 4, "padding": 6, "megapixels": 0.01}
    edits = ObjectEdits(actions, **{**given, **settings})
    return edits.in_turn(camera_clip(1).expand(len(masks), -1, -1, -1), masks)


def test_each_frame_is_a_step_of_one_seed_that_begins_with_the_one_before():
    plan = planned(denoise=0.9, frame_denoise=0.25)
    assert [step.denoise for step in plan.steps] == [0.9] + [0.25] * 4
    assert {step.seed for step in plan.steps} == {7} and len(plan.assets) == 1 + 3 * 5
    lenses = [step.lens for step in plan.steps]
    assert all(isinstance(lens, Carried) and lens.follows == "mask" for lens in lenses)
    assert [bool(lens.last) for lens in lenses] == [False] + [True] * 4
    assert all(lens.last_hole == before.hole for before, lens in zip(lenses, lenses[1:], strict=False))
    ways = torch.linspace(0.2, 0.8, 5) * 72
    assert [lens.right for lens in lenses[1:]] == pytest.approx((ways[1:] - ways[:-1]).tolist(), abs=1)
    assert {lens.down for lens in lenses} == {0}
    assert len({(lens.inner.height, lens.inner.width) for lens in lenses}) == 1
    assert lenses[2].inner.left > lenses[1].inner.left  # the crop goes with it
    assert Plan.from_json(plan.to_json(), plan.assets) == plan


def test_what_is_removed_stays_in_place_and_is_filled_where_it_is_new():
    plan = planned(["remove"], remove_denoise=0.6, frame_denoise=0.8)
    assert {step.lens.follows for step in plan.steps} == {"camera"}
    assert len({step.lens.inner.box for step in plan.steps}) == 1
    assert [step.denoise for step in plan.steps] == [0.6] * 5
    assert {step.extras for step in plan.steps} == {(Fill("telea", seed=7, touched=True).to_extra(),)}


@pytest.mark.parametrize(
    ("actions", "settings", "first"), [(["remove"], {}, 0), (["fill"], {"denoise": 0.0}, 1)]
)
def test_what_is_not_sampled_is_not_resampled(actions, settings, first):
    plan = planned(actions, **settings)
    for step in plan.steps[first:]:
        crop = step.lens.inner
        assert (crop.view_height, crop.view_width, crop.match) == (crop.height, crop.width, 0)
        assert step.denoise == 0 and step.steps == 1 and dict(step.extras[0].values)["only"] is True


def test_what_was_painted_is_kept_unless_it_is_sampled_again():
    masks = disc_masks(5)
    masks[2] = 0
    for action, kept in (("fill", [1, 4]), ("remove", [1, 3, 4])):
        steps = planned([action], masks=masks, remove_denoise=1.0).steps
        assert [at for at in range(5) if steps[at].lens.keeps] == kept
        assert [step.denoise for step in steps] == [1, 1, 0, 1, 1]
    again = planned(["remove"], masks=masks, remove_denoise=1.0, frame_denoise=0.5).steps
    assert [at for at in range(5) if again[at].lens.keeps] == [3]  # there the ground itself was seen
    assert [step.denoise for step in again] == [1, 0.5, 0, 1, 0.5]


def test_a_frame_without_the_object_is_itself_and_what_is_back_is_painted_anew():
    masks = disc_masks(5)
    masks[2] = 0
    plan = planned(masks=masks, frame_denoise=0.3)
    assert [step.denoise for step in plan.steps] == [1.0, 0.3, 0.0, 1.0, 0.3]
    assert [bool(step.lens.last) for step in plan.steps] == [False, True, False, False, True]
    still = plan.steps[2]
    made = still.lens.put(camera_clip(1), torch.zeros(1, *still.lens.view_size(72, 72), 3), plan.assets)
    assert torch.equal(made, camera_clip(1)) and not still.extras
    assert len(planned(masks=masks * 0).steps) == 5


@pytest.mark.parametrize(
    ("actions", "prompts"),
    [(["fill", "remove"], ["a"]), (["replace background"], ["a"]), (["fill"], ["a", "b"])],
)
def test_several_actions_or_prompts_are_refused(actions, prompts):
    with pytest.raises(ValueError, match="write one action .remove or fill. and one prompt"):
        planned(actions, prompts=prompts)
