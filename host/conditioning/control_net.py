"""A ControlNet that follows the moving picture of an iterative run."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import kornia
from torch import Tensor

from nodes import ControlNetApplyAdvanced  # pyright: ignore[reportAttributeAccessIssue]

from ...core.loop.plan import Plan
from ..loop.moment import Conditioner, Moment

HINTS = ["picture", "edges"]


@dataclass(frozen=True)
class ControlNetConditioner(Conditioner):
    """Gives the ControlNet a hint made of the picture that the step starts from.

    `hint` is the picture itself (tile models) or its Canny edges. A text-to-image step has no picture and
    goes without. `before` is a conditioner that acts first.
    """

    control_net: Any
    strength: float
    start: float
    end: float
    hint: str
    before: Conditioner | None = None

    def check(self, model: Any, vae: Any, plan: Plan) -> None:
        if self.before:
            self.before.check(model, vae, plan)

    def identity(self) -> Any:
        earlier = self.before.identity() if self.before else None
        return ["control net", earlier, self.control_net, self.strength, self.start, self.end, self.hint]

    def condition(self, moment: Moment) -> Moment:
        if self.before:
            moment = self.before.condition(moment)
        if moment.pixels is None:
            return moment
        positive, negative = ControlNetApplyAdvanced().apply_controlnet(
            moment.positive, moment.negative, self.control_net, self.make_hint(moment.pixels), self.strength,
            self.start, self.end, vae=moment.vae,
        )  # fmt: skip
        return replace(moment, positive=positive, negative=negative)

    def make_hint(self, pixels: Tensor) -> Tensor:
        """`[B, H, W, 3]` hint of `[B, H, W, 3 or 4]` pixels."""
        pixels = pixels[..., :3]
        if self.hint == "picture":
            return pixels
        _, edges = kornia.filters.canny(pixels.movedim(-1, 1).clamp(0, 1), 0.1, 0.3)
        return edges.movedim(1, -1).expand(-1, -1, -1, 3)
