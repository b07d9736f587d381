"""The lens laws, by property, for every lens."""

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from isi.core.loop.lens import (
    Chain,
    Lens,
    Masked,
    Resize,
    Whole,
    composite,
    lens_from_json,
    resize,
    with_channels_of,
)
from isi.core.pictures.canvas import Canvas
from isi.core.pictures.crop import Box, Crop, take_mask
from isi.core.plans.window import Window
from scipy import ndimage

from .laws import hold

FILLS = ["neutral", "edge", "blur", "telea", "navier-stokes", "patch noise"]


@dataclass
class Case:
    """A lens, a picture for it, the masks that it names, and what its view should measure."""

    lens: Lens
    picture: torch.Tensor
    assets: dict[str, torch.Tensor]
    generator: torch.Generator

    def noise(self, *shape: int) -> torch.Tensor:
        """Values from -1 to 3: HDR pictures are pictures too."""
        return torch.rand(shape, generator=self.generator) * 4 - 1


def soft(draw: Any, generator: torch.Generator, count: int, height: int, width: int) -> torch.Tensor:
    """A mask with zeros, ones and levels between; sometimes all zeros or all ones."""
    kind = draw(st.sampled_from(["mixed", "mixed", "zero", "one"]))
    if kind != "mixed":
        return torch.full((count, height, width), float(kind == "one"))
    return (torch.rand(count, height, width, generator=generator) * 3 - 1).clamp(0, 1)


@st.composite
def cases(draw: Any, scale: bool) -> Case:
    """A lens of any kind; without `scale` none that resizes."""
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31 - 1)))
    batch, height, width = draw(st.integers(1, 3)), draw(st.integers(5, 24)), draw(st.integers(5, 24))
    channels = draw(st.sampled_from([1, 3, 4]))
    assets: dict[str, torch.Tensor] = {}

    def masks(h: int, w: int) -> dict[str, str]:
        names = {}
        for name in ("sample", "composite"):
            names[name] = f"{name}{len(assets)}"
            assets[names[name]] = soft(draw, generator, draw(st.sampled_from([1, batch])), h, w)
        return names

    def crop(h: int, w: int) -> Crop:
        top, left = draw(st.integers(-6, h - 1)), draw(st.integers(-6, w - 1))
        size = (draw(st.integers(1, 30)), draw(st.integers(1, 30)))
        size = (max(size[0], 1 - top), max(size[1], 1 - left))
        view = (draw(st.integers(1, 40)), draw(st.integers(1, 40))) if scale else size
        return Crop(top, left, *size, *view, **masks(*size))

    def canvas() -> Canvas:
        sides = [draw(st.integers(-2, 9)) for _ in range(4)]
        reach = [draw(st.integers(0, 6)), draw(st.integers(0, 6))]
        return Canvas(*sides, draw(st.sampled_from(FILLS)), *reach)

    def window(h: int, w: int) -> Window:
        top, left = draw(st.integers(0, h - 1)), draw(st.integers(0, w - 1))
        box = (top, left, draw(st.integers(1, h - top)), draw(st.integers(1, w - left)))
        known = [draw(st.integers(0, 9)) for _ in range(4 * draw(st.integers(1, 3)))]
        return Window(*box, tuple(known), draw(st.integers(0, 6)), draw(st.integers(0, 6)))

    kinds = ["whole", "masked", "crop", "canvas", "chain", "window"] + ["resize"] * scale
    kind = draw(st.sampled_from(kinds))
    lens: Lens = Whole()
    if kind == "masked":
        lens = Masked(**masks(height, width))
    elif kind == "crop":
        lens = crop(height, width)
    elif kind == "canvas":
        lens = canvas()
    elif kind == "window":
        lens = window(height, width)
    elif kind == "resize":
        lens = Resize(draw(st.integers(1, 40)), draw(st.integers(1, 40)))
    elif kind == "chain":
        outer = draw(st.sampled_from([canvas(), Masked(**masks(height, width))]))
        lens = Chain(outer, crop(*outer.view_size(height, width)))
    case = Case(lens, torch.empty(0), assets, generator)
    case.picture = case.noise(batch, height, width, channels)
    return case


def grown(lens: Lens, picture: torch.Tensor, assets: dict) -> torch.Tensor:
    """The picture at the size that `put` gives it, before anything is sampled."""
    while isinstance(lens, Chain):
        lens = lens.outer
    return lens.get(picture, assets).pixels if isinstance(lens, Canvas | Resize) else picture


@settings(max_examples=70, deadline=None)
@given(case=cases(scale=False))
def test_law_1_what_was_taken_goes_back_bit_for_bit(case):
    view = case.lens.get(case.picture, case.assets)
    back = case.lens.put(case.picture, view.pixels, case.assets)
    base = grown(case.lens, case.picture, case.assets)
    opaque = base.shape[-1] != 4 or not isinstance(case.lens, Canvas | Chain)
    assert torch.equal(back if opaque else back[..., :3], base if opaque else base[..., :3])


@settings(max_examples=70, deadline=None)
@given(case=cases(scale=False))
def test_law_2_inside_the_composite_mask_the_view_is_seen_again(case):
    assets = {name: (mask > 0.5).float() for name, mask in case.assets.items()}
    view = case.lens.get(case.picture, assets).pixels
    sampled = case.noise(*view.shape)
    after = case.lens.put(case.picture, sampled, assets)
    inner = case.lens.inner if isinstance(case.lens, Chain) else case.lens
    free = (allowed(case.lens, case.picture, assets) == 1).float()
    if isinstance(inner, Crop | Window):
        again, free = inner.get(after, assets).pixels, take_mask(free, inner.box)
    else:
        again = after
    where = (free == 1).expand(again.shape[:3])
    assert torch.equal(again[where], sampled[where])


@settings(max_examples=70, deadline=None)
@given(case=cases(scale=True))
def test_law_3_outside_the_composite_mask_every_pixel_is_its_own(case):
    base = grown(case.lens, case.picture, case.assets)
    mask = allowed(case.lens, case.picture, case.assets)
    view = case.lens.get(case.picture, case.assets).pixels
    after = case.lens.put(case.picture, case.noise(*view.shape), case.assets)
    untouched = (mask == 0).expand(after.shape[:3])
    assert torch.equal(after[untouched], base[untouched])


def allowed(lens: Lens, picture: torch.Tensor, assets: dict) -> torch.Tensor:
    """The composite mask on the finished picture, from the lens's definition."""
    height, width = picture.shape[1:3]
    if isinstance(lens, Masked):
        return assets[lens.composite]
    if isinstance(lens, Canvas):
        return lens.mask(height, width, lens.blend)
    if isinstance(lens, Crop):
        room = 64
        wide = torch.zeros(len(assets[lens.composite]), height + 2 * room, width + 2 * room)
        top, left = lens.top + room, lens.left + room
        wide[:, top : top + lens.height, left : left + lens.width] = assets[lens.composite]
        return wide[:, room : room + height, room : room + width]
    if isinstance(lens, Window):
        out = torch.zeros(1, height, width)
        rows, columns = (slice(at, at + n) for at, n in ((lens.top, lens.height), (lens.left, lens.width)))
        distance = torch.from_numpy(ndimage.distance_transform_edt(~lens.new()))
        reach = torch.full_like(distance, lens.overlap)
        picture_box = Box(*lens.known[:4])
        reach[picture_box.slices(lens.box)] = lens.blend
        # A ramp of n pixels is over after n: a straight one will do to say where it is 0 and where 1.
        out[0, rows, columns] = (1 - distance / (reach + 1)).clamp(0, 1).float() if lens.new().any() else 0
        return out
    if isinstance(lens, Chain):
        outer = lens.outer.get(picture, assets).pixels
        inside = allowed(lens.inner, outer, assets)
        own = allowed(lens.outer, picture, assets)
        return inside * own
    return torch.ones(1, *lens.size(height, width))


@settings(max_examples=70, deadline=None)
@given(case=cases(scale=True))
def test_law_4_sizes_are_known_before_and_inputs_are_not_written(case):
    before = case.picture.clone()
    masks = {name: mask.clone() for name, mask in case.assets.items()}
    batch, height, width, channels = case.picture.shape
    view = case.lens.get(case.picture, case.assets)
    assert view.pixels.shape == (batch, *case.lens.view_size(height, width), channels)
    if view.mask is not None:
        assert view.mask.shape[1:] == view.pixels.shape[1:3] and len(view.mask) in (1, batch)
        assert ((view.mask >= 0) & (view.mask <= 1)).all()
    sampled = case.noise(batch, *view.pixels.shape[1:3], 3)
    kept = sampled.clone()
    if not isinstance(case.lens, Whole | Resize):  # these give back what they were given
        after = case.lens.put(case.picture, sampled, case.assets)
        assert after.shape == (batch, *case.lens.size(height, width), channels)
    assert torch.equal(case.picture, before) and torch.equal(sampled, kept)
    assert all(torch.equal(case.assets[name], mask) for name, mask in masks.items())


@settings(max_examples=60, deadline=None)
@given(case=cases(scale=True))
def test_every_lens_survives_json(case):
    assert lens_from_json(case.lens.to_json()) == case.lens


@settings(max_examples=40, deadline=None)
@given(case=cases(scale=False))
def test_the_laws_that_a_strangers_lens_is_held_to_hold_for_ours(case):
    opaque = case.picture[..., :3]  # a canvas makes what is new opaque, whatever the view says
    hold(case.lens, opaque if isinstance(case.lens, Canvas | Chain) else case.picture, case.assets)


@pytest.mark.parametrize("size", [(7, 5), (16, 16), (40, 33)])
def test_a_constant_picture_stays_exactly_that_at_any_size(size):
    picture = torch.tensor([0.1, 1 / 3, 7.7]).expand(2, 16, 12, 3)
    assert torch.equal(resize(picture, *size), picture[:, :1, :1].expand(2, *size, 3))


def test_composite_takes_nothing_from_an_unmasked_nan():
    below, above = torch.zeros(1, 300, 2, 3), torch.full((1, 300, 2, 3), float("nan"))
    mask = torch.zeros(1, 300, 2)
    assert torch.equal(composite(below, above, mask), below)
    mask[0, 299, 1] = 1
    out = composite(below, above, mask)
    assert out.isnan().sum() == 3 and torch.equal(out[:, :299], below[:, :299])


@pytest.mark.parametrize(("given_", "wanted"), [(3, 1), (3, 4), (4, 3), (1, 3), (1, 4), (4, 1)])
def test_channels_follow_the_picture(given_, wanted):
    pixels, picture = torch.rand(1, 4, 5, given_), torch.rand(1, 4, 5, wanted)
    out = with_channels_of(pixels, picture)
    assert out.shape == picture.shape
    if wanted == 4:
        assert torch.equal(out[..., 3], picture[..., 3])


def test_a_mask_of_another_size_is_said_before_a_picture_is_looked_at():
    lens, assets = Masked("m", "m"), {"m": torch.zeros(1, 8, 9)}
    lens.check_size(8, 9, assets)
    Chain(Resize(8, 9), lens).check_size(64, 64, assets)
    for wrong in (lens, Chain(Whole(), lens), Chain(Resize(9, 8), lens)):
        with pytest.raises(ValueError, match="A mask of this plan is 9x8, but the picture is .*: connect"):
            wrong.check_size(64, 64, assets)
