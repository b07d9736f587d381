"""Picks as text, and what one click takes: the whole of a drawn object, whose mask is known, and no other."""

from colorsys import hsv_to_rgb

import pytest
import torch
from isi.core.picking.picks import MOST_OBJECTS, Pick, parse_picks
from isi.core.picking.segment import segment
from isi.tools.mini import world
from isi.tools.mini.world import Scene, Shape


def test_a_text_is_its_objects():
    text = "# mine\ncat: + 40 55, - 70 30.5,+ 0 100\n\nball : box 10 60 30 85\n"
    assert parse_picks(text) == (
        Pick("cat", ((40, 55), (0, 100)), ((70, 30.5),)),
        Pick("ball", box=(10, 60, 30, 85)),
    )
    assert parse_picks("") == parse_picks("# nothing\n \n") == ()


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("cat", "no colon"),
        ("a: + 1 2\ncat: 40 55", "Line 2"),
        ("cat: + 40", "expected"),
        ("cat: + 40 nan", "expected"),
        ("cat: + 40 100.5", "outside"),
        ("cat: + -1 5", "outside"),
        ("cat: - 40 50", "adds nothing"),
        ("cat: box 30 10 20 40", "empty box"),
        ("cat: " + ", ".join(["+ 1 1"] * 1001), "points"),
        ("a: + 1 1\n" * (MOST_OBJECTS + 1), "objects"),
    ],
)
def test_what_can_not_be_read_is_told_in_a_sentence(text, word):
    with pytest.raises(ValueError, match=word):
        parse_picks(text)


def overlap(mask, truth):
    mask, truth = mask > 0.5, truth > 0.5
    return float((mask & truth).sum() / (mask | truth).sum())


CIRCLE = Shape("circle", "red", "large", "left", "striped", 0.34, 0.5)
SQUARE = Shape("square", "blue", "large", "right", "dotted", 0.62, 0.5)


@pytest.mark.parametrize("gradient", [False, True])
@pytest.mark.parametrize("size", [(128, 128), (200, 160)])
def test_a_click_takes_stripes_dots_and_gradients_but_not_what_overlaps(size, gradient):
    drawn = world.render(Scene((CIRCLE, SQUARE), "green", "top", gradient), *size)
    picture = drawn.picture.movedim(0, -1)
    for at in ((20, 44), (20, 50), (20, 56)):  # whichever stripe
        assert overlap(segment(picture, [Pick("", (at,))])[0], drawn.masks[0]) > 0.95
    assert overlap(segment(picture, [Pick("", ((62, 50),))])[0], drawn.masks[1]) > 0.95
    ground = segment(picture, [Pick("", ((95, 5),))])[0]
    assert overlap(ground, 1 - drawn.matte) > 0.95


def test_what_goes_on_behind_something_is_one_object():
    drawn = world.render(
        Scene((SQUARE, Shape("cross", "yellow", "large", "right", "plain", 0.62, 0.5)), "black")
    )
    (mask,) = segment(drawn.picture.movedim(0, -1), [Pick("", ((50, 35),))])
    assert overlap(mask, drawn.masks[0]) > 0.93  # four corners


def test_two_touching_things_of_one_hue_part_where_they_are_told_apart():
    picture = torch.full((64, 96, 3), 0.9)
    picture[16:48, 16:80] = torch.tensor([0.8, 0.1, 0.1])
    whole = segment(picture, [Pick("", ((30, 50),))])[0]
    assert whole.sum() == 32 * 64
    left = segment(picture, [Pick("", ((30, 50),), ((70, 50),))])[0]
    assert torch.equal(left, whole * (torch.arange(96) < 48))
    both = segment(picture, [Pick("", ((30, 50),)), Pick("", ((70, 50),))])
    assert torch.equal(both[0], left) and torch.equal(both.sum(0).clamp(max=1), whole)


def disc(x, y, radius, size=160):
    """A disc with a smooth edge: each pixel as much as it covers of it."""
    at = (torch.arange(4 * size) + 0.5) / 4
    inside = ((at - x) ** 2 + (at[:, None] - y) ** 2 < radius**2).float()
    return inside.unflatten(0, (size, 4)).unflatten(2, (size, 4)).mean((1, 3))


def two_that_overlap(front, back, noise):
    """Two discs on a light ground, the front one over the other, and the masks of what is seen of each;
    colours are (degrees, saturation, value)."""
    masks = disc(60, 80, 36), disc(104, 84, 34)
    picture = torch.tensor([0.85, 0.85, 0.8]).expand(160, 160, 3)
    for (degrees, *other), mask in zip((back, front), reversed(masks), strict=True):
        picture = torch.lerp(picture, torch.tensor(hsv_to_rgb(degrees / 360, *other)), mask[..., None])
    generator = torch.Generator().manual_seed(0)
    picture = picture + noise * torch.randn(picture.shape, generator=generator)
    return picture.clamp(0, 1), (masks[0], masks[1] * (1 - masks[0]))


BESIDE = [(((96 - away) / 1.6, 50.0), ((96 + away) / 1.6, 50.0)) for away in (2, 10)]
"""Clicks on the front disc and on the other one, so many pixels from the edge that they share."""


@pytest.mark.parametrize("noise", [0.0, 0.02])
@pytest.mark.parametrize("back", [(220, 0.8, 0.8), (30, 0.8, 0.8), (15, 0.8, 0.8)])
def test_a_click_beside_the_shared_edge_takes_the_object_that_it_is_on(back, noise):
    picture, truths = two_that_overlap((0, 0.8, 0.8), back, noise)
    for clicks in BESIDE:
        for click, truth in zip(clicks, truths, strict=True):
            assert overlap(segment(picture, [Pick("", (click,))])[0], truth) > 0.98


@pytest.mark.parametrize("noise", [0.0, 0.02])
@pytest.mark.parametrize(
    ("front", "back"), [((0, 0.8, 0.8), (0, 0.8, 0.5)), ((0, 0, 0.3), (0, 0, 0.6))], ids=["one hue", "greys"]
)
def test_two_of_one_hue_that_overlap_are_one_until_both_are_picked(front, back, noise):
    picture, truths = two_that_overlap(front, back, noise)
    for clicks in BESIDE:
        alone = [segment(picture, [Pick("", (click,))])[0] for click in clicks]
        assert all(overlap(mask, sum(truths)) > 0.98 for mask in alone)  # one thing, half in the shade
        both = segment(picture, [Pick("", (click,)) for click in clicks])
        assert all(overlap(mask, truth) > 0.98 for mask, truth in zip(both, truths, strict=True))
        taken_off = segment(picture, [Pick("", clicks[:1], clicks[1:])])
        assert torch.equal(taken_off[0], both[0])


def test_clicks_on_borders_on_an_edge_and_five_hundred_on_one_object():
    drawn = world.render(Scene((CIRCLE, SQUARE), "green"))
    picture = drawn.picture.movedim(0, -1)
    corners = [Pick("", ((x, y),)) for x in (0, 100) for y in (0, 100)]
    for mask in segment(picture, corners[:1]), segment(picture, corners[3:]):
        assert overlap(mask[0], 1 - drawn.matte) > 0.95
    columns = torch.arange(128)[drawn.masks[1][64] > 0.5]
    edge = (float(columns[0]) / 128 * 100, 50.0)  # where the two overlap
    (mask,) = segment(picture, [Pick("", (edge,))])
    assert max(overlap(mask, each) for each in drawn.masks) > 0.95
    inside = (drawn.masks[1] > 0.9).nonzero()[::3][:500]
    many = tuple(((x + 0.5) / 1.28, (y + 0.5) / 1.28) for y, x in inside.tolist())
    assert len(many) == 500 and overlap(segment(picture, [Pick("", many)])[0], drawn.masks[1]) > 0.95


def test_a_box_takes_what_lies_in_it_and_bounds_what_its_points_take():
    drawn = world.render(Scene((CIRCLE, Shape("star", "blue", "small", "right", x=0.8, y=0.5)), "green"))
    picture = drawn.picture.movedim(0, -1)
    assert overlap(segment(picture, [Pick("", box=(5, 20, 62, 80))])[0], drawn.masks[0]) > 0.95
    half = segment(picture, [Pick("", ((20, 50),), box=(0, 0, 34, 100))])[0]
    assert half[:, 44:].sum() == 0 and overlap(half[:, :43], drawn.masks[0][:, :43]) > 0.93


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (3, 2), (900, 1100)])
def test_any_size_gives_a_mask_of_that_size_of_zeros_and_ones(size):
    torch.manual_seed(0)
    noise = torch.rand(*size, 4)
    picks = [Pick("", tuple((x, 50.0) for x in range(101))), Pick("", box=(99, 99, 100, 100))]
    masks = segment(noise if max(size) < 100 else noise * 0 + 0.5, picks)
    assert masks.shape == (2, *size) and set(masks.unique().tolist()) <= {0.0, 1.0}
    assert masks[0].any()
