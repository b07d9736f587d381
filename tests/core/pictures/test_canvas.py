"""Canvases: exact sizes, all sides and corners graded alike, no pixel unset."""

import json
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from isi.core.pictures.canvas import (
    ANCHORS,
    Canvas,
    aspect_size,
    check_overlap,
    parse_aspect,
    sides_for,
    sides_of,
)
from isi.core.pictures.masks import PROFILES, ramp

CASES = json.loads((Path(__file__).parents[2] / "vectors/outpaint.json").read_text("utf-8"))["cases"]
FILLS = ["neutral", "edge", "blur", "telea", "navier-stokes", "patch noise"]
lengths = st.integers(1, 3000)


def test_there_are_nine_anchors():
    assert set(ANCHORS) == {
        "top left", "top", "top right", "left", "center", "right", "bottom left", "bottom", "bottom right",
    }  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(
    height=lengths,
    width=lengths,
    new_height=lengths,
    new_width=lengths,
    anchor=st.sampled_from(sorted(ANCHORS)),
)
def test_sides_make_the_exact_size_with_the_picture_at_its_anchor(
    height, width, new_height, new_width, anchor
):
    top, bottom, left, right = sides_for(height, width, new_height, new_width, anchor)
    assert (top + height + bottom, left + width + right) == (new_height, new_width)
    for word, side in (("top", top), ("bottom", bottom), ("left", left), ("right", right)):
        assert word not in anchor or side == 0
    if anchor == "center":
        assert abs(top - bottom) <= 1 and abs(left - right) <= 1


@settings(max_examples=200, deadline=None)
@given(height=lengths, width=lengths, aspect=st.floats(0.2, 5), multiple=st.sampled_from([1, 8, 64]))
def test_an_aspect_canvas_holds_the_picture_and_grows_one_way(height, width, aspect, multiple):
    new_height, new_width = aspect_size(height, width, aspect, multiple)
    assert new_height >= height and new_width >= width
    assert new_height % multiple == 0 and new_width % multiple == 0
    if multiple == 1:
        assert new_height == height or new_width == width
        assert abs(new_width - new_height * aspect) <= max(1, aspect) * 0.51


@pytest.mark.parametrize(("text", "ratio"), [("16:9", 16 / 9), ("4/3", 4 / 3), ("1.5", 1.5), ("2x1", 2.0)])
def test_aspects_are_read_as_people_write_them(text, ratio):
    assert parse_aspect(text) == pytest.approx(ratio)


@pytest.mark.parametrize("text", ["", "wide", "16:9:4", "1:0", "-1", "nan", "0", "inf"])
def test_a_bad_aspect_is_refused(text):
    with pytest.raises(ValueError, match="aspect ratio"):
        parse_aspect(text)


@settings(max_examples=60, deadline=None)
@given(
    sides=st.tuples(*[st.integers(0, 9)] * 4), reach=st.integers(0, 12), profile=st.sampled_from(PROFILES),
    height=st.integers(1, 24), width=st.integers(1, 24),
)  # fmt: skip
def test_the_mask_is_the_ramp_of_the_distance_to_the_nearest_new_pixel(sides, reach, profile, height, width):
    """All sides and corners alike: Chebyshev and Euclid agree inside a rectangle, so brute force is short."""
    canvas = Canvas(*sides, profile=profile)
    mask = canvas.mask(height, width, reach)[0]
    top, bottom, left, right = sides
    new = torch.ones(top + height + bottom, left + width + right, dtype=torch.bool)
    new[top : top + height, left : left + width] = False
    assert mask.shape == new.shape
    assert torch.equal(mask == 1, new)
    if not new.any():
        assert not mask.any()
        return
    where = new.nonzero().float()
    points = torch.cartesian_prod(*[torch.arange(side) for side in new.shape]).float()
    distance = torch.cdist(points, where).min(1).values.reshape(new.shape)
    torch.testing.assert_close(mask, ramp(1 - distance / (reach + 1), profile), atol=1e-5, rtol=0)
    assert (mask[distance > reach] == 0).all()


def test_a_side_without_room_never_enters_the_mask_however_short_it_is():
    mask = Canvas(0, 0, 0, 30).mask(5, 100, 40)[0]
    assert (mask == mask[:1]).all() and (mask[:, :60] == 0).all() and (mask[:, 60:] > 0).all()


@pytest.mark.parametrize("fill", FILLS)
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_no_pixel_is_unset_the_picture_is_its_own_and_new_ones_are_opaque(fill, channels):
    picture = torch.rand(2, 30, 20, channels, generator=torch.Generator().manual_seed(1)) * 3
    canvas = Canvas(5, 8, 13, 2, fill=fill, overlap=4)
    view = canvas.get(picture, {})
    assert view.pixels.shape == (2, 43, 35, channels) and view.pixels.isfinite().all()
    assert torch.equal(view.pixels[:, 5:35, 13:33], picture)
    new = canvas.mask(30, 20, 0)[0] == 1
    colours = min(channels, 3)
    low, high = (f(picture[..., :colours]) for f in (torch.min, torch.max))
    filled = view.pixels[:, new][..., :colours]
    assert filled.min() >= low - 1e-5 and filled.max() <= high + 1e-5
    assert channels != 4 or (view.pixels[:, new][..., 3] == 1).all()
    assert torch.equal(view.pixels, canvas.get(picture, {}).pixels)


def test_edges_and_corners_repeat_the_nearest_pixel():
    picture = torch.rand(1, 6, 7, 3)
    view = Canvas(2, 3, 4, 5, fill="edge").get(picture, {}).pixels
    rows = (torch.arange(11) - 2).clamp(0, 5)
    columns = (torch.arange(16) - 4).clamp(0, 6)
    assert torch.equal(view, picture[:, rows][:, :, columns])


def test_a_smaller_target_cuts_by_the_anchor():
    picture = torch.rand(1, 20, 30, 3)
    canvas = Canvas(*sides_for(20, 30, 12, 40, "top left"))
    view = canvas.get(picture, {})
    assert view.pixels.shape == (1, 12, 40, 3)
    assert torch.equal(view.pixels[:, :, :30], picture[:, :12])
    assert canvas.put(picture, view.pixels, {}).shape == (1, 12, 40, 3)


def test_no_room_is_the_picture_and_nothing_may_change():
    picture = torch.rand(1, 20, 30, 3)
    view = Canvas(0, 0, 0, 0, overlap=5).get(picture, {})
    assert torch.equal(view.pixels, picture) and view.mask is not None and not view.mask.any()


def test_an_overlap_larger_than_the_picture_is_refused():
    check_overlap(100, 50, (0, 0, 20, 0), 49)
    check_overlap(100, 50, (0, 0, 0, 0), 500)
    with pytest.raises(ValueError, match="reaches through the whole picture"):
        check_overlap(100, 50, (0, 0, 20, 0), 50)


@pytest.mark.parametrize("case", CASES, ids=lambda case: repr(case["extend"])[:90])
def test_sides_of_the_table(case):
    """The table that every other reader of these widgets is held to as well."""
    size = case["height"], case["width"]
    if case["sides"] is None:
        with pytest.raises(ValueError):
            sides_of(case["extend"], *size)
    else:
        assert sides_of(case["extend"], *size) == tuple(case["sides"])
