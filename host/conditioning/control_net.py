"""A ControlNet that follows the moving picture of an iterative run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from ...core.loop.plan import Plan
from ..loop.moment import Conditioner, Moment
from ..packages import needed_by

HINTS = ["picture", "edges"]


@dataclass(frozen=True, eq=False)
class ControlNetConditioner(Conditioner):
    """Gives the ControlNet a hint made of the picture that the step starts from.

    `hint` is the picture itself (tile models) or its Canny edges. A text-to-image step has no picture and
    goes without.
    """

    control_net: Any
    strength: float
    start: float
    end: float
    hint: str

    def check(self, model: Any, vae: Any, plan: Plan) -> None:
        if self.hint == "edges":
            _canny()

    def identity(self) -> Any:
        return ["control net", self.control_net, self.strength, self.start, self.end, self.hint]

    def condition(self, moment: Moment) -> Moment:
        if moment.pixels is None:
            return moment
        # Imported here: should the host move it one day, every other node still loads.
        from nodes import ControlNetApplyAdvanced  # pyright: ignore[reportAttributeAccessIssue]

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
        _, edges = _canny()(pixels.movedim(-1, 1).clamp(0, 1), 0.1, 0.3)
        return edges.movedim(1, -1).expand(-1, -1, -1, 3)


def _canny() -> Callable[..., tuple[Tensor, Tensor]]:
    """kornia's Canny (magnitude, edges). Raises ValueError without kornia."""
    with needed_by("The hint `edges` of ISI ControlNet Conditioner"):
        from kornia.filters import canny
    return canny
