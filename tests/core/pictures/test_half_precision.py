"""Every function of pictures in float16 and bfloat16: float32's result, rounded once, without a NaN."""

import importlib
import inspect
import pkgutil
import sys
from collections.abc import Callable, Iterator
from types import CodeType

import pytest
import torch
from isi.core import edits, fills, pictures
from isi.core.edits.edit_lock import EditLock
from isi.core.fills.fill import MODES, fill
from isi.core.loop.drift import match_statistics
from isi.core.loop.lens import Chain, Masked, Resize, composite, resize
from isi.core.pictures import differential, masks
from isi.core.pictures.canvas import Canvas
from isi.core.pictures.colour import MATCHINGS, equalize, match_colours
from isi.core.pictures.contact_sheet import contact_sheet
from isi.core.pictures.crop import Box, Crop, ViewSize, blended, match_colour, objects, take, take_mask
from isi.core.pictures.detail import transfer_detail
from isi.core.pictures.flat import detail_map
from isi.core.pictures.matte import Backdrop
from isi.core.pictures.resize import lanczos, mask_beside, nearest
from isi.core.pictures.srcnn import SRCNN, sharpen_luma
from isi.core.pictures.stitch import Around, crop_for_inpaint
from isi.core.plans.window import Window
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
    "window": through(Window(0, 8, 48, 48, (0, 0, 48, 36), 9, 4, match=1.0)),
    "backdrop": through(Backdrop(4, 4, 40, 40, 40, 40, "w", "w", 1.0)),
    "pixel art": through(Crop(4, 4, 40, 40, 20, 20, "w", "w", resampling="nearest")),
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
    "release": lambda p, s, m: differential.release_picture(
        differential.release_step(m, torch.tensor([0.2, 0.6])), 2, ""
    ).to(m),
    "sheet": lambda p, s, m: contact_sheet([p[0], s[0]], ["", ""], 2, 32).to(p),
    "nearest": lambda p, s, m: nearest(p, 31, 90),
    "mask beside": lambda p, s, m: mask_beside(m, 29, 90),
    "frames": lambda p, s, m: masks.split_frames(torch.cat([m, m]), 4),
    "boxed": lambda p, s, m: masks.boxed(m, each=True),
    "boxes": lambda p, s, m: torch.tensor([[box.top, box.left] for box in objects(m)]).to(m),
    "inward": lambda p, s, m: masks.inward(m, 5),
    "levels": lambda p, s, m: masks.levels(m, 0.2, 0.7),
    # The edit is rounded by nobody but the lock.
    "edit lock": lambda p, s, m: EditLock().hold(p, torch.where(m.unsqueeze(-1) > 0, s, p)),
    **{
        f"detail {mode}": lambda p, s, m, mode=mode: transfer_detail(p, s, mode, 2.0, 0.8, m)
        for mode in ("add", "multiply", "soft light")
    },
    **{f"colours {mode}": lambda p, s, m, mode=mode: match_colours(p, s, mode, 0.7, m) for mode in MATCHINGS},
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


def functions() -> Iterator[tuple[str, CodeType]]:
    """Every public function of pictures, fills and edits that is given tensors and gives some."""
    for room in (pictures, fills, edits):
        for module in pkgutil.iter_modules(room.__path__):
            name = f"{room.__name__}.{module.name}"
            for called, function in vars(importlib.import_module(name)).items():
                function = inspect.unwrap(function) if callable(function) else None
                if not inspect.isfunction(function) or function.__module__ != name or called[0] == "_":
                    continue
                # How far a step has come is no picture.
                if called.startswith("tau_"):
                    continue
                if "Tensor" in str(function.__annotations__.get("return")):
                    yield f"{name}.{called}", function.__code__


def test_there_is_a_call_for_every_function():
    """What is not reached from the calls above is not held to anything."""
    reached: set[CodeType] = set()
    picture, mask = torch.rand(1, HEIGHT, WIDTH, 3), torch.zeros(1, HEIGHT, WIDTH)
    mask[0, 12:30, 14:33] = 0.9
    before = sys.getprofile()
    sys.setprofile(lambda frame, event, value: reached.add(frame.f_code))
    try:
        for call in CALLS.values():
            call(picture, picture.flip(1), mask)
    finally:
        sys.setprofile(before)
    assert not [name for name, code in functions() if code not in reached]
