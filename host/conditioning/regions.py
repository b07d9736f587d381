"""A prompt for each region of the picture, cut at BREAK: for a loop, and for other samplers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ...core.language.prompts import chunks, read_prompt
from ...core.loop.plan import Plan
from ..loop.moment import Conditioner, Moment, Sight
from ..prompts.speak import encode_text

SIZE = 512
"""Pixels of the masks: ComfyUI brings them to the size of the latent."""


@dataclass(frozen=True, eq=False)
class RegionConditioner(Conditioner):
    """Gives each part of a prompt its mask `[N, H, W]`; the sum of masks is 1 at every pixel.

    With `base` over 0 (to 1) the first part is for the whole picture, and has that share of every pixel.
    """

    masks: Tensor
    base: float

    @property
    def parts(self) -> int:
        """How many parts a prompt must have."""
        return len(self.masks) + (self.base > 0)

    def check(self, model: Any, vae: Any, plan: Plan) -> None:
        self.check_whole(plan, "ISI Regions")
        for number, step in enumerate(plan.steps, 1):
            said = dict.fromkeys(read_prompt(step.prompt).by_step(step.steps))
            for text in dict.fromkeys(text for one in said for text, _ in one.parts):
                self._count(text, f"The prompt of step {number}")

    def identity(self) -> Any:
        return ["regions", self.masks, self.base]

    def condition(self, moment: Moment) -> Moment:
        return moment

    def reads(self, model: Any) -> bool:
        return True

    def encode(self, clip: Any, text: str, sight: Sight, negative: bool) -> list:
        return encode_text(clip, text) if negative else self.encode_parts(clip, text)

    def encode_parts(self, clip: Any, text: str) -> list:
        """CONDITIONING of a positive text. Raises ValueError for a wrong number of parts."""
        pieces = self._count(text, "The prompt")
        found = []
        if self.base > 0:
            whole = torch.ones(1, SIZE, SIZE)
            found += _masked(encode_text(clip, pieces[0]), whole, self.base)
            pieces = pieces[1:]
        for piece, mask in zip(pieces, self.masks, strict=True):
            found += _masked(encode_text(clip, piece), mask[None], 1 - self.base)
        return found

    def _count(self, text: str, what: str) -> tuple[str, ...]:
        pieces = chunks(text)
        if len(pieces) != self.parts:
            count = len(self.masks)
            expected = f"{count} after one for the whole picture" if self.base > 0 else str(count)
            raise ValueError(
                f"{what} has {len(pieces)} parts, and ISI Regions expects {expected}: write "
                "BREAK between them, or change the ratios."
            )
        return pieces


def _masked(conditioning: list, mask: Tensor, strength: float) -> list:
    """As the host's ConditioningSetMask does it, on the whole picture."""
    values = {"mask": mask, "set_area_to_bounds": False, "mask_strength": strength}
    return [[tensor, {**options, **values}] for tensor, options in conditioning]
