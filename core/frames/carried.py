"""A clip frame by frame: the hole of each begins with what the frame before was made into.

So what was painted once stays where it is: on the ground, as the camera moves (`core.frames.camera`), or on a
thing that moves with its mask.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from ..edits.registration import Motion
from ..loop.door import Limits
from ..loop.lens import Assets, Lens, View, widened
from ..pictures.crop import Box, Crop, blended, take_mask
from ..pictures.masks import grow, resize_mask
from .camera import Camera, between, seen, settled
from .clip import Clip
from .plate import RING, light

FOLLOWED = ("camera", "mask")
SEAM = 4
"""Pixels over which what is new fades into what was carried over."""


@dataclass(frozen=True)
class Carried(Lens):
    """`inner` looks at a frame of a clip, whatever picture comes; that is the frame before, as it was made.

    `frame` `[1, H, W, C]` and `hole` `[1, H, W]` name this frame and what of it is not to be seen, `last` and
    `last_hole` the same of the one before: without them nothing is carried over. It follows the camera, or
    the mask, which went `right` and `down` by so many pixels since. The result is this frame with what was
    made; with `keeps` only what is new in the hole may change, and what was carried over stays bit for bit.
    """

    inner: Crop
    frame: str
    hole: str
    last: str = ""
    last_hole: str = ""
    follows: str = "camera"
    right: int = 0
    down: int = 0
    keeps: bool = False
    kind: ClassVar[str] = "carried"
    limits: ClassVar[Limits] = {"follows": FOLLOWED}
    masks: ClassVar[tuple[str, ...]] = ("hole",)

    def check_assets(self, assets: Assets) -> None:
        super().check_assets(assets)
        self.inner.check_assets(assets)
        sizes = [assets[self.hole].shape[1:]]
        for name in (self.frame, self.last) if self.last else (self.frame,):
            picture = assets.get(name)
            if picture is None or picture.ndim != 4 or not picture.isfinite().all():
                raise ValueError("A frame of this plan is missing or damaged: make the plan anew.")
            sizes.append(picture.shape[1:3])
        if self.last:
            hole = assets.get(self.last_hole)
            sizes.append(torch.Size() if hole is None else hole.shape[1:])
        if len(set(sizes)) > 1:
            raise ValueError("Frames of this plan and their masks have several sizes: make the plan anew.")

    def check_size(self, height: int, width: int, assets: Assets) -> None:
        own = assets[self.frame].shape[1:3]
        if own != (height, width):
            raise ValueError(
                f"The frames of this plan are {own[1]}x{own[0]}, but the picture is {width}x{height}: "
                "connect the clip that the plan was made of."
            )

    def count(self, pictures: int) -> int:
        return 1

    def view_size(self, height: int, width: int) -> tuple[int, int]:
        return self.inner.view_size(height, width)

    def size(self, height: int, width: int) -> tuple[int, int]:
        return height, width

    def get(self, picture: Tensor, assets: Assets) -> View:
        if not self.last:
            return self.inner.get(assets[self.frame], assets)
        start, new = self._start(picture, assets)
        view = self.inner.get(start, assets)
        fresh, around = (
            resize_mask(take_mask(mask, self.inner.box), *view.pixels.shape[1:3])
            for mask in (new, grow(new, SEAM))
        )
        return replace(view, mask=around if self.keeps else view.mask, new=(fresh > 0).float())

    def put(self, picture: Tensor, pixels: Tensor, assets: Assets) -> Tensor:
        if not self.keeps:
            return self.inner.put(assets[self.frame], pixels, assets)
        start, new = self._start(picture, assets)
        back = assets[self.inner.composite] * take_mask(blended(new, SEAM), self.inner.box)
        return self.inner.put(start, pixels, {**assets, self.inner.composite: back})

    def _start(self, picture: Tensor, assets: Assets) -> tuple[Tensor, Tensor]:
        """The frame with what was carried over `[1, H, W, C]`, and what of its hole is new `[1, H, W]`."""
        own, hole = assets[self.frame], assets[self.hole] > 0
        shown, known = self._shown(widened(picture[-1]), assets)
        return torch.where((hole & known)[..., None], shown.to(own), own), (hole & ~known).float()

    def _shown(self, made: Tensor, assets: Assets) -> tuple[Tensor, Tensor]:
        """What the frame before, `made` into `[H, W, C]`, shows of this one `[1, H, W, C]`, and where."""
        frames = torch.cat([assets[self.last], assets[self.frame]])
        clip = Clip(frames, torch.cat([assets[self.last_hole], assets[self.hole]]))
        whole = Box(0, 0, *clip.size)
        if self.follows == "mask":
            motion = Motion(1.0, -self.right, -self.down)
            shown, inside = seen(made, motion, whole)
            known = inside & (seen(clip.mask(0)[..., None], motion, whole)[0][..., 0] > 0)
            return shown[None], known[None]
        camera = Camera(clip)
        place = camera.place(1)
        if place.shot:
            return made[None], torch.zeros(1, *clip.size, dtype=torch.bool)
        motion = settled(between(place.motion, camera.place(0).motion), clip.size)
        shown, inside = seen(made, motion, whole)
        covered = seen(clip.mask(0)[..., None], motion, whole, "bilinear")[0][..., 0] > 0
        hole = clip.hidden(1)
        ring = (grow(hole[None].float(), RING)[0] > 0) & ~hole & inside & ~covered
        lighter = light(clip.frame(1).float(), shown.float(), ring)
        return (shown if lighter is None else shown + lighter)[None], inside[None]
