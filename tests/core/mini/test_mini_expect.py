"""The judge of templates passes what is right, and says what is wrong."""

import pytest
import torch
from isi.tools.mini import expect, world
from torch.nn.functional import interpolate

SCENE = world.Scene((world.Shape("square", "red", "large", "centre"),), "white", light="left")
OTHER = world.Scene((world.Shape("circle", "blue", "small", "left", x=0.3),), "yellow", light="top")
SQUARE = {"colour": "red", "kind": "square", "size": "large", "place": "centre"}


def picture(scene, side=128):
    return world.render(scene, side, side).picture.movedim(0, -1)[None]


def told(wanted, made, **others):
    caught = {("1", 0): made} | {(name, 0): value for name, value in others.items()}
    return expect.faults([{"of": ["1", 0]} | wanted], caught)


def test_what_is_there_is_found_and_what_is_not_is_told():
    made = picture(SCENE)
    right = {
        "shapes": [SQUARE | {"overlap": 0.95}],
        "background": "white",
        "light": "left",
        "lab": 6,
        "size": [128, 128],
    }
    assert told(right, made) == []
    for key, value in {
        "colour": "blue",
        "kind": "star",
        "size": "small",
        "place": "top",
        "overlap": 1.01,
    }.items():
        assert len(told({"shapes": [SQUARE | {key: value}]}, made)) == 1, key
    assert told({"shapes": []}, made) == ["1.0 #1: 0 shapes expected, 1 seen: red square"]
    assert told({"shapes": [SQUARE, SQUARE]}, made)
    for key, value in {"background": "blue", "light": "right", "size": [128, 96]}.items():
        assert len(told({key: value}, made)) == 1, key
    faded = made.clone()
    faded[0, 40:88, 40:88, 2] += 0.25
    assert told({"lab": 6}, faded)


def test_each_picture_is_judged_or_the_one_that_is_named():
    both = torch.cat((picture(SCENE), picture(OTHER)))
    assert [line[:8] for line in told({"background": "white"}, both)] == ["1.0 #2: "]
    assert told({"background": "white", "number": 1}, both) == []


def test_one_pixel_outside_the_mask_is_seen():
    old, mask = picture(SCENE), torch.zeros(1, 128, 128)
    mask[:, 30:60, 30:60] = 1
    made = old.clone()
    made[:, 30:60, 30:60] = 0
    keeps = {"keeps": {"of": ["old", 0], "mask": ["mask", 0]}}
    assert told(keeps, made, old=old, mask=mask) == []
    made[0, 29, 40] += 1 / 255
    assert told(keeps, made, old=old, mask=mask)
    assert told({"keeps": keeps["keeps"] | {"grow": 1}}, made, old=old, mask=mask) == []
    assert told({"keeps": keeps["keeps"] | {"within": 1.1}}, made, old=old, mask=mask) == []
    wide = torch.nn.functional.pad(old, (0, 0, 20, 0))
    moved = {"of": ["old", 0], "at": [20, 0]}
    assert told({"keeps": moved}, wide, old=old) == []
    assert told({"keeps": moved | {"at": [19, 0]}}, wide, old=old)
    inside = {"keeps": keeps["keeps"] | {"inside": True}}
    assert told(inside, old, old=old, mask=mask) == []
    assert told(inside, made, old=old, mask=mask)


def test_a_step_at_a_join_is_seen_and_the_light_is_not():
    made = picture(SCENE)
    joins = {"joins": {"columns": [20], "rows": [110], "step": 2}}
    assert told(joins, made) == []
    for cut in ((slice(None), slice(20, None)), (slice(110, None), slice(None))):
        stepped = made.clone()
        stepped[0][cut] -= 4 / 255
        assert len(told(joins, stepped)) == 1


def test_a_border_that_does_not_meet_itself_is_seen():
    wave = (torch.arange(64) * 2 * torch.pi / 64).sin() * 0.2 + 0.5
    made = (wave[:, None] + wave[None])[None, ..., None].expand(1, 64, 64, 3) / 2
    assert told({"wraps": 1.25}, made) == []
    assert told({"wraps": 1.25}, made[:, :, :40])


def test_a_larger_picture_is_the_small_one_or_is_not():
    small = picture(SCENE, 32)
    large = interpolate(small.movedim(-1, 1), scale_factor=4, mode="nearest").movedim(1, -1)
    assert told({"alike": {"of": ["old", 0], "psnr": 40}}, large, old=small) == []
    assert told({"alike": {"of": ["old", 0], "psnr": 40}}, large.flip(2), old=small)


def test_change_that_rises_to_the_right_is_told_from_change_that_does_not():
    old = picture(SCENE)
    ramp = torch.linspace(0, 0.4, 128)[None, None, :, None]
    rises = {"rises": {"of": ["old", 0]}}
    assert told(rises, old - ramp, old=old) == []
    assert told(rises, old - ramp.flip(2), old=old)
    assert told(rises, old - 0.2, old=old)


def test_what_stands_out_in_a_hole_is_seen():
    made, mask = picture(world.Scene((), "blue", light="left")), torch.zeros(1, 128, 128)
    mask[:, 30:60, 30:60] = 1
    smooth = {"smooth": {"mask": ["mask", 0], "step": 8}}
    assert told(smooth, made, mask=mask) == []
    made[0, 40:43, 40:43] += 0.2
    assert told(smooth, made, mask=mask)


@pytest.mark.parametrize("channels", [slice(3), slice(2, 3)])
def test_stripes_at_the_rim_are_as_strong_as_they_are(channels):
    y = (torch.arange(128) + 0.5) / 128
    made = picture(SCENE)
    made[..., channels] += 0.1 * torch.sin(2 * torch.pi * 4 * y)[:, None, None]
    for bounds, said in (({"least": 25.4}, []), ({"most": 25.6}, []), ({"least": 25.6}, ["25.5"])):
        lines = told({"stripes": {"count": 4, **bounds}}, made)
        assert len(lines) == len(said) and all(word in line for word, line in zip(said, lines, strict=True))
