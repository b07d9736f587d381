"""Nodes of masks and pictures on the host: half precision, no mask at all, videos, later inputs."""

import pytest
import torch
from isi.core.fills.fill import MODES as FILLS
from isi.core.pictures.colour import MODES as EQUALIZED
from isi.core.pictures.masks import feather
from isi.host.models.upscale_models import LANCZOS, MINI

from ..harness import Failed
from .test_outpaint import ASPECT, CANVAS, SIZE, box, edits, iterate, outpaint, picture

MASK = {
    "threshold": 0.0, "fill_holes": False, "grow": 0, "feather": 0, "profile": "cosine", "latent": "off",
    "max_objects": 8,
}  # fmt: skip
ENLARGED = {
    "factor": 2.0, "width": 0, "height": 0, "tile_size": 64, "overlap": 8, "allow_gigapixel": False,
}  # fmt: skip


def calls(image: torch.Tensor, mask: torch.Tensor) -> dict[str, dict]:
    """Each node of masks with one picture and a mask, as an old graph says it."""
    return {
        "ISI_Fill": {"image": image, "mask": mask, "mode": "blur", "seed": 0},
        "ISI_CropForInpaint": {"image": image, "mask": mask, **SIZE, "padding": 8, "blend": 4},
        "ISI_OutpaintCanvas": {"image": image, "mask": mask, **ASPECT, **CANVAS},
        "ISI_Mask": {"mask": mask, **MASK, "feather": 3},
        "ISI_EditObjects": edits(image, mask),
        "ISI_ColorMatch": {
            "image": image, "reference": image.flip(1), "mode": "mean and contrast", "strength": 1.0,
            "exclude": mask,
        },
    }  # fmt: skip


NODES = list(calls(torch.zeros(1, 1, 1, 3), torch.zeros(1, 1, 1)))


def tensors(values: tuple) -> list[torch.Tensor]:
    return [value for value in values if isinstance(value, torch.Tensor)]


@pytest.mark.parametrize("node", NODES)
def test_a_detector_without_a_hit_is_a_mask_of_zeros(host, node):
    image = picture(1, 1, 64, 48, 3)
    expected = host.call(node, **calls(image, torch.zeros(1, 64, 48))[node])
    for shape in ((0, 64, 48), (0, 64, 64)):
        if node == "ISI_Mask" and shape[2] != 48:
            continue  # it has no picture to tell it the size
        made = host.call(node, **calls(image, torch.zeros(shape))[node])
        assert all(torch.equal(a, b) for a, b in zip(tensors(made), tensors(expected), strict=True))
        if node == "ISI_EditObjects":
            assert made[0] == expected[0] and "nothing is masked" in made[1]


@pytest.mark.parametrize("mask", [torch.zeros(0, 64, 64), torch.zeros(0, 9, 7), torch.zeros(1, 9, 7)])
def test_detail_where_a_detector_found_nothing_is_the_target(host, mask):
    target, source = picture(1, 2, 64, 48, 4), picture(2, 1, 64, 48, 3)
    inputs = {"target": target, "source": source, "mode": "add", "blur": 2.0, "blend": 1.0}
    assert torch.equal(host.call("ISI_DetailTransfer", mask=mask, **inputs)[0], target)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"mask": torch.ones(3, 9, 7)}, "3 masks for 2 pictures"),
        ({"mask": torch.full((1, 9, 7), torch.nan)}, "NaN"),
        ({"source": torch.zeros(0, 64, 48, 3)}, "The source is an empty batch"),
    ],
)
def test_detail_with_a_mask_or_source_that_does_not_fit_is_one_sentence(host, given, message):
    inputs = {"target": picture(1, 2, 64, 48, 4), "source": picture(2, 1, 64, 48, 3)} | given
    with pytest.raises(Failed, match=message):
        host.call("ISI_DetailTransfer", mode="add", blur=2.0, blend=1.0, **inputs)


def test_the_alpha_of_a_grey_target_is_no_colour(host):
    target, source = picture(1, 1, 64, 48, 2), picture(2, 1, 64, 48, 3)
    inputs = {"source": source, "mode": "add", "blur": 2.0, "blend": 1.0}
    (out,) = host.call("ISI_DetailTransfer", target=target, **inputs)
    (grey,) = host.call("ISI_DetailTransfer", target=target[..., :1], **inputs)
    assert torch.equal(out[..., 1], target[..., 1]) and torch.equal(out[..., :1], grey)


@pytest.mark.parametrize(
    ("node", "inputs", "size"),
    [
        *(("ISI_Fill", {"mask": torch.ones(1, 64, 48), "mode": mode, "seed": 0}, (64, 48)) for mode in FILLS),
        *(("ISI_Equalize", {"mode": mode, "strength": 1.0}, (64, 48)) for mode in EQUALIZED),
        *(("ISI_UpscaleImage", {**ENLARGED, "model_name": name}, (128, 96)) for name in (LANCZOS, MINI)),
    ],
)
def test_a_batch_of_no_pictures_is_given_back_as_one(host, node, inputs, size):
    out, *_ = host.call(node, image=torch.zeros(0, 64, 48, 3), **inputs)
    assert out.shape == (0, *size, 3)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("node", NODES)
def test_half_precision_goes_in_and_comes_out(host, node, dtype):
    image, mask = picture(1, 1, 64, 48, 3).to(dtype), feather(box(64, 48, 20, 40, 10, 30), 3).to(dtype)
    made = tensors(host.call(node, **calls(image, mask)[node]))
    wide = tensors(host.call(node, **calls(image.float(), mask.float())[node]))
    for a, b in zip(made, wide, strict=True):
        assert a.dtype == dtype and a.isfinite().all() and torch.equal(a, b.to(dtype))


def test_a_stitch_in_half_precision_is_float32s_rounded(host):
    image, mask = picture(1, 1, 64, 48, 3).half(), box(64, 48, 20, 40, 10, 30).half()
    made = []
    for one in (image, image.float()):
        stitch, crops, _ = host.call("ISI_CropForInpaint", image=one, mask=mask, **SIZE, padding=8, blend=4)
        made += host.call("ISI_Stitch", stitch=stitch, image=1 - crops.half().to(one), match=1.0)
    assert made[0].dtype == torch.float16 and (made[0] - made[1].half()).abs().max() <= 2 / 1024


def video_masks() -> torch.Tensor:
    """A square that runs through three frames, and one that stays."""
    return torch.stack([
        torch.maximum(box(96, 96, 10, 30, x, x + 20), box(96, 96, 60, 80, 60, 70))[0] for x in (10, 20, 30)
    ])  # fmt: skip


def test_objects_of_a_video_are_followed_and_edited_frame_by_frame(host, model, clip, vae):
    frames, masks = picture(5, 3, 96, 96, 3), video_masks()
    _, objects, count = host.call("ISI_Mask", mask=masks, **MASK, frames=True)
    assert count == 2 and objects.shape == (6, 96, 96)
    assert torch.equal(objects[:3] + objects[3:], masks)
    plan, _ = host.call("ISI_EditObjects", **edits(frames, objects) | {"grow": 0, "blend": 0})
    assert len(plan) == 2
    out = iterate(host, model, clip, vae, plan, frames)
    for frame in range(3):
        changed = (out[frame] != frames[frame]).any(-1)
        assert changed[masks[frame] == 1].float().mean() > 0.99 and not changed[masks[frame] == 0].any()


def test_masks_that_are_neither_one_nor_one_a_frame_are_refused(host):
    frames = picture(5, 3, 96, 96, 3)
    with pytest.raises(Failed, match="There are 2 masks for 3 pictures: connect one mask, or one a picture"):
        host.call("ISI_EditObjects", **edits(frames, video_masks()[:2]))


@pytest.mark.parametrize("level", [0.98, 0.3])
def test_a_removed_object_is_gone_whatever_the_grey_of_its_mask(host, model, clip, vae, level):
    image = torch.full((1, 96, 96, 3), 0.25)
    where = box(96, 96, 40, 60, 40, 60)
    image[0, where[0] == 1] = 0.9
    for mask in (where * level, feather(where, 8) * level):
        plan, _ = host.call("ISI_EditObjects", **edits(image, mask))
        out = iterate(host, model, clip, vae, plan, image)
        assert (out - 0.25).abs().max() < 0.01


def test_new_inputs_of_the_crop_do_what_they_say(host):
    image, masks = picture(2, 3, 96, 96, 3), video_masks()
    old = {"image": image, "mask": masks, "size": "original", "size.multiple_of": 8, "padding": 0, "blend": 0}
    _, crops, _ = host.call("ISI_CropForInpaint", **old)
    stitch, each, _ = host.call("ISI_CropForInpaint", **old, box="one each")
    assert crops.shape[0] == each.shape[0] == 3 and each.shape[2] <= crops.shape[2]
    (out,) = host.call("ISI_Stitch", stitch=stitch, image=each, match=1.0)
    assert torch.equal(out, image)
    _, large, _ = host.call("ISI_CropForInpaint", **old, minimum_size=128, resampling="nearest")
    assert min(large.shape[1:3]) >= 128 and set(large.unique().tolist()) <= set(image.unique().tolist())
    _, wide, _ = host.call("ISI_CropForInpaint", **old, relative_padding=1.0)
    assert wide.shape[1] > crops.shape[1]


def test_a_fill_fades_in_and_boxes_and_ramps_shape_a_mask(host):
    image, mask = picture(3, 1, 40, 40, 3), box(40, 40, 10, 30, 10, 30)
    inputs = {"image": image, "mask": mask, "mode": "neutral", "seed": 0}
    (hard, _), (soft, level) = host.call("ISI_Fill", **inputs), host.call("ISI_Fill", **inputs, falloff=4)
    assert level[0, 20, 20] == 1 and 0 < level[0, 10, 20] < 1
    assert torch.equal(soft[0, 15:25, 15:25], hard[0, 15:25, 15:25]) and not torch.equal(soft, hard)
    assert torch.equal(soft[mask == 0], image[mask == 0])
    mask[0, 10, 10] = 0
    whole, *_ = host.call("ISI_Mask", mask=mask * 0.5, **MASK, bounding_box="whole", ramp_high=0.5)
    assert torch.equal(whole, box(40, 40, 10, 30, 10, 30))


def test_an_outpainting_plan_has_its_pictures_in_half_precision_too(host, model, clip, vae):
    image = picture(5, 1, 100, 120, 3).half()
    size = {"extend": "size", "extend.width": 300, "extend.height": 100, "extend.anchor": "left"}
    inputs = {k: v for k, v in outpaint(image).items() if not k.startswith("extend")} | size
    plan, _ = host.call("ISI_Outpaint", **inputs)
    out = iterate(host, model, clip, vae, plan, image)
    assert out.isfinite().all() and torch.equal(out[:, :, :120].to(image), image)
