"""Editing objects as a plan: remove, fill or replace the background, for any number of masks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..fills.fill import Fill
from ..loop.door import check_text, text_size
from ..loop.plan import Plan, Step, content_hash
from ..loop.room import need_room
from ..pictures.canvas import Canvas
from ..pictures.crop import Box, Crop, ViewSize, blended, bounds, take_mask
from ..pictures.masks import grow

ACTIONS = ("remove", "fill", "replace background")
ORDERS = ("as given", "largest first", "smallest first", "left to right")


def parse_actions(text: str) -> tuple[str, ...]:
    """One of ACTIONS a line; "background" and "replace" will do for the long one. Raises ValueError."""
    names = {name: name for name in ACTIONS} | dict.fromkeys(("background", "replace"), ACTIONS[2])
    lines = [line.strip().lower() for line in text.splitlines() if line.strip()]
    for line in lines:
        if line not in names:
            raise ValueError(f"{line!r} is no action: write one a line of {', '.join(ACTIONS)}.")
    return tuple(names[line] for line in lines) or ACTIONS[:1]


@dataclass(frozen=True)
class ObjectEdits:
    """What to do with the objects of a picture; lengths in pixels.

    `actions` and `prompts` hold a value an object in the order of the masks, the last one repeated.
    Masks of objects are widened by `grow`; the result fades out over `blend` beyond that. A removed
    object is filled as `fill` says and then sampled at `remove_denoise`; 0 is the fill alone.
    """

    actions: Sequence[str]
    prompts: Sequence[str]
    order: str = "as given"
    fill: Fill = Fill("telea")
    denoise: float = 1.0
    remove_denoise: float = 0.0
    grow: int = 8
    blend: int = 16
    padding: int = 64
    megapixels: float = 1.0
    steps: int = 20
    cfg: float = 7.0
    seed: int = 0
    match: float = 1.0

    def plan(self, masks: Tensor) -> Plan:
        """A step an object of `masks` `[N, H, W]`; masks of zeros are skipped."""
        order = self._order(masks)
        need_room(
            sum(self._held(masks[index : index + 1]) for index in order) + 6 * masks[:1].nbytes,
            f"Planning {len(order)} objects",
            "plan fewer of them, or lower `padding`",
        )
        check_text(2 * len(order) * max(map(text_size, self.prompts)))
        assets: dict[str, Tensor] = {}
        steps = [self._step(index, masks[index : index + 1], assets) for index in order]
        if not steps:
            nothing = Canvas(0, 0, 0, 0)
            steps = [Step("", 1, self.cfg, 0.0, self.seed, "nothing is masked", lens=nothing)]
        return Plan(tuple(steps), assets)

    def _held(self, mask: Tensor) -> int:
        """Bytes of the two masks of an object's crop."""
        box = bounds(mask)
        reach = self.grow + self.blend + self.padding
        inner = box.padded(reach).within(*mask.shape[1:3]) if box else Box(0, 0, 0, 0)
        return 2 * inner.height * inner.width * mask.element_size()

    def _order(self, masks: Tensor) -> list[int]:
        boxes = {i: box for i, mask in enumerate(masks) if (box := bounds(mask[None]))}
        keys = {
            "as given": lambda i: i,
            "largest first": lambda i: -float(masks[i].sum()),
            "smallest first": lambda i: float(masks[i].sum()),
            "left to right": lambda i: boxes[i].left + boxes[i].width / 2,
        }
        return sorted(boxes, key=keys[self.order])

    def _step(self, index: int, mask: Tensor, assets: dict[str, Tensor]) -> Step:
        action = self.actions[min(index, len(self.actions) - 1)]
        prompt = self.prompts[min(index, len(self.prompts) - 1)]
        seed = (self.seed + index) % 2**64
        if action == "replace background":
            sample = back = 1 - mask
        else:
            sample = grow(mask, self.grow)
            back = blended(sample, self.blend)
        only = action == "remove" and self.remove_denoise == 0
        return Step(
            prompt=prompt,
            steps=1 if only else self.steps,
            cfg=self.cfg,
            denoise=self.remove_denoise if action == "remove" else self.denoise,
            seed=seed,
            label=f"{action} {index + 1}: {prompt}",
            lens=self._crop(sample, back, assets),
            extras=(replace(self.fill, seed=seed, only=only).to_extra(),) if action == "remove" else (),
        )

    def _crop(self, sample: Tensor, back: Tensor, assets: dict[str, Tensor]) -> Crop:
        frame = (sample.shape[1], sample.shape[2])
        around = bounds(torch.maximum(sample, back)) or Box(0, 0, *frame)
        around = around.padded(self.padding).within(*frame)
        box, view = ViewSize(megapixels=self.megapixels).fit(around, frame)
        masks = [take_mask(one, box) for one in (sample, back)]
        names = [content_hash(one) for one in masks]
        assets.update(zip(names, masks, strict=True))
        return Crop(box.top, box.left, box.height, box.width, *view, names[0], names[1], self.match)
