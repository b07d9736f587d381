"""Rims: composites whose foreground is known, on a new background."""

import torch
from isi.core.loop.lens import composite
from isi.core.pictures.crop import Box, take_mask
from isi.core.pictures.masks import feather
from isi.core.pictures.matte import Backdrop, foreground

from ..loop.laws import hold

COUNT, SIDE = 30, 128


def texture(seed: int) -> torch.Tensor:
    """`[1, SIDE, SIDE, 3]`: a colour of its own, waves and a little grain."""
    generator = torch.Generator().manual_seed(seed)
    y, x = torch.arange(SIDE)[:, None, None] / SIDE, torch.arange(SIDE)[None, :, None] / SIDE
    rate, phase = torch.rand(2, 3, generator=generator) * 9, torch.rand(2, 3, generator=generator) * 6
    waves = torch.sin(rate[0] * y + phase[0]) + torch.sin(rate[1] * x + phase[1])
    grain = torch.randn(SIDE, SIDE, 3, generator=generator)
    colour = torch.rand(3, generator=generator)
    return (colour * 0.7 + 0.15 + 0.05 * waves + 0.005 * grain).clamp(0, 1)[None]


def matte(seed: int) -> torch.Tensor:
    """`[1, SIDE, SIDE]`: some discs with a soft edge of 2 to 12 pixels."""
    generator = torch.Generator().manual_seed(seed)
    rows, columns = torch.arange(SIDE)[:, None], torch.arange(SIDE)[None]
    out = torch.zeros(SIDE, SIDE)
    for _ in range(3):
        y, x = (torch.rand(2, generator=generator) * 60 + 34).tolist()
        radius = float(torch.rand(1, generator=generator)) * 20 + 14
        out = torch.maximum(out, ((rows - y) ** 2 + (columns - x) ** 2 <= radius**2).float())
    return feather(out[None], 1 + seed % 6, "gaussian" if seed % 2 else "cosine")


def backdrop(alpha: torch.Tensor) -> tuple[Backdrop, dict]:
    return Backdrop(0, 0, SIDE, SIDE, SIDE, SIDE, "back", "back"), {"back": 1 - alpha}


def test_the_rim_of_an_object_on_a_new_background_has_a_quarter_of_the_error():
    before, after = [], []
    for seed in range(COUNT):
        own, old, new, alpha = texture(seed), texture(seed + 100), texture(seed + 200), matte(seed)
        picture, truth = composite(old, own, alpha), composite(new, own, alpha)
        lens, assets = backdrop(alpha)
        made = lens.put(picture, new, assets)
        rim = ((alpha > 0) & (alpha < 1))[0]
        before.append((composite(picture, new, 1 - alpha) - truth)[0, rim].abs().mean())
        after.append((made - truth)[0, rim].abs().mean())
        assert torch.equal(made[0, alpha[0] == 1], picture[0, alpha[0] == 1])
        assert torch.equal(made[0, alpha[0] == 0], new[0, alpha[0] == 0])
    assert sum(after) <= sum(before) / 4


def test_a_hard_matte_and_the_same_background_change_nothing():
    own, old, alpha = texture(1), texture(2), matte(4)
    lens, assets = backdrop((alpha > 0.5).float())
    picture = composite(old, own, (alpha > 0.5).float())
    assert torch.equal(lens.put(picture, old, assets), picture)
    flat = torch.tensor([0.2, -1.0, 7.0]).expand(1, SIDE, SIDE, 3)
    torch.testing.assert_close(foreground(flat, alpha), flat.clone())


def test_alpha_and_what_lies_beyond_the_box_stay():
    picture = torch.cat([texture(3), torch.full((1, SIDE, SIDE, 1), 0.5)], -1)
    alpha, box = matte(5), Box(-8, 20, 90, 90)
    assets = {"back": take_mask(1 - alpha, box)}
    lens = Backdrop(box.top, box.left, 90, 90, 90, 90, "back", "back")
    made = lens.put(picture, torch.zeros(1, 90, 90, 3), assets)
    assert torch.equal(made[..., 3], picture[..., 3])
    assert torch.equal(made[:, 82:], picture[:, 82:]) and torch.equal(made[:, :, :20], picture[:, :, :20])


def test_a_backdrop_keeps_the_laws_where_its_matte_is_hard():
    """A soft rim is changed on purpose: the old background's share goes."""
    lens, assets = backdrop((matte(6) > 0.5).float())
    hold(lens, texture(7), assets)
