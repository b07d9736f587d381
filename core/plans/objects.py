"""Editing objects as a plan: remove, fill or replace the background, for any number of masks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..fills.fill import Fill
from ..frames.carried import Carried
from ..loop.door import check_text, text_size
from ..loop.lens import Lens
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
    `frame_denoise` is for frames that begin with what the one before was made into (`in_turn`).

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
    frame_denoise: float = 0.0

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
        size = box.height, box.width
        lens = Crop(0, 0, *size, *size, *_named(sample, back, box, assets))
        step = self._step(seen, "remove", lens, 0.0)
        fill = replace(self.fill, seed=step.seed, only=True, touched=True, window=self.window)
        return replace(step, steps=1, extras=(fill.to_extra(),))

    def in_turn(self, frames: Tensor, masks: Tensor) -> Plan:
        """A step a frame of `frames` `[N, H, W, C]`, with `masks` `[N, H, W]` of what is removed or filled.

        All have the same noise. A frame begins with what the one before was made into: what is removed stays
        with the camera, what is filled goes with its mask. Over that it is sampled at `frame_denoise`, or
        with 0 only where it shows something new.

        Raises ValueError for several actions or prompts, and for backgrounds.
        """
        action = self.actions[0]
        if action == BACKGROUND or len({*self.actions}) + len({*self.prompts}) > 2:
            raise ValueError(
                "One after another, all objects of a frame are one, to be removed or filled: write one "
                "action (remove or fill) and one prompt, and edit other objects in another run."
            )
        need_room(8 * masks.nbytes, f"Planning {len(frames)} frames", "plan fewer at once")
        check_text(2 * len(frames) * text_size(self.prompts[0]))
        holes, backs = self._hole(masks)
        boxes, view = self._boxes(action, holes, backs, masks)
        full = self.remove_denoise if action == "remove" else self.denoise
        assets: dict[str, Tensor] = {}
        names = [_kept(frames[at : at + 1], holes[at : at + 1], assets) for at in range(len(frames))]
        steps: list[Step] = []
        for at, box in enumerate(boxes):
            there, before = bool(holes[at].any()), at > 0 and bool(holes[at - 1].any())
            carried = there and (before or (at > 0 and action == "remove"))
            again = min(full, self.frame_denoise) or full
            denoise = (again if before else full) if there else 0.0
            masked = _named(holes[at : at + 1], backs[at : at + 1], box, assets)
            place = box.top, box.left, box.height, box.width
            crop = Crop(*place, *view, *masked, self.match, self.resampling)
            if not denoise:  # nor is it resampled: it would lose a little each time
                crop = replace(crop, view_height=box.height, view_width=box.width, match=0.0)
            lens = Carried(crop, *names[at], follows="camera" if action == "remove" else "mask")
            if carried:
                (last, its), (right, down) = names[at - 1], _went(holes[at - 1], holes[at])
                lens = replace(lens, last=last, last_hole=its, right=right, down=down)
                lens = replace(lens, keeps=denoise > 0 and not (before and self.frame_denoise))
            step = self._step([0], action, lens, denoise)
            step = replace(step, label=f"frame {at + 1}: {step.prompt}")
            if there and (action == "remove" or (lens.last and not denoise)):
                fill = replace(self.fill, seed=step.seed, only=not denoise, touched=True)
                step = replace(step, extras=(fill.to_extra(),))
            steps.append(step if denoise else replace(step, steps=1))
        return Plan(tuple(steps), assets)

    def _boxes(
        self, action: str, holes: Tensor, backs: Tensor, masks: Tensor
    ) -> tuple[list[Box], tuple[int, int]]:
        """The crop of each frame, all of one size, and the size they are worked on: in one place for what is
        removed, round its mask for what is filled."""
        box, view = self._crop(holes, backs, masks)
        around = [bounds(one[None], 0.0) for one in backs]
        if action == "remove" or not any(around):
            return [Box(*box)] * len(masks), view
        frame = (masks.shape[1], masks.shape[2])
        height, width = (max(getattr(one, side) for one in around if one) for side in ("height", "width"))
        pad = max(self.padding, Box(0, 0, height, width).share(self.relative_padding))
        largest = Box(0, 0, min(frame[0], height + 2 * pad), min(frame[1], width + 2 * pad))
        fitted, view = ViewSize(megapixels=self.megapixels).fit(largest, frame)
        boxes: list[Box] = []
        for one in around:
            known = one or (boxes[-1] if boxes else fitted)
            boxes.append(known.grown_to(fitted.height, fitted.width, frame))
        return boxes, view

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

    def _step(self, indices: list[int], action: str, lens: Lens, denoise: float) -> Step:
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


def _kept(one: Tensor, other: Tensor, assets: dict[str, Tensor]) -> tuple[str, str]:
    """The content hashes of two tensors, which are put into `assets`."""
    names = content_hash(one), content_hash(other)
    assets.update(zip(names, (one, other), strict=True))
    return names


def _went(before: Tensor, after: Tensor) -> tuple[int, int]:
    """By how many pixels (right, down) the middle of a mask `[H, W]` went; 0 where one is empty."""
    first, second = bounds(before[None], 0.0), bounds(after[None], 0.0)
    if first is None or second is None:
        return 0, 0
    right = 2 * (second.left - first.left) + second.width - first.width
    down = 2 * (second.top - first.top) + second.height - first.height
    return right // 2, down // 2


def _named(sample: Tensor, back: Tensor, box: Box, assets: dict[str, Tensor]) -> tuple[str, str]:
    """The content hashes of two masks of a box, which are put into `assets`."""
    return _kept(take_mask(sample, box), take_mask(back, box), assets)
