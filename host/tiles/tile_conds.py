"""Cuts everything that conditions a picture down to a part of it: what a tile's model call is given.

`cut_cond` is the one place that knows which entries of a condition lie on the canvas: regional areas and
masks, ControlNet hints, GLIGEN boxes, and any model condition with the canvas's own height and width
(concat channels, inpaint masks, reference latents).
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any, Protocol

import comfy.utils
import torch
from torch import Tensor

from ...core.tiles.tiles import Axis, Tile, TileLayout

FUZZ = 8
"""Cells over which the host fades an area without a mask (comfy/samplers.py, get_area_and_mult)."""

LEAST = 8
"""An area is shown to the model at least this many cells large, where the tile has room."""


class Cut(Protocol):
    """A part of the canvas, or several of one shape that go through the model as a batch."""

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the canvas in cells."""
        ...

    @property
    def part(self) -> tuple[int, int]:
        """Height and width of each part in cells."""
        ...

    @property
    def count(self) -> int:
        """How many parts."""
        ...

    def tensor(self, full: Tensor, scale: int = 1) -> Tensor:
        """`[b, ..., H * scale, W * scale]` cut to `[b or count * B, ..., h * scale, w * scale]`."""
        ...

    def hint(self, full: Tensor, scale: int, algorithm: str, kept: dict) -> Tensor:
        """A ControlNet hint `[b, C, ?, ?]`, as the parts of the canvas at `scale` pixels a cell."""
        ...

    def box(self, height: int, width: int, y: int, x: int) -> tuple[int, int, int, int] | None:
        """A rectangle of the canvas in cells of the part, or None where they don't meet."""
        ...


@dataclass(frozen=True)
class TileCut:
    """Tiles of a layout, as a batch. `batch` is the canvas's own batch size."""

    layout: TileLayout
    tiles: tuple[Tile, ...]
    batch: int

    @property
    def size(self) -> tuple[int, int]:
        return self.layout.size

    @property
    def part(self) -> tuple[int, int]:
        return self.layout.tile_size

    @property
    def count(self) -> int:
        return len(self.tiles)

    def tensor(self, full: Tensor, scale: int = 1) -> Tensor:
        layout = self.layout.scaled(scale)
        if len(self.tiles) > 1:
            # The host repeats a small batch over the whole one, which would mix tiles up.
            full = comfy.utils.repeat_to_batch_size(full, self.batch)
        scaled = tuple(layout)
        columns = len(layout.columns)
        return torch.cat([layout.cut(full, scaled[t.row * columns + t.column]) for t in self.tiles])

    def hint(self, full: Tensor, scale: int, algorithm: str, kept: dict) -> Tensor:
        height, width = (side * scale for side in self.size)
        if full.shape[-2:] != (height, width):
            key = (id(full), height, width)
            if key not in kept:
                kept[key] = comfy.utils.common_upscale(full, width, height, algorithm, "center")
            full = kept[key]
        return self.tensor(full, scale)

    def box(self, height: int, width: int, y: int, x: int) -> tuple[int, int, int, int] | None:
        rows = _span(self.layout.rows, self.tiles[0].row, y, height)
        columns = _span(self.layout.columns, self.tiles[0].column, x, width)
        return (rows[1], columns[1], rows[0], columns[0]) if rows and columns else None


def _span(axis: Axis, index: int, start: int, length: int) -> tuple[int, int] | None:
    """(first cell, cells) in tile `index` that hold cells `start .. start + length` of the axis."""
    firsts, lasts = [], []
    for at, done, size in axis.pieces(index):
        low, high = max(at, start), min(at + size, start + length)
        if low < high:
            firsts.append(low - at + done)
            lasts.append(high - at + done)
    return (min(firsts), max(lasts) - min(firsts)) if firsts else None


def touches(cond: dict, cut: Cut, shape: torch.Size) -> tuple | None:
    """The area (possibly empty) that a condition has in a part, or None where it does not reach it.

    Parts for which every condition answers the same can share a model call.
    """
    area = None
    if "area" in cond:
        box = cut.box(*_canvas_area(cond["area"], shape)[1])
        if box is None:
            return None
        area = _grown(box, cut.part)
    if "mask" in cond and not bool(cut.tensor(cond["mask"]).any()):
        return None
    return area if area and area[:2] != cut.part else ()


def cut_cond(cond: dict, cut: Cut, shape: torch.Size, ratio: int, kept: dict) -> dict | None:
    """`cond` for a part of a canvas of `shape` `[B, C, (T,) H, W]`, or None where it does not reach it.

    `ratio` is pixels a latent cell; `kept` holds what one sampling run need not make twice (hints).
    """
    area = touches(cond, cut, shape)
    if area is None:
        return None
    part = cond | {"model_conds": _cut_model_conds(cond["model_conds"], cut, ratio)}
    if "mask" in cond:
        part["mask"] = cut.tensor(cond["mask"])
    elif "area" in cond:
        # The host fades an area's inner borders; a tile must not add or lose such a border.
        part["mask"] = cut.tensor(_faded(cond["area"], shape).to(cond_device(cond)))
        part.pop("mask_strength", None)
    if area:
        times = _canvas_area(cond["area"], shape)[0]
        half = len(times) // 2
        part["area"] = (*times[:half], *area[:2], *times[half:], *area[2:])
    else:
        part.pop("area", None)
    if "control" in cond:
        part["control"] = cut_control(cond["control"], cut, kept)
    if "gligen" in cond and cond["gligen"][0] == "position":
        kind, model, boxes = cond["gligen"]
        moved = [(b[0], *box) for b in boxes if (box := cut.box(*b[1:5]))]
        part["gligen"] = (kind, model, moved)
    return part


def cond_device(cond: dict) -> torch.device | None:
    """Where a condition's tensors are."""
    values = (getattr(value, "cond", None) for value in cond["model_conds"].values())
    return next((value.device for value in values if isinstance(value, Tensor)), None)


def _cut_model_conds(model_conds: dict, cut: Cut, ratio: int) -> dict:
    """The model conditions with those that lie on the canvas cut: at its own size, or at pixel size."""

    def cut_one(value: Any) -> Any:
        if not isinstance(value, Tensor) or value.ndim < 4:
            return value
        for scale in {1, ratio}:
            if value.shape[-2:] == (cut.size[0] * scale, cut.size[1] * scale):
                return cut.tensor(value, scale)
        return value

    parts = {}
    for name, value in model_conds.items():
        cond = getattr(value, "cond", None)
        if isinstance(cond, list):
            parts[name] = value._copy_with([cut_one(item) for item in cond])
        else:
            done = cut_one(cond)
            parts[name] = value if done is cond else value._copy_with(done)
    return parts


def cut_control(control: Any, cut: Cut, kept: dict) -> Any:
    """A ControlNet (and those chained before it) that sees its hint cut to the part.

    A shallow copy, so that models and the running state of the sampling are shared; the original keeps its
    own hint. Copies whose hint takes a VAE pass are kept for the next step.
    """
    key = (id(control), cut)
    if key in kept:
        return kept[key]
    part = copy.copy(control)
    part.cond_hint = None
    part.extra_concat = None
    if hasattr(part, "control_input"):
        part.control_input = None
    scale = control.compression_ratio
    if control.vae is not None:
        scale *= control.vae.spacial_compression_encode()
    part.cond_hint_original = cut.hint(control.cond_hint_original, scale, control.upscale_algorithm, kept)
    part.extra_concat_orig = [
        extra if extra.shape[-2:] == (1, 1) else cut.hint(extra, scale, control.upscale_algorithm, kept)
        for extra in control.extra_concat_orig
    ]
    if control.previous_controlnet is not None:
        part.previous_controlnet = cut_control(control.previous_controlnet, cut, kept)
    clones = getattr(control, "multigpu_clones", {})
    part.multigpu_clones = {device: cut_control(clone, cut, kept) for device, clone in clones.items()}
    if control.vae is not None:
        kept[key] = part
    return part


def _canvas_area(area: Any, shape: torch.Size) -> tuple[list[int], tuple[int, int, int, int]]:
    """An area as (its sizes and starts along time, if it has them; (height, width, y, x) on the canvas)."""
    dims = len(area) // 2
    sizes, starts = list(area[:dims]), list(area[dims:])
    y, x = starts[-2:]
    height, width = min(sizes[-2], shape[-2] - y), min(sizes[-1], shape[-1] - x)
    return [*sizes[:-2], *starts[:-2]], (height, width, y, x)


def _grown(box: tuple[int, int, int, int], part: tuple[int, int]) -> tuple[int, int, int, int]:
    """The box at least LEAST cells large inside the part: no model call on a sliver."""
    height, width = (max(side, min(LEAST, limit)) for side, limit in zip(box[:2], part, strict=True))
    return height, width, min(box[2], part[0] - height), min(box[3], part[1] - width)


def _faded(area: Any, shape: torch.Size) -> Tensor:
    """The host's weights of an area without a mask, as a mask `[1, (T,) H, W]` of the whole canvas."""
    dims = len(shape) - 2
    sizes, starts = list(area[: len(area) // 2]), list(area[len(area) // 2 :])
    sizes = [shape[2 + i] for i in range(dims - len(sizes))] + sizes[-dims:]
    starts = [0] * (dims - len(starts)) + starts[-dims:]
    mask = torch.ones(1)
    for length, size, start in zip(shape[2:], sizes, starts, strict=True):
        size = min(size, length - start)
        line, reach = torch.zeros(length), min(FUZZ, size // 4)
        line[start : start + size] = 1
        ramp = torch.arange(1, reach + 1) / reach if reach else torch.ones(0)
        if start:
            line[start : start + reach] *= ramp
        if start + size < length:
            line[start + size - reach : start + size] *= ramp.flip(0)
        mask = mask.unsqueeze(-1) * line
    return mask
