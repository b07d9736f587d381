"""ISI Track Masks on the host, from a picked key frame to a clip without its objects."""

import pytest
import torch

from ...core.frames.clips import camera_clip, disc_masks, with_object
from ..harness import Failed


def test_a_pick_in_one_frame_removes_the_object_from_all(host):
    truth, masks = camera_clip(1).expand(10, -1, -1, -1), disc_masks(10)
    frames = with_object(truth, masks)
    picked, *_ = host.call("ISI_Pick", image=frames[4:5], picks="thing: + 48 50", segmenter="regions")
    made, report = host.call("ISI_TrackMasks", image=frames, masks=picked, key_frames="5")
    assert made.shape == (10, 72, 72) and report == "1. frames 1-10"
    grown, *_ = host.call(
        "ISI_Mask", mask=made, threshold=0.0, fill_holes=False, grow=2, feather=0, profile="cosine",
        latent="off", max_objects=8,
    )  # fmt: skip
    image, unseen = host.call(
        "ISI_Fill", image=frames, mask=grown, mode="telea", seed=0, frames="clean plate", window=48
    )
    assert torch.equal(image[unseen == 0], truth[unseen == 0]) and unseen.mean() < 0.01


def test_each_object_has_its_own_masks(host):
    masks = torch.stack([disc_masks(6, radius=6), disc_masks(6, radius=6).flip(2).roll(20, 1)])
    frames = with_object(camera_clip(1).expand(6, -1, -1, -1), masks.amax(0))
    made, report = host.call(
        "ISI_TrackMasks", image=frames, masks=masks[:, [0, 5]].flatten(0, 1), key_frames="1, 6"
    )
    made = made.unflatten(0, (2, 6))
    assert torch.equal(made[:, [0, 5]], masks[:, [0, 5]]) and report.count("frames 1-6") == 2
    assert ((made > 0) & (masks > 0)).sum() > 0.9 * (masks > 0).sum()


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"key_frames": "1, 2"}, "There are 3 masks for 2 key frames"),
        ({"key_frames": "7"}, "Key frame 7 is named, and the clip has 4 frames"),
        ({"masks": torch.ones(3, 8, 8)}, "The mask is 8x8, but the picture is 32x32"),
    ],
)
def test_what_can_not_work_is_said(host, changed, sentence):
    inputs = {"image": torch.rand(4, 32, 32, 3), "masks": torch.ones(3, 32, 32), "key_frames": "1"}
    with pytest.raises(Failed, match=sentence):
        host.call("ISI_TrackMasks", **{**inputs, **changed})
