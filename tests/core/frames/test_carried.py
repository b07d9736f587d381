"""The lens of a clip's frame: its hole begins with what the frame before was made into."""

import pytest
import torch
from isi.core.frames.carried import SEAM, Carried
from isi.core.loop.lens import lens_from_json
from isi.core.pictures.crop import Crop
from isi.core.pictures.masks import feather, grow

from ..loop.laws import hold
from .clips import camera_clip, decibels, disc_masks, with_object

SIZE = 72


def at_frame(frames, masks, index=1, carried=True, **settings):
    """The lens of a frame on the whole picture, and what it needs."""
    assets = {f"frame {at}": frames[at : at + 1] for at in range(len(frames))}
    assets |= {f"hole {at}": masks[at : at + 1] for at in range(len(frames))}
    inner = Crop(0, 0, SIZE, SIZE, SIZE, SIZE, f"hole {index}", f"hole {index}")
    last = (f"frame {index - 1}", f"hole {index - 1}") if carried else ("", "")
    return Carried(inner, f"frame {index}", f"hole {index}", *last, **settings), assets


@pytest.mark.parametrize("settings", [{"carried": False}, {}, {"follows": "mask"}, {"keeps": True}])
def test_it_keeps_the_laws_on_its_own_frame(settings):
    frames, masks = (camera_clip(1) > 0.5).float().expand(2, -1, -1, -1), disc_masks(1).expand(2, -1, -1)
    lens, assets = at_frame(frames, masks, **settings)
    hold(lens, frames[1:], assets)


def test_without_a_frame_before_it_is_the_frame_itself_whatever_comes():
    frames, masks = camera_clip(2), disc_masks(2)
    lens, assets = at_frame(frames, masks, carried=False)
    view = lens.get(torch.rand(5, SIZE, SIZE, 3), assets)
    assert torch.equal(view.pixels, frames[1:]) and view.new is None
    assert lens_from_json(lens.to_json()) == lens and lens.count(5) == 1
    out = lens.put(torch.rand(5, SIZE, SIZE, 3), torch.zeros(1, SIZE, SIZE, 3), assets)
    assert torch.equal(out[masks[1:] == 0], frames[1:][masks[1:] == 0]) and not out[masks[1:] > 0].any()


@pytest.mark.parametrize(
    ("moved", "least"), [({}, 100), ({"pan": (3.0, -1.0)}, 60), ({"pan": (2.3, -0.7)}, 40)]
)
def test_with_the_camera_the_hole_shows_what_was_made_of_the_place_behind_it(moved, least):
    truth, masks = camera_clip(2, **moved), disc_masks(2, start=0.4, end=0.5)
    frames = with_object(truth, masks)
    lens, assets = at_frame(frames, masks)
    view = lens.get(truth[:1], assets)  # the frame before was made well
    assert decibels(view.pixels, truth[1:], masks[1:] > 0) >= least and not view.new.any()
    assert torch.equal(view.pixels[masks[1:] == 0], frames[1:][masks[1:] == 0])


def test_what_comes_into_the_frame_and_what_follows_a_cut_is_new():
    truth, masks = camera_clip(2, pan=(-4.0, 0)), disc_masks(2, start=1.0, end=1.0)
    lens, assets = at_frame(with_object(truth, masks), masks)
    view = lens.get(truth[:1], assets)
    assert torch.equal(view.new[..., -4:], masks[1:, :, -4:]) and not view.new[..., :-5].any()
    frames = torch.cat([camera_clip(1, seed=seed) for seed in (1, 2)])
    lens, assets = at_frame(with_object(frames, masks), masks)
    assert torch.equal(lens.get(frames[:1], assets).new, masks[1:])


def test_the_light_of_the_frame_is_taken_over():
    truth, masks = camera_clip(1).repeat(2, 1, 1, 1) * 0.8, disc_masks(2, start=0.5, end=0.5)
    truth[1] += 0.05
    lens, assets = at_frame(with_object(truth, masks), masks)
    assert decibels(lens.get(truth[:1], assets).pixels, truth[1:], masks[1:] > 0) > 100


def test_with_the_mask_it_goes_where_the_mask_went():
    frames = camera_clip(1).repeat(2, 1, 1, 1)
    masks = torch.cat([disc_masks(1, start=24 / SIZE), disc_masks(1, start=30 / SIZE, radius=11).roll(2, 1)])
    lens, assets = at_frame(frames, masks, follows="mask", right=6, down=2)
    made = torch.rand(1, SIZE, SIZE, 3, generator=torch.Generator().manual_seed(0))
    view = lens.get(made, assets)
    moved = masks[:1].roll((2, 6), (1, 2))
    assert torch.equal(view.pixels[moved > 0], made.roll((2, 6), (1, 2))[moved > 0])
    assert torch.equal(view.new, masks[1:] - moved) and view.new.any()
    assert torch.equal(view.pixels[moved == 0], frames[1:][moved == 0])


def test_what_is_kept_is_kept_bit_for_bit_and_what_is_new_is_painted():
    frames = camera_clip(1).repeat(2, 1, 1, 1)
    masks = torch.cat([disc_masks(1, start=24 / SIZE), disc_masks(1, start=30 / SIZE, radius=16)])
    lens, assets = at_frame(frames, masks, follows="mask", right=6, keeps=True)
    made = torch.rand(1, SIZE, SIZE, 3, generator=torch.Generator().manual_seed(0))
    view = lens.get(made, assets)
    assert torch.equal(view.mask, grow(view.new, SEAM)) and (view.mask[masks[1:] > 0] == 0).any()
    out = lens.put(made, torch.full((1, SIZE, SIZE, 3), 9.0), assets)
    moved, new = masks[:1].roll(6, 2), view.new
    assert (out[new > 0] == 9).all() and torch.equal(out[masks[1:] == 0], frames[1:][masks[1:] == 0])
    kept = (moved > 0) & (grow(new, SEAM) == 0)
    assert kept.any() and torch.equal(out[kept], made.roll(6, 2)[kept])
    still, assets = at_frame(frames, masks[:1].expand(2, -1, -1), follows="mask", keeps=True)
    view = still.get(made, assets)
    assert not view.mask.any()
    out = still.put(made, torch.full((1, SIZE, SIZE, 3), 9.0), assets)
    assert torch.equal(out, torch.where(masks[:1, ..., None] > 0, made, frames[1:]))


def test_soft_masks_and_several_sizes_of_view():
    frames, masks = camera_clip(2), feather(disc_masks(2), 6)
    lens, assets = at_frame(frames, masks)
    for side in (40, 100):
        small = Carried(
            Crop(4, 4, 64, 64, side, side, "part", "part"), lens.frame, lens.hole, lens.last, lens.last_hole
        )
        view = small.get(frames[:1], {**assets, "part": masks[1:, 4:68, 4:68]})
        assert view.pixels.shape == (1, side, side, 3) and view.new.shape == (1, side, side)


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"frame 1": None}, "A frame of this plan is missing or damaged"),
        (
            {"frame 0": torch.full((1, SIZE, SIZE, 3), torch.nan)},
            "A frame of this plan is missing or damaged",
        ),
        ({"hole 1": torch.zeros(1, SIZE, SIZE, 1)}, "A mask of this plan is missing or damaged"),
        ({"frame 0": torch.zeros(1, 9, 9, 3)}, "several sizes"),
        ({"hole 0": None}, "several sizes"),
    ],
)
def test_what_is_missing_or_damaged_is_told(changed, sentence):
    lens, assets = at_frame(camera_clip(2), disc_masks(2))
    lens.check_assets(assets)
    broken = {name: one for name, one in {**assets, **changed}.items() if one is not None}
    with pytest.raises(ValueError, match=sentence):
        lens.check_assets(broken)
    with pytest.raises(ValueError, match="The frames of this plan are 72x72, but the picture is 80x64"):
        lens.check_size(64, 80, assets)
