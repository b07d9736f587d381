"""ISI Pick on the real ComfyUI: its masks, and its marks in the host's own SAM3 node."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from ..harness import Failed
from ..tiles.transformers import built

PICKS = "square: + 50 50, - 5 5\nboxed: box 20 20 80 80"
SIZE = (48, 64)
EDIT = {
    "actions": "replace background", "prompts": "", "order": "as given", "fill": "telea", "denoise": 1.0,
    "remove_denoise": 0.0, "grow": 8, "blend": 16, "padding": 64, "megapixels": 0.02, "steps": 2, "cfg": 5.0,
    "seed": 0,
}  # fmt: skip


@pytest.fixture
def picture():
    made = torch.full((2, *SIZE, 3), 0.9)
    made[0, 16:36, 20:44] = torch.tensor([0.1, 0.2, 0.8])
    made[1, 20:30, 24:40] = torch.tensor([0.1, 0.2, 0.8])
    return made


@pytest.fixture(scope="module")
def sam3(booted):
    """The host's own SAM3, narrow and shallow, with random weights."""
    return built("SAM3", image_model="SAM3", embed_dim=64, depth=1)


def test_a_batch_has_a_mask_a_picture_for_each_object(host, picture):
    masks, *_, report, together = host.call("ISI_Pick", image=picture, picks=PICKS, segmenter="auto")
    blue = (picture[..., 0] < 0.5).float()
    assert torch.equal(masks, torch.cat([blue, blue])) and torch.equal(together, blue)
    assert report.splitlines() == ["1. square: 10.4%", "2. boxed: 10.4%"]
    none, *_ = host.call("ISI_Pick", image=picture, picks="", segmenter="auto")
    assert none.shape == (1, *SIZE) and not none.any()


def told(host, **inputs):
    """What the page of an ISI Pick is told."""
    host.events.clear()
    host.call("ISI_Pick", segmenter="regions", **inputs)
    found = [data["output"] for event, data in host.events if event == "executed" and data["node"] == "node"]
    ((shown,),) = (output["isi_pick"] for output in found)
    return shown


def saved(host, file):
    with Image.open(host.base / "temp" / file["subfolder"] / file["filename"]) as picture:
        return np.array(picture)


def test_the_page_is_told_which_picture_it_was(host, picture):
    """One that nodes made it has nowhere else; nothing needs to be picked yet."""
    other = 1 - picture
    first, again, another = (told(host, image=image, picks="") for image in (picture, picture.clone(), other))
    assert (saved(host, first["picture"]) == (picture[0] * 255).byte().numpy()).all()
    assert not saved(host, first["found"]).any()
    assert first["which"] == again["which"] != another["which"]


def test_the_page_is_told_which_object_has_each_pixel(host):
    """Of the first picture, in a file of its own; 600 pixels are shown as 300."""
    picture = torch.full((2, 8, 600, 3), 0.9)
    picture[0, :, 100:200, 0] = picture[0, :, 300:420, 1] = 0.1
    picks = "a: + 25 50\nb: + 60 50"
    shown = told(host, image=picture, picks=picks)
    numbers = saved(host, shown["found"])[..., 0]
    wanted = np.zeros((4, 300), int)
    wanted[:, 50:100], wanted[:, 150:210] = 1, 2
    assert shown["picks"] == picks and (numbers == wanted).all()


def test_an_object_that_is_all_of_the_picture(host, picture):
    """Nothing is left to fill it from, and nothing is left round it to replace."""
    all_of_it = torch.full((1, 64, 64, 3), 0.3)
    masks, *_, report, together = host.call(
        "ISI_Pick", image=all_of_it, picks="it: + 50 50", segmenter="auto"
    )
    assert (masks == 1).all() and report == "1. it: 100.0%"
    filled, _ = host.call("ISI_Fill", image=all_of_it, mask=together, mode="telea", seed=0)
    assert torch.equal(filled, torch.full_like(all_of_it, 0.5))
    plan, _ = host.call("ISI_EditObjects", image=all_of_it, masks=masks, **EDIT)
    assert len(plan.steps) == 1


@pytest.mark.slow
def test_what_a_model_does_not_find_is_an_empty_mask_that_is_told(host, picture, sam3):
    blind = sam3.clone()
    weights = {name: torch.zeros_like(value) for name, value in sam3.model.state_dict().items()}
    blind.add_patches({name: ("set", (value,)) for name, value in weights.items()})
    masks, *_, report, together = host.call(
        "ISI_Pick", image=picture[:1], picks=PICKS, segmenter="auto", model=blind
    )
    assert not masks.any() and not together.any()
    assert report.splitlines() == ["1. square: 0.0%, nothing found", "2. boxed: 0.0%, nothing found"]


@pytest.mark.slow
def test_a_model_gives_what_the_hosts_own_node_gives_of_the_same_marks(host, picture, sam3):
    points, boxed = PICKS.splitlines()
    masks, *_ = host.call("ISI_Pick", image=picture[:1], picks=PICKS, segmenter="auto", model=sam3)
    settings = {"threshold": 0.5, "refine_iterations": 2, "individual_masks": False}
    own = {"model": sam3, "image": picture[:1], **settings}

    _, on, off, boxes, *_ = host.call("ISI_Pick", image=picture[:1], picks=points, segmenter="regions")
    assert (json.loads(on), json.loads(off), boxes) == ([{"x": 32, "y": 24}], [{"x": 3, "y": 2}], [])
    theirs, _ = host.call("SAM3_Detect", **own, positive_coords=on, negative_coords=off, bboxes=boxes)
    assert torch.equal(masks[0], theirs[0])

    _, on, off, boxes, *_ = host.call("ISI_Pick", image=picture[:1], picks=boxed, segmenter="regions")
    assert (on, off, boxes) == ("", "", [{"x": 12, "y": 9, "width": 40, "height": 30}])
    theirs, _ = host.call("SAM3_Detect", **own, positive_coords=on, negative_coords=off, bboxes=boxes)
    inside = torch.zeros(SIZE)
    inside[9:39, 12:52] = 1
    assert torch.equal(masks[1], theirs[0] * inside)


def test_what_does_not_fit_is_told_before_anything_is_made(host, picture, model):
    with pytest.raises(Failed, match="takes a SAM3 model"):
        host.call("ISI_Pick", image=picture, picks=PICKS, segmenter="auto", model=model)
    with pytest.raises(Failed, match="no model is connected"):
        host.call("ISI_Pick", image=picture, picks=PICKS, segmenter="SAM3")
    plain, *_ = host.call("ISI_Pick", image=picture, picks=PICKS, segmenter="regions", model=model)
    assert plain.any()
