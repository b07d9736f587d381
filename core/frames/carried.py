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
from ..pictures.crop import Box, Crop, take_mask
from ..pictures.masks import grow, resize_mask
from .camera import Camera, between, seen, settled
from .clip import Clip
from .plate import RING, light

FOLLOWED = ("camera", "mask")


@dataclass(frozen=True)
class Carried(Lens):
    """`inner` looks at a frame of a clip, whatever picture comes; that is the frame before, as it was made.

    `frame` `[1, H, W, C]` and `hole` `[1, H, W]` name this frame and what of it is not to be seen, `last` and
    `last_hole` the same of the one before: without them nothing is carried over. It follows the camera, or
    the mask, which went `right` and `down` by so many pixels since. The result is this frame with what was
    made.
    """

    inner: Crop
    frame: str
    hole: str
    last: str = ""
    last_hole: str = ""
    follows: str = "camera"
    right: int = 0
    down: int = 0
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
        own = assets[self.frame]
        if not self.last:
            return self.inner.get(own, assets)
        shown, known = self._shown(widened(picture[-1]), assets)
        taken = (assets[self.hole] > 0) & known
        view = self.inner.get(torch.where(taken[..., None], shown.to(own), own), assets)
        new = take_mask(((assets[self.hole] > 0) & ~known).float(), self.inner.box)
        return replace(view, new=(resize_mask(new, *view.pixels.shape[1:3]) > 0).float())

    def put(self, picture: Tensor, pixels: Tensor, assets: Assets) -> Tensor:
        return self.inner.put(assets[self.frame], pixels, assets)

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
