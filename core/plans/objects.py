"""Editing objects as a plan: remove, fill or replace the background, for any number of masks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..fills.fill import Fill
from ..loop.door import check_text, text_size
from ..loop.plan import Plan, Step, content_hash
from ..loop.room import need_room
from ..pictures.canvas import Canvas
from ..pictures.crop import Box, Crop, ViewSize, blended, bounds, take_mask
from ..pictures.masks import FLOOR, found, grow
from ..pictures.matte import Backdrop

BACKGROUND = "replace background"
ACTIONS = ("remove", "fill", BACKGROUND)
UNDER = 2
"""How far the sample mask of a background reaches under its objects, in pixels."""
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

    The hole of an object to remove or fill is all that its mask touches, at any level, widened by `grow`; the
    result fades out over `blend` beyond that. A removed object is filled as `fill` says and then
    sampled at `remove_denoise`; 0 is the fill alone. All objects whose background is replaced are kept in
    one step: the background is what none of them covers.

    With a `window` the pictures are the frames of a clip: behind the objects to remove, all of them in one
    step, stands what up to so many frames before and after show, and `fill` is for what none of them shows.

    A crop shows `padding` pixels round an object, and at least `relative_padding` of its longer side; it is
    resized by `resampling`. Levels up to `mask_floor` are not looked for.
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
    relative_padding: float = 0.0
    resampling: str = "smooth"
    mask_floor: float = FLOOR
    window: int = 0

    def plan(self, masks: Tensor, frames: int = 1) -> Plan:
        """A step an object of `masks` `[N * frames, H, W]`; objects without any mask are skipped.

        An object has a mask a frame, and those of one object follow one another. With one mask for all
        frames, `frames` is 1.
        """
        objects = dict(enumerate(masks.split(frames)))
        assets: dict[str, Tensor] = {}
        order = self._order(objects)
        need_room(
            sum(self._held(objects[index]) for index in order)
            + (6 + 2 * bool(self.window)) * masks[:frames].nbytes,
            f"Planning {len(order)} objects",
            "plan fewer of them, or lower `padding`",
        )
        check_text(2 * len(order) * max(map(text_size, self.prompts)))
        kept = [index for index in order if self._action(index) == BACKGROUND]
        behind = [index for index in order if self.window and self._action(index) == "remove"]
        steps = []
        for index in order:
            if behind[:1] == [index]:
                steps.append(self._plate(sorted(behind), objects, assets))
            if index in behind:
                if self.remove_denoise:
                    steps.append(self._edit(index, objects[index], assets))
            elif index not in kept:
                steps.append(self._edit(index, objects[index], assets))
            elif index == kept[0]:
                earlier = order[: order.index(index)]
                steps.append(self._background(sorted(kept), objects, earlier, assets))
        if not steps:
            nothing = Canvas(0, 0, 0, 0)
            steps = [Step("", 1, self.cfg, 0.0, self.seed, "nothing is masked", lens=nothing)]
        return Plan(tuple(steps), assets)

    def _held(self, mask: Tensor) -> int:
        """Bytes of the two masks of an object's crop."""
        box = bounds(mask, self.mask_floor)
        reach = self.grow + self.blend + self.padding
        inner = box.padded(reach).within(*mask.shape[1:3]) if box else Box(0, 0, 0, 0)
        return 2 * len(mask) * inner.height * inner.width * mask.element_size()

    def _order(self, objects: Mapping[int, Tensor]) -> list[int]:
        boxes = {i: box for i, mask in objects.items() if (box := bounds(mask, self.mask_floor))}
        keys = {
            "as given": lambda i: i,
            "largest first": lambda i: -float(objects[i].sum()),
            "smallest first": lambda i: float(objects[i].sum()),
            "left to right": lambda i: boxes[i].left + boxes[i].width / 2,
        }
        return sorted(boxes, key=keys[self.order])

    def _action(self, index: int) -> str:
        return self.actions[min(index, len(self.actions) - 1)]

    def _edit(self, index: int, mask: Tensor, assets: dict[str, Tensor]) -> Step:
        """Removes or fills one object."""
        action = self._action(index)
        only = action == "remove" and self.remove_denoise == 0
        sample, back = self._hole(mask)
        denoise = self.remove_denoise if action == "remove" else self.denoise
        box, view = self._crop(sample, back, mask)
        lens = Crop(*box, *view, *_named(sample, back, Box(*box), assets), self.match, self.resampling)
        step = self._step([index], action, lens, denoise)
        if action != "remove" or self.window:
            return step
        # The sample mask is the hole: what an enlarged view makes of its edge is still all to be filled.
        fill = replace(self.fill, seed=step.seed, only=only, touched=True)
        return replace(step, steps=1 if only else self.steps, extras=(fill.to_extra(),))

    def _plate(self, seen: list[int], objects: Mapping[int, Tensor], assets: dict[str, Tensor]) -> Step:
        """Removes objects of a clip by what other frames show. Whole frames: none is resampled, and all that
        is to be seen behind the objects is there."""
        sample, back = self._hole(torch.stack([objects[index] for index in seen]).amax(0))
        box = Box(0, 0, *sample.shape[1:])
        lens = Crop(0, 0, *[box.height, box.width] * 2, *_named(sample, back, box, assets))
        step = self._step(seen, "remove", lens, 0.0)
        fill = replace(self.fill, seed=step.seed, only=True, touched=True, window=self.window)
        return replace(step, steps=1, extras=(fill.to_extra(),))

    def _hole(self, mask: Tensor) -> tuple[Tensor, Tensor]:
        """What is sampled, and what comes back."""
        hole = grow(found(mask, self.mask_floor).float(), self.grow)
        return hole, blended(hole, self.blend)

    def _background(
        self, kept: list[int], objects: Mapping[int, Tensor], earlier: list[int], assets: dict[str, Tensor]
    ) -> Step:
        """Replaces what no object covers. What was filled by then is kept with its soft edge."""
        covers = [objects[index] for index in kept]
        for index in objects:
            if self._action(index) == "fill":
                covers.append(self._hole(objects[index])[1] if index in earlier else objects[index])
        matte = torch.stack(covers).amax(0)
        back = 1 - matte
        sample = grow(back, UNDER)
        box, view = self._crop(sample, back, sample)
        names = _named(sample, back, Box(*box), assets)
        # All that is known is the objects: what the model made of those says nothing of what is behind them.
        lens = Backdrop(*box, *view, *names, match=0.0, resampling=self.resampling)
        return self._step(kept, BACKGROUND, lens, self.denoise)

    def _step(self, indices: list[int], action: str, lens: Crop, denoise: float) -> Step:
        """A step for these objects, with the prompt and the seed of the first one."""
        first = indices[0]
        prompt = self.prompts[min(first, len(self.prompts) - 1)]
        names = ", ".join(str(index + 1) for index in indices)
        return Step(
            prompt=prompt,
            steps=self.steps,
            cfg=self.cfg,
            denoise=denoise,
            seed=(self.seed + first) % 2**64,
            label=f"{action} {names}: {prompt}",
            lens=lens,
        )

    def _crop(
        self, sample: Tensor, back: Tensor, mask: Tensor
    ) -> tuple[tuple[int, int, int, int], tuple[int, int]]:
        """Top, left, height and width of a crop, and the size it is worked on."""
        frame = (sample.shape[1], sample.shape[2])
        around = bounds(torch.maximum(sample, back)) or Box(0, 0, *frame)
        inner = bounds(mask, self.mask_floor) or around
        around = around.padded(max(self.padding, inner.share(self.relative_padding))).within(*frame)
        box, view = ViewSize(megapixels=self.megapixels).fit(around, frame)
        return (box.top, box.left, box.height, box.width), view


def _named(sample: Tensor, back: Tensor, box: Box, assets: dict[str, Tensor]) -> tuple[str, str]:
    """The content hashes of two masks of a box, which are put into `assets`."""
    parts = take_mask(sample, box), take_mask(back, box)
    names = content_hash(parts[0]), content_hash(parts[1])
    assets.update(zip(names, parts, strict=True))
    return names
