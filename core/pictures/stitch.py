"""Crop, sample anywhere, stitch: the two halves of the Crop lens as one value that travels between them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..loop.lens import View
from ..loop.plan import content_hash
from ..loop.room import need_room
from .crop import Box, Crop, ViewSize, bounds, take_mask
from .masks import FLOOR

PATCH, MATCHED, VIEW = 1.85, 0.75, 1.3
"""Copies of a crop's pixels, in float32, that its way back takes beside the result; how many more with
colours matched; and copies of what came back for it. `test_the_room_that_is_asked_for` holds them."""


@dataclass(frozen=True, eq=False)
class Stitch:
    """A picture `[B, H, W, C]`, the crops that were taken out of it, and their masks.

    With `each`, every picture of the batch has a crop of its own; otherwise every crop shows all of them.
    """

    picture: Tensor
    crops: tuple[Crop, ...]
    assets: Mapping[str, Tensor]
    each: bool = False

    def view(self) -> View:
        """All crops as one batch `[N, h, w, C]` with their sample masks `[N, h, w]`."""
        views = [crop.get(part, self.assets) for crop, part in self._parts(self.picture)]
        batch = 1 if self.each else len(self.picture)
        masks = [view.mask.expand(batch, -1, -1) for view in views if view.mask is not None]
        return View(torch.cat([view.pixels for view in views]), torch.cat(masks))

    def stitched(self, pixels: Tensor, match: float) -> Tensor:
        """The picture with all changed crops `[N, h, w, C]` (any size) put back.

        Several variants of the one crop of one picture make as many pictures. Colours are matched (0..1)
        to the picture before any crop came back, so that the order of the crops changes nothing.

        Raises:
            ValueError: where the number of crops is another than was taken.
        """
        picture = self.picture
        if len(self.crops) == 1 and len(picture) == 1:
            picture = picture.expand(len(pixels), -1, -1, -1)
        size = 1 if self.each else len(picture)
        expected = size * len(self.crops)
        if len(pixels) != expected:
            raise ValueError(
                f"ISI Crop For Inpaint took {expected} crops, but {len(pixels)} came back: "
                "connect all of them to ISI Stitch, in one batch."
            )
        largest = max(crop.height * crop.width for crop in self.crops)
        pixel = size * picture.shape[-1] * 4
        need_room(
            picture.numel() * picture.element_size()
            + pixel * ((PATCH + MATCHED * (match > 0)) * largest + VIEW * pixels.shape[1] * pixels.shape[2]),
            f"Stitching {expected} crop{'s' if expected > 1 else ''} into {len(picture)} "
            f"picture{'s' if len(picture) > 1 else ''} of {picture.shape[2]}x{picture.shape[1]}",
            "stitch fewer pictures at once, or smaller ones",
            picture.device,
        )
        out = picture.clone()
        parts = zip(self._parts(picture), self._parts(out), pixels.split(size), strict=True)
        for (crop, before), (_, canvas), made in parts:
            crop = replace(crop, match=match)
            crop.paste(canvas, crop.patch(before, made, self.assets), self.assets)
        return out

    def _parts(self, picture: Tensor) -> list[tuple[Crop, Tensor]]:
        """Each crop, and the pictures (a view of `picture`) that it is taken from."""
        if not self.each:
            return [(crop, picture) for crop in self.crops]
        return list(zip(self.crops, picture.split(1), strict=True))


@dataclass(frozen=True)
class Around:
    """What a crop shows round its masks.

    `padding` pixels, and at least `share` of the masks' longer side. `floor`: levels up to it are not looked
    for. `each`: a batch of pictures has a box each, not one for all.
    """

    padding: int = 0
    share: float = 0.0
    floor: float = FLOOR
    each: bool = False


def crop_for_inpaint(
    picture: Tensor,
    sample: Tensor,
    composite: Tensor,
    context: Tensor | None,
    around: Around,
    size: ViewSize,
    resampling: str = "smooth",
) -> Stitch:
    """Context crops round masks, all of one view size.

    One picture `[1, H, W, C]` with N masks gives N crops, each round its own mask; a batch of pictures
    (a video) gives one crop each, all at the same place, so that nothing jitters, or each at its own.
    `sample` and `composite` are `[n, H, W]`; `context` (1 or n) only widens the crops. An empty mask crops
    the whole picture.
    """
    frame = (picture.shape[1], picture.shape[2])
    each = around.each and len(picture) > 1
    count = len(picture) if each else max(len(sample), len(composite)) if len(picture) == 1 else 1
    boxes, groups = [], []
    for index in range(count):
        masks = [sample, composite] if context is None else [sample, composite, context]
        if count > 1:
            masks = [mask if len(mask) == 1 else mask[index : index + 1] for mask in masks]
        boxes.append(_box(masks, around, frame))
        groups.append(masks[:2])
    largest = Box(0, 0, max(box.height for box in boxes), max(box.width for box in boxes))
    fitted: list[tuple[Box, tuple[int, int]]] = []
    for box in boxes:
        grown = box if size.target else box.grown_to(largest.height, largest.width, frame)
        fitted.append(size.fit(grown, frame))
    _need_room(picture[:1] if each else picture, fitted)
    assets: dict[str, Tensor] = {}
    crops = []
    for (box, view), masks in zip(fitted, groups, strict=True):
        parts = [take_mask(mask, box) for mask in masks]
        names = [content_hash(part) for part in parts]
        assets.update(zip(names, parts, strict=True))
        where = (box.top, box.left, box.height, box.width)
        crops.append(Crop(*where, *view, names[0], names[1], resampling=resampling))
    return Stitch(picture, tuple(crops), assets, each)


def _box(masks: list[Tensor], around: Around, frame: tuple[int, int]) -> Box:
    """The box of a crop; the whole picture where the masks are empty."""
    found = [box for mask in masks if (box := bounds(mask, around.floor))]
    if not found:
        return Box(0, 0, *frame)
    box = _union(found)
    return box.padded(max(around.padding, box.share(around.share))).within(*frame)


def _need_room(picture: Tensor, fitted: list[tuple[Box, tuple[int, int]]]) -> None:
    """Raises ValueError unless there is room for crops of these boxes and views, and for making them."""
    pixel = len(picture) * picture.shape[-1] * picture.element_size()
    areas = [(box.height * box.width, view[0] * view[1]) for box, view in fitted]
    held = sum(2 * 4 * box + view * (2 * pixel + 8 * len(picture)) for box, view in areas)
    count = len(fitted) * len(picture)
    height, width = fitted[0][1]
    need_room(
        held + max(box * 3 * pixel + view * pixel for box, view in areas),
        f"{count} crop{'s' if count > 1 else ''} at {width}x{height}",
        "choose a smaller size, an aspect ratio nearer to the mask's, or fewer masks",
        picture.device,
    )


def _union(boxes: list[Box]) -> Box:
    """The smallest box that holds all of `boxes`."""
    top, left = min(box.top for box in boxes), min(box.left for box in boxes)
    bottom, right = max(box.bottom for box in boxes), max(box.right for box in boxes)
    return Box(top, left, bottom - top, right - left)
