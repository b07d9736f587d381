"""The lens of an outpainting pass: a window of the canvas, and which parts of it are known by then.

Its masks are made when they are needed, from a few numbers: a plan of a hundred passes holds no pixel.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor
from torch.nn import functional

from ..fills.spread import spread
from ..loop.door import LONGEST_SIDE, Limits, items, whole
from ..loop.lens import Assets, Lens, View, composite_into, widened, with_channels_of
from ..pictures.crop import Box, gain
from ..pictures.masks import PROFILES, ramp

NEAR = 8
"""Detail is what differs from the mean of this many pixels to each side."""
MOST_KNOWN = 20_000
SIDES = 4
"""Numbers of a box: top, left, height, width."""


@dataclass(frozen=True)
class Window(Lens):
    """A window of the canvas at its own size.

    `known` lists the boxes that are known when the pass begins, four numbers each (top, left, height, width),
    the given picture first. What lies outside of them is new. The sample mask falls from there over `overlap`
    pixels into what earlier passes made, and over `blend` pixels into the picture; so does the composite
    mask, which in the `first` pass is 1 wherever the sample mask is not 0: there the canvas lens round this
    one composites the picture's edge.

    `match` (0..1) takes back how far the pass moved the colours of what it was to keep, at least by half:
    first the contrast of detail, then the difference, spread from there into the new area.
    """

    top: int
    left: int
    height: int
    width: int
    known: tuple[int, ...]
    overlap: int
    blend: int
    profile: str = "cosine"
    first: bool = False
    match: float = 0.0
    kind: ClassVar[str] = "window"
    limits: ClassVar[Limits] = {
        **dict.fromkeys(("top", "left", "overlap", "blend"), (0, LONGEST_SIDE)),
        **dict.fromkeys(("height", "width"), (1, LONGEST_SIDE)),
        "profile": PROFILES,
        "match": (0.0, 1.0),
    }

    def __post_init__(self) -> None:
        boxes, rest = divmod(len(items(self.known, "window.known", MOST_KNOWN)), SIDES)
        if rest or not boxes or type(self.first) is not bool:
            raise ValueError("In this plan an outpainting window is damaged: make the plan anew.")
        for side in self.known:
            whole(side, "window.known", -LONGEST_SIDE, LONGEST_SIDE)

    @property
    def box(self) -> Box:
        return Box(self.top, self.left, self.height, self.width)

    def view_size(self, height: int, width: int) -> tuple[int, int]:
        return self.height, self.width

    def get(self, picture: Tensor, assets: Assets) -> View:
        return View(self._take(picture), self.mask_pair()[0].to(picture.device))

    def put(self, picture: Tensor, pixels: Tensor, assets: Assets) -> Tensor:
        sample, back = (mask.to(picture.device) for mask in self.mask_pair())
        under = widened(self._take(picture))
        patch = with_channels_of(widened(pixels).to(under), under)
        if self.match > 0:
            patch = self._matched(patch, under, sample)
        out = picture.clone()
        composite_into(self._take(out), patch, back)
        return out

    def new(self) -> NDArray[np.bool_]:
        """What no known box covers, `[height, width]`."""
        new = np.ones((self.height, self.width), bool)
        for start in range(0, len(self.known), SIDES):
            new[Box(*self.known[start : start + SIDES]).slices(self.box)] = False
        return new

    def mask_pair(self) -> tuple[Tensor, Tensor]:
        """The sample and the composite mask, each `[1, height, width]`."""
        new = self.new()
        if not new.any():
            return torch.zeros(1, *new.shape), torch.zeros(1, *new.shape)
        distance = torch.from_numpy(ndimage.distance_transform_edt(~new)).float()
        reach = torch.full_like(distance, self.overlap)
        reach[Box(*self.known[:SIDES]).slices(self.box)] = self.blend
        sample = ramp(1 - distance / (reach + 1), self.profile).unsqueeze(0)
        return sample, (sample > 0).float() if self.first else sample

    def _take(self, picture: Tensor) -> Tensor:
        return picture[:, self.top : self.top + self.height, self.left : self.left + self.width]

    def _matched(self, patch: Tensor, under: Tensor, sample: Tensor) -> Tensor:
        """`patch` in the colours of `under`, as far as both show what was known."""
        known = (sample <= 0.5)[0]
        if not known.any():
            return patch
        colours = min(patch.shape[-1], 3)
        seen, wanted = patch[..., :colours], under[..., :colours]
        # Contrast is one of detail alone: a drift that slopes as the picture does is no contrast.
        everywhere = torch.ones_like(known)
        details = [_detail(one, known)[:, known].cpu().double() for one in (seen, wanted)]
        gains = torch.stack([gain(a, b) for a, b in zip(*details, strict=True)]).to(seen)[:, None, None]
        made = seen + self.match * (gains - 1) * _detail(seen, everywhere)
        made += self.match * spread(wanted - made, known)
        return torch.cat([made, patch[..., colours:]], -1)


def _detail(picture: Tensor, known: Tensor) -> Tensor:
    """`picture` `[B, H, W, C]` less its mean over the known pixels round each pixel."""
    weight = known[None, None].to(picture)
    values = picture.movedim(-1, 1) * weight
    side = 2 * NEAR + 1
    lines = (functional.avg_pool2d(x, (1, side), 1, (0, NEAR)) for x in (values, weight))
    mean, share = (functional.avg_pool2d(x, (side, 1), 1, (NEAR, 0)) for x in lines)
    return picture - (mean / share.clamp(min=1e-6)).movedim(1, -1)
