"""Every function of pictures in float16 and bfloat16: float32's result, rounded once, without a NaN."""

from collections.abc import Callable

import pytest
import torch
from isi.core.fills.fill import MODES, fill
from isi.core.loop.drift import match_statistics
from isi.core.loop.lens import Chain, Masked, Resize, composite, resize
from isi.core.pictures import differential, masks
from isi.core.pictures.canvas import Canvas
from isi.core.pictures.colour import equalize
from isi.core.pictures.crop import Box, Crop, ViewSize, blended, match_colour, take, take_mask
from isi.core.pictures.flat import detail_map
from isi.core.pictures.resize import lanczos
from isi.core.pictures.srcnn import SRCNN, sharpen_luma
from isi.core.pictures.stitch import Around, crop_for_inpaint
from torch import Tensor

HEIGHT, WIDTH = 48, 56
Call = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Of a picture, a sampled one, a mask."""


def through(lens) -> Call:
    """What a lens shows, and what it makes of a sampled view."""

    def call(picture: Tensor, sampled: Tensor, mask: Tensor) -> Tensor:
        assets = {"m": mask.float(), "w": take_mask(mask, Box(4, 4, 40, 40))}
        view = lens.get(picture, assets).pixels
        made = lens.put(picture, take(sampled, Box(0, 0, *view.shape[1:3])), assets)
        assert view.dtype == made.dtype == picture.dtype
        return torch.cat([view.flatten(1), made.flatten(1)], 1)

    return call


def cropped(picture: Tensor, sampled: Tensor, mask: Tensor) -> Tensor:
    stitch = crop_for_inpaint(picture, mask, mask, None, Around(8), ViewSize((32, 32)))
    return stitch.stitched(take(sampled, Box(0, 0, 32, 32)), 1.0)


CALLS: dict[str, Call] = {
    **{f"fill {mode}": lambda p, s, m, mode=mode: fill(p, m, mode, 3) for mode in MODES},
    "composite": lambda p, s, m: composite(p, s, m),
    "resize": lambda p, s, m: resize(p, 31, 90),
    "lanczos": lambda p, s, m: lanczos(p, 31, 90),
    "drift": lambda p, s, m: match_statistics(p, s, 0.7, m),
    "equalize": lambda p, s, m: equalize(p, "per channel", 0.7),
    "equalize luma": lambda p, s, m: equalize(p, "luma", 0.7),
    "match": lambda p, s, m: match_colour(p, s, m == 0, 0.8),
    "take": lambda p, s, m: take(p, Box(-3, 9, 30, 60)),
    "detail": lambda p, s, m: detail_map(p),
    "canvas": through(Canvas(5, 0, 7, -3, fill="edge", overlap=4, blend=3)),
    "canvas blur": through(Canvas(5, 0, 7, 3, fill="blur", overlap=4, blend=3)),
    "crop": through(Crop(4, 4, 40, 40, 24, 24, "w", "w", 1.0)),
    "chain": through(Chain(Canvas(4, 0, 4, 0, "telea"), Crop(4, 4, 40, 40, 40, 40, "w", "w", 1.0))),
    "masked": through(Masked("m", "m")),
    "resized": through(Resize(30, 40)),
    "stitch": cropped,
    "grow": lambda p, s, m: masks.grow(m, 3),
    "feather": lambda p, s, m: masks.feather(m, 9, "gaussian"),
    "blended": lambda p, s, m: blended(m, 7),
    "threshold": lambda p, s, m: masks.threshold(m, 0.3),
    "holes": lambda p, s, m: masks.fill_holes(m),
    "objects": lambda p, s, m: masks.split_objects(m, 4),
    "blocks": lambda p, s, m: masks.latent_blocks(m, 8, "area"),
    "resize mask": lambda p, s, m: masks.resize_mask(m, 29, 90),
    "as mask": lambda p, s, m: masks.as_mask(m, HEIGHT, WIDTH).to(m),
    "graded": lambda p, s, m: differential.graded(m, 0.3),
    "open": lambda p, s, m: differential.open_mask(m, torch.tensor(0.4), 0.7),
    "srcnn": lambda p, s, m: sharpen_luma(p.movedim(-1, 1), SRCNN(1).requires_grad_(False)),
}


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", CALLS)
def test_half_precision_is_float32_rounded(name, dtype):
    generator = torch.Generator().manual_seed(1)
    picture, sampled = (torch.rand(1, HEIGHT, WIDTH, 3, generator=generator).to(dtype) for _ in range(2))
    mask = torch.zeros(1, HEIGHT, WIDTH)
    mask[0, 12:30, 14:33] = 1
    mask[0, 16:20, 18:22] = 0
    mask = masks.feather(mask, 3).to(dtype)
    with torch.random.fork_rng():
        torch.manual_seed(2)
        made = CALLS[name](picture, sampled, mask)
        torch.manual_seed(2)
        expected = CALLS[name](picture.float(), sampled.float(), mask.float())
    assert made.dtype == dtype and expected.dtype == torch.float32 and made.isfinite().all()
    assert torch.equal(made, expected.to(dtype))
