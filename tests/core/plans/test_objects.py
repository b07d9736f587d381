"""Plans of object edits, and stitches of several masks: order changes nothing that it should not."""

import io
import itertools

import numpy as np
import pytest
import torch
from isi.core.fills.fill import Fill
from isi.core.loop.plan import Plan
from isi.core.pictures.crop import ViewSize, bounds, take_mask
from isi.core.pictures.masks import feather, found, grow, split_frames, split_objects
from isi.core.pictures.stitch import Around, Stitch, crop_for_inpaint
from isi.core.plans.objects import ORDERS, UNDER, ObjectEdits, parse_actions
from PIL import Image


def picture(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed)) * 2


def three_masks(height: int = 120, width: int = 160) -> torch.Tensor:
    """Small left, large middle, middling right."""
    masks = torch.zeros(3, height, width)
    masks[0, 10:20, 10:20] = 1
    masks[1, 50:90, 60:100] = 1
    masks[2, 20:45, 120:150] = 1
    return masks


def crops(image: torch.Tensor, masks: torch.Tensor, size: ViewSize | None = None) -> Stitch:
    return crop_for_inpaint(image, masks, feather(masks, 2), None, Around(8), size or ViewSize(multiple=8))


@pytest.mark.parametrize("match", [0.0, 1.0])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_disjoint_masks_stitched_together_one_by_one_and_in_any_order_agree(channels, match):
    image, masks = picture(1, 120, 160, channels), three_masks()
    together = crops(image, masks)
    views = together.view().pixels
    assert len(views) == 3
    sampled = picture(*views.shape, seed=1)
    expected = together.stitched(sampled, match)
    for order in itertools.permutations(range(3)):
        order = list(order)
        again = Stitch(image, tuple(together.crops[i] for i in order), together.assets)
        assert torch.equal(again.stitched(sampled[order], match), expected)
    if match == 0:  # one by one the colours are matched to a picture that has changed already
        one_by_one = image
        for index in range(3):
            single = Stitch(one_by_one, together.crops[index : index + 1], together.assets)
            one_by_one = single.stitched(sampled[index : index + 1], match)
        assert torch.equal(one_by_one, expected)
    outside = feather(masks, 2).amax(0) == 0
    assert torch.equal(expected[0, outside], image[0, outside])


@pytest.mark.parametrize("size", [ViewSize((64, 96)), ViewSize(megapixels=0.01), ViewSize(multiple=16)])
def test_crops_of_several_masks_have_one_size_and_hold_their_masks(size):
    stitch = crops(picture(1, 120, 160, 3), three_masks(), size)
    view = stitch.view()
    assert view.pixels.shape[0] == 3 and view.mask is not None and view.mask.shape == view.pixels.shape[:3]
    assert all(mask.max() == 1 for mask in view.mask)
    for crop in stitch.crops:
        assert crop.height * crop.view_width == pytest.approx(crop.width * crop.view_height, rel=0.03)


def test_a_batch_of_pictures_is_cropped_at_one_steady_place():
    masks = three_masks()
    video = picture(3, 120, 160, 3)
    stitch = crops(video, masks)
    assert len(stitch.crops) == 1
    view = stitch.view()
    assert torch.equal(stitch.stitched(view.pixels, 1.0), video)
    sampled = picture(*view.pixels.shape, seed=2)
    out = stitch.stitched(sampled, 0.0)
    for index in range(3):
        outside = feather(masks, 2)[index] == 0
        assert torch.equal(out[index, outside], video[index, outside])
        assert not torch.equal(out[index], video[index])


def test_several_variants_of_one_crop_make_as_many_pictures():
    image, mask = picture(1, 120, 160, 3), three_masks()[:1]
    stitch = crops(image, mask)
    out = stitch.stitched(picture(4, *stitch.view().pixels.shape[1:], seed=3), 0.0)
    assert out.shape == (4, 120, 160, 3)
    assert (out[:, mask[0] == 0][:, -1] == image[:, mask[0] == 0][:, -1]).all()


def test_a_wrong_number_of_crops_is_refused():
    stitch = crops(picture(1, 120, 160, 3), three_masks())
    with pytest.raises(ValueError, match="took 3 crops, but 2 came back"):
        stitch.stitched(stitch.view().pixels[:2], 0.0)


def test_empty_and_full_masks_are_nothing_and_everything():
    image = picture(1, 40, 48, 3)
    for level in (0.0, 1.0):
        mask = torch.full((1, 40, 48), level)
        stitch = crop_for_inpaint(image, mask, mask, None, Around(8), ViewSize(multiple=8))
        out = stitch.stitched(torch.full_like(stitch.view().pixels, 7.0), 1.0)
        assert torch.equal(out, image) if level == 0 else (out == 7).all()


def test_the_context_mask_only_widens():
    image, mask = picture(1, 120, 160, 3), three_masks()[:1]
    context = torch.zeros(1, 120, 160)
    context[0, 100:110, 140:150] = 1
    narrow = crop_for_inpaint(image, mask, mask, None, Around(0), ViewSize(multiple=1)).crops[0]
    wide = crop_for_inpaint(image, mask, mask, context, Around(0), ViewSize(multiple=1)).crops[0]
    assert (narrow.height, narrow.width) == (10, 10) and (wide.height, wide.width) == (100, 140)


def plan_of(masks: torch.Tensor, **settings) -> Plan:
    actions = settings.pop("actions", ["remove"])
    return ObjectEdits(actions, settings.pop("prompts", ["a", "b", "c"]), **settings).plan(masks)


@pytest.mark.parametrize(("order", "expected"), list(zip(ORDERS, ["abc", "bca", "acb", "abc"], strict=True)))
def test_objects_come_in_the_order_asked_for_with_their_own_prompt_and_seed(order, expected):
    plan = plan_of(three_masks(), order=order, seed=5, actions=["fill"])
    assert "".join(step.prompt for step in plan.steps) == expected
    assert {step.prompt: step.seed for step in plan.steps} == {"a": 5, "b": 6, "c": 7}
    assert Plan.from_json(plan.to_json(), plan.assets) == plan


def test_remove_and_fill_touch_the_grown_mask_and_its_blend_only():
    image, masks = picture(1, 120, 160, 3), three_masks()
    plan = plan_of(masks, actions=["remove", "fill"], grow=3, blend=4, padding=10, megapixels=0.01, match=0)
    out = image
    for step in plan.steps:
        view = step.lens.get(out, plan.assets)
        out = step.lens.put(out, torch.full_like(view.pixels, 9.0), plan.assets)
    assert [step.extras[0].kind if step.extras else "" for step in plan.steps] == ["fill", "", ""]
    changed = (out != image).any(-1)[0]
    for mask in masks:
        assert (out[0, mask == 1] == 9).all()
    rows, columns = changed.nonzero().T
    allowed = torch.zeros(120, 160, dtype=torch.bool)
    for top, bottom, left, right in ((3, 27, 3, 27), (43, 97, 53, 107), (13, 52, 113, 157)):
        allowed[top:bottom, left:right] = True
    assert allowed[rows, columns].all()


def test_replace_background_keeps_the_object_bit_for_bit():
    image, mask = picture(1, 120, 160, 3), three_masks()[1:2]
    plan = plan_of(mask, actions=["replace background"], megapixels=0.02, match=0)
    view = plan.steps[0].lens.get(image, plan.assets)
    out = plan.steps[0].lens.put(image, torch.full_like(view.pixels, 9.0), plan.assets)
    assert torch.equal(out[0, mask[0] == 1], image[0, mask[0] == 1]) and (out[0, mask[0] == 0] == 9).all()
    sample = plan.assets[plan.steps[0].lens.sample]
    wanted = take_mask(grow(1 - mask, UNDER), plan.steps[0].lens.box)
    assert torch.equal(sample, wanted), "the sampler sees to what lies under the rim too"


def test_a_new_background_keeps_its_colours_whatever_the_model_made_of_the_object():
    image, mask = picture(1, 120, 160, 3), three_masks()[1:2]
    plan = plan_of(mask, actions=["replace background"], megapixels=0.0192, match=1)
    lens = plan.steps[0].lens
    made = lens.get(image, plan.assets).pixels * 0.5 + 0.4  # brighter and flatter, the object too
    assert made.shape == image.shape
    out = lens.put(image, made, plan.assets)
    assert torch.equal(out[0, mask[0] == 0], made[0, mask[0] == 0])


def painted(plan: Plan, image: torch.Tensor) -> torch.Tensor:
    """Every step paints its number + 10 over all of its view."""
    for number, step in enumerate(plan.steps, 10):
        view = step.lens.get(image, plan.assets)
        image = step.lens.put(image, torch.full_like(view.pixels, float(number)), plan.assets)
    return image


@pytest.mark.parametrize("order", ORDERS)
def test_backgrounds_of_several_objects_are_one_step_that_keeps_them_all(order):
    image, masks = picture(1, 120, 160, 3), three_masks()
    plan = plan_of(masks, actions=["replace background"], order=order, megapixels=0.02, match=0, seed=7)
    assert [(step.prompt, step.seed) for step in plan.steps] == [("a", 7)]
    out, kept = painted(plan, image), masks.amax(0) == 1
    assert torch.equal(out[0, kept], image[0, kept]) and (out[0, ~kept] == 10).all()


def test_a_background_goes_round_what_was_filled_and_over_what_was_removed():
    image, masks = picture(1, 120, 160, 3), three_masks()
    for order, first in (("as given", "remove"), ("largest first", "fill")):
        actions = ["remove", "fill", "replace background"]
        edits = ObjectEdits(actions, ["p"], order=order, grow=4, match=0, blend=0)
        plan = edits.plan(masks)
        assert plan.steps[0].label.startswith(first)
        number = [step.label.split()[0] for step in plan.steps].index("fill") + 10
        out = painted(plan, image)
        assert (out[0, masks[1] == 1] == number).all(), "filled, and not painted over"
        assert torch.equal(out[0, masks[2] == 1], image[0, masks[2] == 1])


@pytest.mark.parametrize("level", [0.98, 0.6, 2 / 255])
@pytest.mark.parametrize("soft", [0, 16])
def test_the_hole_is_all_that_a_mask_touches_and_a_soft_edge_only_blends(level, soft):
    mask = feather(three_masks()[1:2], soft) * level
    plan = plan_of(mask, actions=["remove"], grow=0, blend=6, megapixels=0.02, match=0, mask_floor=0.0)
    lens = plan.steps[0].lens
    touched = take_mask(mask, lens.box)[0] > 0
    sample, back = (plan.assets[name][0] for name in (lens.sample, lens.composite))
    assert torch.equal(sample > 0, touched) and (sample[touched] == 1).all() and (back[touched] == 1).all()
    assert ((back > 0) & (back < 1)).any()


def jpeg(mask: torch.Tensor, quality: int) -> torch.Tensor:
    """The mask as a JPEG gives it back."""
    file = io.BytesIO()
    Image.fromarray((mask[0] * 255).byte().numpy()).convert("L").save(file, "JPEG", quality=quality)
    return torch.from_numpy(np.asarray(Image.open(file)).copy())[None] / 255


def disc(height: int, width: int, y: int, x: int, radius: int) -> torch.Tensor:
    rows, columns = torch.arange(height)[:, None], torch.arange(width)[None]
    return ((rows - y) ** 2 + (columns - x) ** 2 <= radius**2).float()[None]


@pytest.mark.parametrize("black", ["clean", "noisy"])
@pytest.mark.parametrize("quality", [60, 75, 90])
def test_a_mask_that_was_a_jpeg_is_one_object_and_a_crop_round_it(quality, black):
    plain = disc(400, 500, 120, 140, 50)
    mask = jpeg(plain, quality)
    if black == "noisy":
        noise = torch.randint(0, 3, mask.shape, generator=torch.Generator().manual_seed(quality)) / 255
        mask = torch.maximum(mask, noise)
    assert len(split_objects(mask, 16)) == 1
    box = bounds(mask)
    assert box is not None and min(box.top, box.left) >= 120 - 50 - 33
    stitch = crop_for_inpaint(torch.zeros(1, 400, 500, 3), mask, mask, None, Around(8), ViewSize(multiple=1))
    assert max(stitch.crops[0].height, stitch.crops[0].width) <= 101 + 2 * (32 + 8)
    assert len(plan_of(mask).steps) == 1


def test_a_soft_edge_is_found_to_its_end_and_a_floor_of_0_finds_all():
    mask = feather(disc(200, 200, 100, 100, 30), 20, "gaussian")
    assert torch.equal(found(mask), mask > 0)
    mask[0, 5, 5] = 1 / 255
    assert not found(mask)[0, 5, 5] and found(mask, 0)[0, 5, 5]


def test_a_video_has_one_object_with_a_mask_a_frame():
    """A disc that runs: every frame is changed where it is then, and nowhere else."""
    frames = torch.cat([disc(120, 160, 60, x, 12) for x in (30, 50, 70, 90)])
    other = disc(120, 160, 20, 130, 8).expand(4, -1, -1) * 0.9
    objects = split_frames(torch.maximum(frames, other), 4)
    assert torch.equal(objects, torch.cat([frames, other]))
    video = picture(4, 120, 160, 3)
    edits = ObjectEdits(["fill"], ["a", "b"], grow=0, blend=0, match=0, megapixels=0.02)
    plan = edits.plan(objects, frames=4)
    assert [step.prompt for step in plan.steps] == ["a", "b"]
    out = painted(plan, video)
    for frame in range(4):
        assert (out[frame, frames[frame] == 1] == 10).all() and (out[frame, other[frame] > 0] == 11).all()
        outside = torch.maximum(frames, other)[frame] == 0
        assert torch.equal(out[frame, outside], video[frame, outside])


def test_an_object_shows_at_least_its_share_of_surroundings():
    mask = disc(400, 400, 200, 200, 49)
    for share, expected in ((0.0, 99 + 20), (1.0, 99 + 2 * 99)):
        plan = plan_of(mask, grow=0, blend=0, padding=10, relative_padding=share)
        assert plan.steps[0].lens.box.height == expected


def test_removing_without_diffusion_is_the_fill_alone():
    alone, light = (plan_of(three_masks(), remove_denoise=value).steps[0] for value in (0.0, 0.4))
    assert alone.denoise == 0 and dict(alone.extras[0].values)["only"] is True and alone.steps == 1
    assert light.denoise == 0.4 and dict(light.extras[0].values)["only"] is False
    assert alone.extras[0] == Fill("telea", only=True, touched=True).to_extra()


def test_empty_masks_are_skipped_and_none_at_all_is_the_picture():
    masks = three_masks()
    masks[1] = 0
    assert [step.prompt for step in plan_of(masks).steps] == ["a", "c"]
    nothing = plan_of(masks * 0)
    image = picture(1, 120, 160, 3)
    lens = nothing.steps[0].lens
    assert torch.equal(lens.put(image, lens.get(image, {}).pixels + 1, {}), image)


def test_actions_are_read_a_line_each():
    assert parse_actions("Remove\n\n fill \nbackground") == ("remove", "fill", "replace background")
    assert parse_actions("") == ("remove",)
    with pytest.raises(ValueError, match="'delete' is no action"):
        parse_actions("delete")


def test_pictures_of_a_batch_have_a_box_each_where_asked():
    """Unrelated pictures: each crop holds its own mask, and each goes back into its own picture."""
    images, masks = picture(3, 120, 160, 3), three_masks()
    around = Around(8, each=True)
    for size in (ViewSize((64, 64)), ViewSize(multiple=8)):
        stitch = crop_for_inpaint(images, masks, masks, None, around, size)
        view = stitch.view()
        assert len(stitch.crops) == 3 and view.mask.shape == view.pixels.shape[:3]
        assert all(float(mask.max()) == 1 for mask in view.mask)
        tops = {crop.box for crop in stitch.crops}
        assert len(tops) == 3
        out = stitch.stitched(torch.full_like(view.pixels, 9.0), 0.0)
        for image, made, mask in zip(images, out, masks, strict=True):
            assert (made[mask == 1] == 9).all() and torch.equal(made[mask == 0], image[mask == 0])


def test_nearest_mixes_no_colours_and_whole_factors_come_back_bit_for_bit():
    palette = torch.tensor([[0.0, 0.0, 0.0], [1.0, 0.2, 0.1], [0.1, 0.9, 0.3]])
    image = palette[torch.randint(0, 3, (1, 60, 60), generator=torch.Generator().manual_seed(1))]
    mask = torch.zeros(1, 60, 60)
    mask[0, 20:36, 20:36] = 1
    stitch = crop_for_inpaint(image, mask, mask, None, Around(0), ViewSize((64, 64)), "nearest")
    view = stitch.view().pixels
    assert torch.equal(view.reshape(-1, 3).unique(dim=0), palette[[0, 2, 1]])
    assert torch.equal(stitch.stitched(view, 0.0), image)


@pytest.mark.parametrize("size", [ViewSize(multiple=8, minimum=256), ViewSize(megapixels=0.01, minimum=256)])
def test_a_working_size_has_a_minimum(size):
    stitch = crops(picture(1, 120, 160, 3), three_masks()[2:], size)
    height, width = stitch.view().pixels.shape[1:3]
    assert min(height, width) == 256 and height % 8 == width % 8 == 0
    crop = stitch.crops[0]
    assert crop.height * width == pytest.approx(crop.width * height, rel=0.05)
