"""ISI Pick on the real ComfyUI: its masks, and its marks in the host's own SAM3 node."""

import json

import pytest
import torch

from ..harness import Failed
from ..tiles.transformers import built

PICKS = "square: + 50 50, - 5 5\nboxed: box 20 20 80 80"
SIZE = (48, 64)


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
    masks, *_, report = host.call("ISI_Pick", image=picture, picks=PICKS, segmenter="auto")
    blue = (picture[..., 0] < 0.5).float()
    assert torch.equal(masks, torch.cat([blue, blue]))
    assert report.splitlines() == ["1. square: 10.4%", "2. boxed: 10.4%"]
    none, *_ = host.call("ISI_Pick", image=picture, picks="", segmenter="auto")
    assert none.shape == (1, *SIZE) and not none.any()


@pytest.mark.slow
def test_a_model_gives_what_the_hosts_own_node_gives_of_the_same_marks(host, picture, sam3):
    points, boxed = PICKS.splitlines()
    masks, *_ = host.call("ISI_Pick", image=picture[:1], picks=PICKS, segmenter="auto", model=sam3)
    settings = {"threshold": 0.5, "refine_iterations": 2, "individual_masks": False}
    own = {"model": sam3, "image": picture[:1], **settings}

    _, on, off, boxes, _ = host.call("ISI_Pick", image=picture[:1], picks=points, segmenter="regions")
    assert (json.loads(on), json.loads(off), boxes) == ([{"x": 32, "y": 24}], [{"x": 3, "y": 2}], [])
    theirs, _ = host.call("SAM3_Detect", **own, positive_coords=on, negative_coords=off, bboxes=boxes)
    assert torch.equal(masks[0], theirs[0])

    _, on, off, boxes, _ = host.call("ISI_Pick", image=picture[:1], picks=boxed, segmenter="regions")
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
