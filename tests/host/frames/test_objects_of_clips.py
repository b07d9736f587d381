"""ISI Edit Objects on clips, through ISI Iterate: objects removed by what other frames show."""

import pytest
import torch
from isi.core.frames.plate import CleanPlate
from isi.core.pictures.masks import grow

from ...core.frames.clips import camera_clip, disc_masks, with_object
from ..harness import Failed
from ..pictures.test_outpaint import edits, iterate

COUNT = 8
PLATE = {"frames": "clean plate", "window": 48}


@pytest.fixture(scope="module")
def crowd():
    """A still ground, two discs that cross it, and their masks `[2, N, H, W]`."""
    truth = camera_clip(1).expand(COUNT, -1, -1, -1)
    masks = torch.stack([disc_masks(COUNT, radius=6), disc_masks(COUNT, radius=5).flip(2).roll(16, 1)])
    return with_object(truth, masks.amax(0)), masks, truth


def test_removed_objects_leave_the_ground_bit_for_bit(host, model, clip, vae, crowd):
    frames, masks, truth = crowd
    plan, report = host.call("ISI_EditObjects", **edits(frames, masks.flatten(0, 1)) | PLATE | {"blend": 0})
    assert len(plan) == 1 and "remove 1, 2" in report
    out = iterate(host, model, clip, vae, plan, frames)
    hole = grow(masks.amax(0), 2)
    image, unseen = host.call("ISI_Fill", image=frames, mask=hole, mode="telea", seed=3, **PLATE)
    assert not unseen.any() and torch.equal(out, image) and torch.equal(out, truth)
    # Each alone, as plans from before: a step an object, whose fill is made up.
    old, _ = host.call("ISI_EditObjects", **edits(frames, masks.flatten(0, 1)))
    alone = iterate(host, model, clip, vae, old, frames)
    assert len(old) == 2 and (alone - truth)[hole > 0].abs().max() > 0.05


def test_other_actions_stay_and_sampling_is_over_the_plate(host, model, clip, vae, crowd):
    frames, masks, truth = crowd
    given = edits(frames, masks.flatten(0, 1)) | PLATE
    mixed, report = host.call("ISI_EditObjects", **given | {"actions": "fill\nremove"})
    assert [step.label[:6] for step in mixed.steps] == ["fill 1", "remove"] and not mixed.steps[0].extras
    sampled, _ = host.call("ISI_EditObjects", **given | {"remove_denoise": 0.4})
    assert [step.denoise for step in sampled.steps] == [0, 0.4, 0.4]
    assert not any(step.extras for step in sampled.steps[1:])
    out = iterate(host, model, clip, vae, sampled, frames)
    changed = (out != truth).any(-1)
    assert changed[masks.amax(0) > 0].float().mean() > 0.9
    assert not changed[grow(masks.amax(0), 8) == 0].any()


def test_a_run_that_stopped_goes_on_at_its_frame(host, model, clip, vae, crowd, tmp_path, monkeypatch):
    monkeypatch.setenv("ISI_HOME", str(tmp_path))
    frames, masks, truth = crowd
    plan, _ = host.call("ISI_EditObjects", **edits(frames, masks.flatten(0, 1)) | PLATE)
    make, made, last = CleanPlate.make, [], [3]

    def counted(plate, index):
        made.append(index)
        if index in last:
            raise RuntimeError("stopped")
        return make(plate, index)

    monkeypatch.setattr(CleanPlate, "make", counted)
    with pytest.raises(Failed, match="stopped"):
        iterate(host, model, clip, vae, plan, frames)
    last.clear()
    assert torch.equal(iterate(host, model, clip, vae, plan, frames), truth)
    assert made == [0, 1, 2, 3, 3, 4, 5, 6, 7]


@pytest.mark.parametrize(
    ("count", "masks", "sentence"),
    [
        (1, torch.ones(2, 72, 72), "A clean plate is made of what other frames show"),
        (COUNT, torch.ones(1, 72, 72), "The masks cover every frame wholly"),
        (COUNT, torch.ones(3, 72, 72), f"There are 3 masks for {COUNT} pictures"),
    ],
)
def test_what_can_not_work_is_said_before_the_run(host, crowd, count, masks, sentence):
    with pytest.raises(Failed, match=sentence):
        host.call("ISI_EditObjects", **edits(crowd[0][:count], masks) | PLATE)
