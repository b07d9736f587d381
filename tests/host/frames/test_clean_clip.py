"""ISI Fill on clips: what other frames show, kept frame by frame in the store."""

import os
import signal

import pytest
import torch
from isi.core.frames.plate import CleanPlate

from ...core.frames.clips import camera_clip, disc_masks, with_object
from ...forks import Child
from .. import harness
from ..harness import Failed

FILL = {"mode": "telea", "seed": 0, "frames": "clean plate", "window": 48}


@pytest.fixture(scope="module")
def clip():
    """Frames, masks and the ground of a still clip whose disc hides some of it for good."""
    truth, masks = camera_clip(1).expand(10, -1, -1, -1), disc_masks(10, start=0.4, end=0.6)
    return with_object(truth, masks), masks, truth


def test_the_ground_comes_back_and_the_mask_says_what_was_made_up(host, clip):
    frames, masks, truth = clip
    image, unseen = host.call("ISI_Fill", image=frames, mask=masks, **FILL)
    never = masks.amin(0)
    assert never.any() and torch.equal(unseen, never.expand(10, -1, -1))
    assert torch.equal(image[unseen == 0], truth[unseen == 0])
    # Each alone, as in graphs from before: another picture, of which all in the mask is made up.
    alone, made_up = host.call("ISI_Fill", image=frames, mask=masks, mode="telea", seed=0)
    assert torch.equal(made_up, masks) and not torch.equal(alone, image)
    empty, unseen = host.call("ISI_Fill", image=frames, mask=masks * 0, **FILL)
    assert torch.equal(empty, frames) and not unseen.any()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("stop", [1, 4, 10])
def test_a_job_that_was_killed_goes_on_at_its_frame(host, clip, tmp_path, stop):
    frames, masks, _ = clip
    harness.VALUES |= {"frames": frames, "masks": masks}
    for name in ("frames", "masks"):
        harness.name_of(harness.VALUES[name])

    def work(log, last):
        os.environ["ISI_HOME"] = str(tmp_path)
        make, made = CleanPlate.make, []

        def counted(plate, index):
            made.append(index)
            if len(made) == last:
                os.kill(os.getpid(), signal.SIGKILL)
            return make(plate, index)

        CleanPlate.make = counted
        host.new_executor()
        image, unseen = host.call("ISI_Fill", image=frames, mask=masks, **FILL)
        torch.save({"made": made, "image": image, "unseen": unseen}, log)

    assert Child(lambda: work(tmp_path / "killed.pt", stop)).wait() == -9
    assert Child(lambda: work(tmp_path / "gone on.pt", 0)).wait() == 0
    found = torch.load(tmp_path / "gone on.pt")
    assert found["made"] == list(range(stop - 1, 10))  # the one that it died in, and those after it
    image, unseen = host.call("ISI_Fill", image=frames, mask=masks, **FILL)
    assert torch.equal(found["image"], image) and torch.equal(found["unseen"], unseen)


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        (
            {"mask": torch.ones(3, 72, 72)},
            "There are 3 masks for 10 frames: connect one for all",
        ),
        ({"mask": torch.ones(10, 72, 72)}, "The masks cover every frame wholly"),
        ({"mask": torch.ones(10, 8, 8)}, "The mask is 8x8, but the picture is 72x72"),
        ({"image": torch.rand(1, 72, 72, 3)}, "A clean plate is made of what other frames show"),
    ],
)
def test_what_can_not_work_is_said(host, clip, changed, sentence):
    frames, masks, _ = clip
    with pytest.raises(Failed, match=sentence):
        host.call("ISI_Fill", **{"image": frames, "mask": masks, **FILL, **changed})
