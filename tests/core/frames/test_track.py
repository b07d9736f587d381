"""Objects whose masks are known in every frame, followed from the masks of a few."""

import pytest
import torch
from isi.core.frames.keys import found_in, parse_keys
from isi.core.frames.track import tracked

from .clips import camera_clip, disc_masks, ground, with_object

SIZE = 72


def overlap(made, truth):
    either = ((made > 0) | (truth > 0)).sum()
    return float(((made > 0) & (truth > 0)).sum() / either) if either else 1.0


def carried(frames, masks, keys):
    """The overlap with the truth in each frame, of masks carried from those of `keys`."""
    made = dict(tracked(frames, masks[keys], keys))
    assert sorted(made) == list(range(len(frames)))
    assert all(torch.equal(made[key], masks[key]) for key in keys)
    return [overlap(made[index], masks[index]) for index in range(len(frames))]


@pytest.mark.parametrize("keys", [[0], [8], [11, 0]])
def test_a_disc_is_followed_over_a_ground_that_moves_by_itself(keys):
    frames, masks = camera_clip(12, pan=(-1.3, 0.6), noise=0.01), disc_masks(12)
    found = carried(with_object(frames, masks), masks, keys)
    assert min(found) > 0.9 and sum(found) / 12 > 0.97


def test_so_is_a_texture_on_another_one():
    frames, masks, own = (
        camera_clip(1).repeat(12, 1, 1, 1),
        disc_masks(12, start=0.25, end=0.7),
        ground(9, 40, 40),
    )
    for index, (frame, mask) in enumerate(zip(frames, masks, strict=True)):
        y, x = (mask > 0).nonzero(as_tuple=True)
        frame[y, x] = own[y - int(y.min()) + 5, x - int(x.min()) + 5] * (1 + 0.005 * index)
    assert min(carried(frames, masks, [0])) > 0.86  # a pixel off


def test_what_leaves_is_in_no_frame_until_it_is_back():
    away, back = disc_masks(10, start=0.6, end=1.3), disc_masks(10, start=1.25, end=0.4)
    masks = torch.cat([away, back])
    frames = with_object(camera_clip(1).expand(20, -1, -1, -1), masks)
    made = dict(tracked(frames, masks[:1], [0]))
    for index, mask in enumerate(masks):
        if mask.sum() == 0:
            assert not made[index].any()
        elif mask.sum() > 0.3 * masks[0].sum():
            assert overlap(made[index], mask) > 0.9
    assert made[19].any()


def test_an_object_that_grows_is_drawn_to_its_edges():
    masks = torch.stack([disc_masks(1, radius=8 + 0.3 * index, start=0.5)[0] for index in range(12)])
    frames = with_object(camera_clip(1).expand(12, -1, -1, -1), masks)
    assert min(carried(frames, masks, [0])) > 0.9


def test_an_empty_mask_is_nothing_in_every_frame():
    frames = camera_clip(3)
    assert not any(mask.any() for _, mask in tracked(frames, torch.zeros(1, SIZE, SIZE), [1]))


def test_key_frames_are_read_and_told():
    assert parse_keys("1, 25;48 3") == [0, 24, 47, 2]
    assert found_in([True, True, False, True]) == "frames 1-2, 4" and found_in([False]) == "in no frame"
    for text, sentence in (
        ("0", "no key frame"),
        ("a", "no key frame"),
        ("", "at least one"),
        ("2 2", "once"),
    ):
        with pytest.raises(ValueError, match=sentence):
            parse_keys(text)
    with pytest.raises(ValueError, match="Key frame 9 is named, and the clip has 8 frames"):
        parse_keys("1 9", 8)
