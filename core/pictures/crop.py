"""Context crops: a part of a picture at the size a model likes, and its way back.

Three masks are kept apart. The *sample* mask is what the sampler may change; the *composite* mask is
what comes back into the picture; the *context* mask only widens the crop.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from scipy import ndimage
from torch import Tensor
from torch.nn import functional

from ..loop.door import LONGEST_SIDE, Limits
from ..loop.lens import Assets, Lens, View, composite_into, in_float32, resize, widened, with_channels_of
from .canvas import round_up
from .masks import FLOOR, feather, found, grow, label, resize_mask
from .resize import nearest

GAP, RING = 8, 40
"""The colour match looks at pixels from GAP to RING away from the masks: no latent pixel reaches there."""
JUDGED = 1024
"""The colour match looks at about this many pixels squared of a larger crop, in regular strides."""
RESAMPLINGS = {"smooth": resize, "nearest": nearest}
"""How a crop gets to its working size: bicubic, or for pixel art by the nearest pixel."""
GAIN = 2.0
"""The colour match changes a contrast by this factor at most."""


@dataclass(frozen=True)
class Box:
    """A rectangle in pixels of a picture; it may reach beyond the frame."""

    top: int
    left: int
    height: int
    width: int

    @property
    def bottom(self) -> int:
        return self.top + self.height

    @property
    def right(self) -> int:
        return self.left + self.width

    @property
    def place(self) -> tuple[slice, slice]:
        """The rows and columns of a picture that a box inside it is."""
        return slice(self.top, self.bottom), slice(self.left, self.right)

    def within(self, height: int, width: int) -> Box:
        """The part of the box inside a picture of this size."""
        top, left = max(0, self.top), max(0, self.left)
        return Box(top, left, min(self.bottom, height) - top, min(self.right, width) - left)

    def slices(self, other: Box) -> tuple[slice, slice]:
        """Rows and columns of `other` that this box covers."""
        top, left = max(0, self.top - other.top), max(0, self.left - other.left)
        bottom, right = max(0, self.bottom - other.top), max(0, self.right - other.left)
        return slice(top, bottom), slice(left, right)

    def meets(self, other: Box) -> bool:
        """Whether two boxes share a pixel."""
        down = self.top < other.bottom and other.top < self.bottom
        return down and self.left < other.right and other.left < self.right

    def distance(self, other: Box) -> float:
        """Pixels between the middles of two boxes."""
        down = self.top + self.bottom - other.top - other.bottom
        return math.hypot(down, self.left + self.right - other.left - other.right) / 2

    def share(self, factor: float) -> int:
        """`factor` of the longer side, in whole pixels."""
        return math.ceil(factor * max(self.height, self.width))

    def padded(self, pixels: int) -> Box:
        """The box with `pixels` more on every side."""
        return Box(self.top - pixels, self.left - pixels, self.height + 2 * pixels, self.width + 2 * pixels)

    def grown_to(self, height: int, width: int, frame: tuple[int, int]) -> Box:
        """The box at a larger size round its middle, moved into the picture `frame` as far as it fits."""
        top = self.top + (self.height - height) // 2
        left = self.left + (self.width - width) // 2
        return Box(_shifted(top, height, frame[0]), _shifted(left, width, frame[1]), height, width)


def _shifted(start: int, length: int, frame: int) -> int:
    if length >= frame:
        return -((length - frame) // 2)
    return min(max(start, 0), frame - length)


def bounds(mask: Tensor, floor: float = FLOOR) -> Box | None:
    """The box of what is `found` in any of `mask` `[B, H, W]`; None where nothing is."""
    there = found(mask, floor).any(0)
    rows = there.any(1).nonzero().flatten()
    if len(rows) == 0:
        return None
    columns = there.any(0).nonzero().flatten()
    top, left = int(rows[0]), int(columns[0])
    return Box(top, left, int(rows[-1]) + 1 - top, int(columns[-1]) + 1 - left)


def objects(mask: Tensor) -> list[Box]:
    """The boxes of what is connected (diagonals too) above 0 in `mask` `[1, H, W]`, largest first."""
    labels, _ = label(mask[0] > 0, diagonals=True)
    boxes = [
        Box(rows.start, columns.start, rows.stop - rows.start, columns.stop - columns.start)
        for rows, columns in ndimage.find_objects(labels)
    ]
    return sorted(boxes, key=lambda box: -box.height * box.width)


@dataclass(frozen=True)
class ViewSize:
    """How large a crop is worked on. One of `target`, `megapixels`, or neither: the crop's own size.

    `target` is (height, width); a megapixel is 1024 x 1024 pixels, as for the host's nodes. But for
    `target`, sides are multiples of `multiple`, and the shorter one is at least `minimum`.
    """

    target: tuple[int, int] | None = None
    megapixels: float | None = None
    multiple: int = 8
    minimum: int = 0

    def fit(self, box: Box, frame: tuple[int, int]) -> tuple[Box, tuple[int, int]]:
        """The box grown to the view's aspect ratio, and the view's (height, width). Never shrinks the box."""
        if self.target:
            view = self.target
        elif self.megapixels:
            scale = math.sqrt(self.megapixels * 2**20 / (box.height * box.width))
            height, width = (
                max(1, round(side * scale / self.multiple)) * self.multiple
                for side in (box.height, box.width)
            )
            view = self._enlarged(height, width)
        else:
            own = (round_up(box.height, self.multiple), round_up(box.width, self.multiple))
            view = self._enlarged(*own)
            if view == own:
                return box.grown_to(*view, frame), view
        height = max(box.height, math.ceil(box.width * view[0] / view[1]))
        width = max(box.width, math.ceil(height * view[1] / view[0]))
        return box.grown_to(height, width, frame), view

    def _enlarged(self, height: int, width: int) -> tuple[int, int]:
        """The view at a size whose shorter side is at least `minimum`."""
        scale = max(1.0, self.minimum / min(height, width))
        if scale == 1:
            return height, width
        return round_up(math.ceil(height * scale), self.multiple), round_up(
            math.ceil(width * scale), self.multiple
        )


@dataclass(frozen=True)
class Crop(Lens):
    """A box of the picture at a working size. What lies beyond the frame repeats its edge.

    `sample` and `composite` name masks `[1 or B, height, width]` of the box. `match` (0..1) corrects the
    colours of the result, as far as they moved where nothing was to change. `resampling` is one of
    RESAMPLINGS, to the working size and back.
    """

    top: int
    left: int
    height: int
    width: int
    view_height: int
    view_width: int
    sample: str
    composite: str
    match: float = 0.0
    resampling: str = "smooth"
    kind: ClassVar[str] = "crop"
    limits: ClassVar[Limits] = {
        **dict.fromkeys(("height", "width", "view_height", "view_width"), (1, LONGEST_SIDE)),
        "match": (0.0, 1.0),
        "resampling": tuple(RESAMPLINGS),
    }
    masks: ClassVar[tuple[str, ...]] = ("sample", "composite")

    def check_assets(self, assets: Assets) -> None:
        super().check_assets(assets)
        if any(assets[name].shape[1:] != (self.height, self.width) for name in (self.sample, self.composite)):
            raise ValueError("A mask of this plan has another size than its crop: make the plan anew.")

    @property
    def box(self) -> Box:
        return Box(self.top, self.left, self.height, self.width)

    def view_size(self, height: int, width: int) -> tuple[int, int]:
        return self.view_height, self.view_width

    def get(self, picture: Tensor, assets: Assets) -> View:
        mask = resize_mask(assets[self.sample], self.view_height, self.view_width)
        resized = RESAMPLINGS[self.resampling]
        return View(resized(take(picture, self.box), self.view_height, self.view_width), mask)

    def put(self, picture: Tensor, pixels: Tensor, assets: Assets) -> Tensor:
        out = picture.clone()
        self.paste(out, self.patch(picture, pixels, assets), assets)
        return out

    def patch(self, picture: Tensor, pixels: Tensor, assets: Assets) -> Tensor:
        """The changed view at the box's size, with the channels of `picture`, colours matched to it; float32
        for half precision, so that it is rounded once, by `paste`."""
        under = widened(take(picture, self.box))
        resized = RESAMPLINGS[self.resampling]
        patch = with_channels_of(resized(widened(pixels), self.height, self.width).to(under), under)
        if self.match <= 0:
            return patch
        # A large crop is judged by some of its pixels: statistics need no more.
        stride = max(1, round(math.sqrt(self.height * self.width) / JUDGED))
        ring = known_ring(torch.maximum(assets[self.sample], assets[self.composite]), stride)
        rows, columns = self.box.within(*picture.shape[1:3]).slices(self.box)
        inside = torch.zeros(self.height, self.width, dtype=torch.bool, device=ring.device)
        inside[rows, columns] = True
        return match_colour(patch, under, ring & inside[::stride, ::stride], self.match, stride)

    def paste(self, canvas: Tensor, patch: Tensor, assets: Assets) -> None:
        """Composites a patch into `canvas` in place."""
        inner = self.box.within(*canvas.shape[1:3])
        rows, columns = inner.slices(self.box)
        mask = assets[self.composite][:, rows, columns]
        target = canvas[:, inner.top : inner.bottom, inner.left : inner.right]
        composite_into(target, patch[:, rows, columns], mask)


@in_float32
def take(picture: Tensor, box: Box) -> Tensor:
    """The pixels `[B, height, width, C]` of a box; the picture's edge is repeated beyond the frame."""
    inner = box.within(*picture.shape[1:3])
    part = picture[:, inner.top : inner.bottom, inner.left : inner.right]
    if inner == box:
        return part
    room = (inner.left - box.left, box.right - inner.right, inner.top - box.top, box.bottom - inner.bottom)
    return functional.pad(part.movedim(-1, 1), room, mode="replicate").movedim(1, -1)


def take_mask(mask: Tensor, box: Box) -> Tensor:
    """The mask `[B, height, width]` of a box; nothing may change beyond the frame."""
    inner = box.within(*mask.shape[1:3])
    out = mask.new_zeros(mask.shape[0], box.height, box.width)
    rows, columns = inner.slices(box)
    out[:, rows, columns] = mask[:, inner.top : inner.bottom, inner.left : inner.right]
    return out


@in_float32
def blended(mask: Tensor, pixels: int) -> Tensor:
    """A composite mask: `mask`, and a soft edge that ends `pixels` outside of it."""
    half = pixels // 2
    soft = feather(grow(mask, pixels - half), half)
    return mask if soft is mask else torch.maximum(mask, soft, out=soft)


def known_ring(mask: Tensor, stride: int = 1) -> Tensor:
    """Where the picture must come back as it was, near the mask `[B, h, w]`: bool, each `stride`-th pixel."""
    support = functional.max_pool2d((mask > 0).float().unsqueeze(1), stride, ceil_mode=True).squeeze(1)
    return (grow(support, RING // stride) > 0) & (grow(support, -(-GAP // stride)) == 0)


@in_float32
def match_colour(patch: Tensor, under: Tensor, ring: Tensor, strength: float, stride: int = 1) -> Tensor:
    """`patch` `[B, h, w, C]` with mean and standard deviation of each colour as `under` has them on `ring`.

    Both show the same things on the ring `[1 or B, h / stride, w / stride]` (bool, of each stride-th pixel),
    so the change of contrast is trusted as far as they correlate there: noise on a flat ring does not count.
    Alpha stays. `strength` 0..1.
    """
    out = patch.clone()
    colours = min(patch.shape[-1], 3)
    for index in range(len(patch)):
        where = ring[index % len(ring)]
        if where.sum() < 2:
            continue
        seen, wanted = (p[index, ::stride, ::stride, :colours][where].cpu().double() for p in (patch, under))
        factor = gain(seen, wanted)
        offset = wanted.mean(0) - factor * seen.mean(0)
        now = out[index, ..., :colours]
        now.mul_((1 + strength * (factor - 1)).to(now)).add_((strength * offset).to(now))
    return out


def gain(seen: Tensor, wanted: Tensor) -> Tensor:
    """The change of contrast `[C]` from `seen` to `wanted` `[n, C]`, 1 where they do not correlate."""
    a, b = seen - seen.mean(0), wanted - wanted.mean(0)
    power = a.square().mean(0) * b.square().mean(0)
    trust = torch.where(power > 0, (a * b).mean(0).clamp(min=0).square() / power, 0)
    ratio = (b.square().mean(0) / a.square().mean(0).clamp(min=1e-12)).sqrt()
    return 1 + trust * (ratio.clamp(1 / GAIN, GAIN) - 1)
