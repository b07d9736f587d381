"""Lenses: how a step looks at a picture and puts its result back.

A lens takes a working view out of a picture (`get`) and puts a changed view back (`put`).
Pictures are `[B, H, W, C]` float tensors, masks `[B or 1, H, W]` in 0..1 where 1 is "may change".

Laws, held by tests for each lens:

1. `put(p, get(p).pixels)` is `p` bit for bit where the lens does not scale; it is `get(p).pixels` for a
   lens whose view becomes the picture (Resize, Canvas);
2. `get(put(p, v)).pixels` is `v` inside the composite mask;
3. every pixel outside the composite mask is `p`'s own, bit for bit;
4. any size, number of channels, batch and float range.

A sampler works on three channels. Where `put` composites, such a view goes into a picture of one channel
or with alpha too (`with_channels_of`).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Any, ClassVar, ParamSpec, TypeVar, cast, get_type_hints

import torch
from torch import Tensor
from torch.nn import functional

from . import door

ROWS = 256
"""Lines that are composited at once: bounds the working memory, and skips what a mask does not touch."""

Assets = Mapping[str, Tensor]
"""Pictures and masks that lenses name by content hash."""


# Half precision: hosts that keep pictures and masks in it (`--fp16-intermediates`) save memory; maths must
# not pay for it. Sums, filters and transforms in float16 or bfloat16 overflow, round or are missing on a CPU.
HALF = (torch.float16, torch.bfloat16)

P = ParamSpec("P")
R = TypeVar("R")


def widened(value: Any) -> Any:
    """A float16 or bfloat16 tensor as float32 (exact); anything else as it is."""
    return value.float() if isinstance(value, Tensor) and value.dtype in HALF else value


def in_float32(function: Callable[P, R]) -> Callable[P, R]:
    """`function` with half-precision tensors widened, and what it gives rounded to the first one's dtype.

    So a result in half precision is float32's, rounded once. Other arguments, dtypes and results pass as they
    are, and without any half-precision tensor nothing happens at all.
    """

    @functools.wraps(function)
    def wide(*args: P.args, **kwargs: P.kwargs) -> R:
        first = next((value for value in (*args, *kwargs.values()) if isinstance(value, Tensor)), None)
        values = [widened(value) for value in args]
        made = function(*values, **{name: widened(value) for name, value in kwargs.items()})  # type: ignore[arg-type]
        if first is None or first.dtype not in HALF or not isinstance(made, Tensor):
            return made
        return cast(R, made.to(first.dtype) if made.is_floating_point() else made)

    return wide


@dataclass(frozen=True)
class View:
    """What a step works on: `pixels` `[B, h, w, C]`, and where they may change (`None`: everywhere).

    `source` is the picture before it was resized to `pixels`, for whoever resizes it in a better way. `new`
    is where there is nothing in the pixels yet (`None`: all that the mask covers).
    """

    pixels: Tensor
    mask: Tensor | None = None
    source: Tensor | None = None
    new: Tensor | None = None


_KINDS: dict[str, type[Lens]] = {}
DEEPEST = 8
"""Lenses in lenses that are believed."""


@dataclass(frozen=True)
class Lens:
    """A small frozen value. Subclasses name themselves in `kind` and hold only JSON values and lenses.

    `limits` holds the range or the options of fields where those are narrower than their type; `masks` names
    the fields that name masks.
    """

    kind: ClassVar[str] = ""
    limits: ClassVar[door.Limits] = {}
    masks: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        _KINDS[cls.kind] = cls

    @property
    def whole(self) -> bool:
        """Whether the view shows the whole picture and nothing else, at any size: its colours are the
        picture's, which is what the drift lock needs."""
        return self.in_place

    @property
    def in_place(self) -> bool:
        """Whether the view is the picture itself, pixel for pixel, so that a latent of the one is a latent
        of the other."""
        return False

    def view_size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of the view of a picture of this size: known before anything is sampled."""
        raise NotImplementedError

    def count(self, pictures: int) -> int:
        """How many pictures the view of so many has."""
        return pictures

    def size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of the picture after `put`."""
        return height, width

    def get(self, picture: Tensor, assets: Assets) -> View:
        """The working view of `picture`."""
        raise NotImplementedError

    def put(self, picture: Tensor, pixels: Tensor, assets: Assets) -> Tensor:
        """`picture` with the changed view `pixels` put back. Never writes into its arguments."""
        raise NotImplementedError

    def check_assets(self, assets: Assets) -> None:
        """Raises ValueError unless every mask that this lens names is there, and is one."""
        for name in (getattr(self, field) for field in self.masks):
            mask = assets.get(name)
            if mask is None or mask.ndim != 3 or not mask.is_floating_point() or not mask.isfinite().all():
                raise ValueError("A mask of this plan is missing or damaged: make the plan anew.")

    def check_size(self, height: int, width: int, assets: Assets) -> None:
        """Raises ValueError unless this lens can look at a picture of that size."""

    def to_json(self) -> dict[str, Any]:
        """A JSON value from which `lens_from_json` makes an equal lens."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return {"kind": self.kind} | {k: v.to_json() if isinstance(v, Lens) else v for k, v in values.items()}


def lens_from_json(value: Any, depth: int = 0) -> Lens:
    """The lens that `Lens.to_json` wrote. Raises ValueError for what no lens of this version can be."""
    kind = value.get("kind") if isinstance(value, Mapping) else None
    if not isinstance(kind, str) or kind not in _KINDS or depth > DEEPEST:
        raise ValueError(
            f"This plan has a step with a lens of kind {str(kind)[:40]!r}, which this version of ISI lacks: "
            "update ISI."
        )
    form = _KINDS[kind]
    known = {field.name: field for field in fields(form)}
    needed = [name for name, field in known.items() if field.default is MISSING]
    value = door.record(value, f"the lens {kind!r}", ["kind", *known], needed)
    hints, given = get_type_hints(form), {}
    for name in known.keys() & value.keys():
        hint = hints[name]
        limits = form.limits.get(name, door.SIDES if hint in (int, float) else None)
        if isinstance(hint, type) and issubclass(hint, Lens):
            given[name] = lens_from_json(value[name], depth + 1)
        else:
            given[name] = door.typed(value[name], hint, f"{kind}.{name}", limits)
    return form(**given)


@dataclass(frozen=True)
class Whole(Lens):
    """The picture itself."""

    kind: ClassVar[str] = "whole"

    @property
    def in_place(self) -> bool:
        return True

    def view_size(self, height: int, width: int) -> tuple[int, int]:
        return height, width

    def get(self, picture: Tensor, assets: Assets) -> View:
        return View(picture)

    def put(self, picture: Tensor, pixels: Tensor, assets: Assets) -> Tensor:
        return pixels


@dataclass(frozen=True)
class Masked(Lens):
    """The whole picture, of which only the part under a mask may change.

    `sample` names the mask that the sampler gets, `composite` the one that pixels come back through.
    """

    sample: str
    composite: str
    kind: ClassVar[str] = "masked"
    masks: ClassVar[tuple[str, ...]] = ("sample", "composite")

    @property
    def in_place(self) -> bool:
        return True

    def view_size(self, height: int, width: int) -> tuple[int, int]:
        return height, width

    def check_size(self, height: int, width: int, assets: Assets) -> None:
        for mask in (assets[self.sample], assets[self.composite]):
            if mask.shape[1:] != (height, width):
                raise ValueError(
                    f"A mask of this plan is {mask.shape[2]}x{mask.shape[1]}, but the picture is then "
                    f"{width}x{height}: connect a picture of the mask's size, or make the plan anew."
                )

    def get(self, picture: Tensor, assets: Assets) -> View:
        return View(picture, assets[self.sample])

    def put(self, picture: Tensor, pixels: Tensor, assets: Assets) -> Tensor:
        return composite(picture, with_channels_of(widened(pixels), picture), assets[self.composite])


@dataclass(frozen=True)
class Resize(Lens):
    """The picture at another size; the result keeps that size (progressive upscaling)."""

    height: int
    width: int
    kind: ClassVar[str] = "resize"
    limits: ClassVar[door.Limits] = {"height": (1, door.LONGEST_SIDE), "width": (1, door.LONGEST_SIDE)}

    @property
    def whole(self) -> bool:
        return True

    def view_size(self, height: int, width: int) -> tuple[int, int]:
        return self.height, self.width

    def size(self, height: int, width: int) -> tuple[int, int]:
        return self.height, self.width

    def get(self, picture: Tensor, assets: Assets) -> View:
        return View(resize(picture, self.height, self.width), source=picture)

    def put(self, picture: Tensor, pixels: Tensor, assets: Assets) -> Tensor:
        return pixels


@dataclass(frozen=True)
class Chain(Lens):
    """`inner` looks at what `outer` shows. The inner sample mask, if there is one, is the view's."""

    outer: Lens
    inner: Lens
    kind: ClassVar[str] = "chain"

    @property
    def whole(self) -> bool:
        return self.outer.whole and self.inner.whole

    @property
    def in_place(self) -> bool:
        return self.outer.in_place and self.inner.in_place

    def check_assets(self, assets: Assets) -> None:
        self.outer.check_assets(assets)
        self.inner.check_assets(assets)

    def check_size(self, height: int, width: int, assets: Assets) -> None:
        self.outer.check_size(height, width, assets)
        self.inner.check_size(*self.outer.view_size(height, width), assets)

    def view_size(self, height: int, width: int) -> tuple[int, int]:
        return self.inner.view_size(*self.outer.view_size(height, width))

    def size(self, height: int, width: int) -> tuple[int, int]:
        return self.outer.size(height, width)

    def get(self, picture: Tensor, assets: Assets) -> View:
        outer = self.outer.get(widened(picture), assets)
        inner = self.inner.get(outer.pixels, assets)
        inner = View(inner.pixels.to(picture.dtype), inner.mask)
        if inner.mask is not None or outer.mask is None:
            return inner
        # A mask travels through the inner lens as a one-channel picture.
        mask = self.inner.get(outer.mask.unsqueeze(-1), assets).pixels.squeeze(-1)
        return View(inner.pixels, mask.clamp(0, 1))

    def put(self, picture: Tensor, pixels: Tensor, assets: Assets) -> Tensor:
        wide = widened(picture)
        outer = self.outer.get(wide, assets).pixels
        return self.outer.put(wide, self.inner.put(outer, pixels, assets), assets).to(picture.dtype)


def composite(below: Tensor, above: Tensor, mask: Tensor) -> Tensor:
    """`above` where `mask` is 1, `below` bit for bit where it is 0, a linear mix between.

    `below`, `above` `[B, H, W, C]`, `mask` `[B or 1, H, W]` in 0..1.
    """
    out = below.clone()
    composite_into(out, above, mask)
    return out


def composite_into(below: Tensor, above: Tensor, mask: Tensor) -> None:
    """`composite`, written into `below`."""
    for first in range(0, below.shape[1], ROWS):
        rows = slice(first, first + ROWS)
        part = widened(below[:, rows])
        weight = mask[:, rows, :, None].to(part)
        if weight.any():
            # torch.lerp(a, b, 1) is b, but an unmasked inf or nan in `above` must not reach `below`.
            mixed = torch.lerp(part, above[:, rows].to(part), weight)
            below[:, rows] = torch.where(weight > 0, mixed, part).to(below)


@in_float32
def with_channels_of(pixels: Tensor, picture: Tensor) -> Tensor:
    """`pixels` with as many channels as `picture`, which has the same size: grey, or with its own alpha."""
    if pixels.shape[-1] == picture.shape[-1]:
        return pixels
    count = 1 if picture.shape[-1] < 3 else 3
    colour = pixels[..., : 3 if pixels.shape[-1] >= 3 else 1]
    if colour.shape[-1] != count:
        colour = colour.mean(-1, keepdim=True).expand(*colour.shape[:-1], count)
    alpha = picture[..., count:].to(colour)
    return torch.cat([colour, alpha], -1) if alpha.shape[-1] else colour


@in_float32
def resize(picture: Tensor, height: int, width: int) -> Tensor:
    """`picture` `[B, H, W, C]` at another size: bicubic, antialiased when it shrinks. Same size: a no-op.

    Resized as the difference from its first pixel, so that a constant picture stays exactly that.
    """
    if picture.shape[1:3] == (height, width):
        return picture
    first = picture[:, :1, :1]
    moved = (picture - first).movedim(-1, 1)
    resized = functional.interpolate(moved, (height, width), mode="bicubic", antialias=True)
    return resized.movedim(1, -1).add_(first)


def planar(picture: Tensor) -> Tensor:
    """`[B, H, W, C]` laid out in memory as a VAE's decoder leaves it, a plane a channel.

    Convolutions round differently in another memory format, and a picture from the store must give the
    same next one as a picture that never left memory.
    """
    return picture.movedim(-1, 1).contiguous().movedim(1, -1)
