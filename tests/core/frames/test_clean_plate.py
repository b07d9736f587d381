"""The clean plate of clips whose ground is known: behind a mask is what another frame shows there."""

import pytest
import torch
from isi.core.fills.fill import fill
from isi.core.frames.clip import clip_of
from isi.core.frames.plate import CleanPlate

from .clips import camera_clip, decibels, disc_masks, with_object


def cleaned(frames, masks, window=48):
    """The plate of a clip, and the masks that were left to be filled."""
    asked = []

    def filled(picture, mask):
        asked.append(mask)
        return fill(picture, mask, "telea")

    plate = CleanPlate(clip_of(frames, masks), filled, window)
    for index in range(len(frames)):
        plate.take(index, plate.make(index))
    return plate, asked


def test_a_still_camera_gives_the_ground_bit_for_bit():
    truth, masks = camera_clip(1).expand(16, -1, -1, -1), disc_masks(16)
    plate, asked = cleaned(with_object(truth, masks), masks)
    assert torch.equal(plate.frames, truth) and not plate.unseen.any() and not asked


@pytest.mark.parametrize(
    ("moved", "least"),
    [
        ({"pan": (2.3, -0.7)}, 45),
        ({"pan": (-4.0, 1.0), "zoom": 1.006}, 45),
        ({"pan": (-9.0, 3.0)}, 45),
        ({"noise": 0.02}, 33),  # the noise of the truth itself
        ({"light": 0.15}, 60),
    ],
)
def test_what_is_behind_is_found_in_other_frames(moved, least):
    truth, masks = camera_clip(14, **moved), disc_masks(14)
    plate, _ = cleaned(with_object(truth, masks), masks)
    where = (masks > 0) & (plate.unseen == 0)
    assert where.sum() > 0.75 * (masks > 0).sum()
    assert decibels(plate.frames, truth, where) >= least
    assert torch.equal(plate.frames[masks == 0], truth[masks == 0])
    right, down = moved.get("pan", (0, 0))
    for index, place in enumerate(plate.camera.places):
        shift = place.motion
        assert abs(shift.right - index * right) + abs(shift.down - index * down) <= 0.3 + 0.02 * index
        assert place.shot == 0


def test_what_no_frame_shows_is_filled_once_and_stays():
    truth, masks = camera_clip(1).expand(12, -1, -1, -1), disc_masks(12, start=0.45, end=0.55)
    plate, asked = cleaned(with_object(truth, masks), masks)
    never = masks.amin(0) > 0  # the disc is always there
    assert never.any() and torch.equal(plate.unseen, never[None].expand(12, -1, -1).float())
    assert len(asked) == 1 and torch.equal(asked[0][0] > 0, never)
    assert all(torch.equal(one, plate.frames[0]) for one in plate.frames)
    assert torch.equal(plate.frames[0][~never], truth[0][~never])


def test_with_a_camera_that_pans_the_fill_goes_along():
    truth, masks = camera_clip(12, pan=(1.4, 0.6)), disc_masks(12)
    for index in range(12):  # the disc stands on the ground: nobody sees behind it
        masks[index] = disc_masks(1, start=0.4 + 1.4 * index / 72)[0].roll(round(0.6 * index), 0)
    plate, _ = cleaned(with_object(truth, masks), masks)
    for index in range(1, 12):
        # The fill of the first frame, carried by the camera's true motion, is that of the others.
        row, column = 36 + round(0.6 * index), round(0.4 * 72 + 1.4 * index)
        assert (plate.frames[index, row, column] - plate.frames[0, 36, 29]).abs().max() < 0.08
        assert plate.unseen[index, row, column] == 1


def test_a_window_ends_what_is_looked_at():
    truth, masks = camera_clip(1).expand(15, -1, -1, -1), disc_masks(15)
    plate, _ = cleaned(with_object(truth, masks), masks, window=2)
    for index in range(15):
        near = masks[max(0, index - 2) : index + 3].amin(0)
        assert torch.equal(plate.unseen[index], near)


def test_a_cut_ends_it_too():
    frames = torch.cat([camera_clip(1, seed=seed).expand(6, -1, -1, -1) for seed in (1, 2)])
    masks = torch.cat([disc_masks(6, end=0.4), disc_masks(6)])
    plate, _ = cleaned(with_object(frames, masks), masks)
    assert [place.shot for place in plate.camera.places] == [0] * 6 + [1] * 6
    for part in (slice(0, 6), slice(6, 12)):
        assert torch.equal(plate.unseen[part], masks[part].amin(0).expand(6, -1, -1))
    shown = plate.unseen == 0
    assert torch.equal(plate.frames[shown], frames[shown])


def test_an_object_that_leaves_and_comes_back_and_a_frame_that_is_covered():
    truth, masks = camera_clip(1).expand(12, -1, -1, -1), disc_masks(12)
    masks[4:8] = 0
    masks[9] = 1
    plate, _ = cleaned(with_object(truth, masks), masks)
    assert torch.equal(plate.frames, truth) and not plate.unseen.any()


def test_several_objects_and_soft_edges():
    truth = camera_clip(1).expand(10, -1, -1, -1)
    masks = torch.stack([disc_masks(10, radius=6), disc_masks(10, radius=6).flip(2)])
    masks[0] *= 0.5
    both = masks.amax(0)
    frames = with_object(truth, both)
    plate, _ = cleaned(frames, masks.flatten(0, 1))
    expected = torch.lerp(frames, truth, both[..., None])
    shown = plate.unseen == 0
    assert (plate.frames - expected)[shown].abs().max() < 1e-6


def test_the_input_stays_and_half_precision_is_kept():
    truth, masks = camera_clip(6, pan=(1.5, 0)).half(), disc_masks(6)
    frames = with_object(truth, masks).half()
    before = frames.clone()
    plate, _ = cleaned(frames, masks)
    assert torch.equal(frames, before) and plate.frames.dtype == torch.float16
    assert torch.equal(plate.frames[masks == 0], before[masks == 0])


@pytest.mark.parametrize(
    ("masks", "sentence"),
    [
        (torch.ones(3, 8, 8), "There are 3 masks for 4 frames: connect one for all, or for each object"),
        (torch.ones(4, 9, 8), "The mask is 8x9, but the picture is 8x8"),
        (torch.full((4, 8, 8), torch.nan), "NaN"),
    ],
)
def test_masks_that_do_not_fit(masks, sentence):
    with pytest.raises(ValueError, match=sentence):
        clip_of(torch.zeros(4, 8, 8, 3), masks)
