"""A plan of the same picture at several exposures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from ..inside.exposure import exposures
from ..inside.tone import Bracket
from ..loop.lens import Assets, Lens, View
from ..loop.plan import Plan, Step, content_hash


@dataclass(frozen=True)
class Again(Lens):
    """The picture `source` of the plan's assets, whatever the steps before have made of it."""

    source: str
    kind: ClassVar[str] = "again"

    def view_size(self, height: int, width: int) -> tuple[int, int]:
        return height, width

    def get(self, picture: Tensor, assets: Assets) -> View:
        return View(assets[self.source])

    def put(self, picture: Tensor, pixels: Tensor, assets: Assets) -> Tensor:
        return pixels

    def check_assets(self, assets: Assets) -> None:
        picture = assets.get(self.source)
        if picture is None or picture.ndim != 4 or not picture.isfinite().all():
            raise ValueError("The picture of this plan is missing or damaged: make the plan anew.")

    def check_size(self, height: int, width: int, assets: Assets) -> None:
        own = assets[self.source].shape[1:3]
        if (height, width) != tuple(own):
            raise ValueError(
                f"These brackets are of a picture of {own[1]} x {own[0]}, and one of {width} x "
                f"{height} goes through ISI Iterate: connect the same image to both."
            )


def brackets_plan(
    picture: Tensor, prompt: str, count: int, gap: float, curve: float, steps: int, cfg: float,
    denoise: float, seed: int,
) -> Plan:  # fmt: skip
    """`count` steps, each on `picture` `[B, H, W, C]` itself with the same seed, from dark to light."""
    name = content_hash(picture)
    made = [
        Step(
            prompt, steps, cfg, denoise, seed, f"exposure {brightness:+.3f}", Again(name),
            (Bracket(brightness).to_extra(),),
        )
        for brightness in exposures(count, gap, curve)
    ]  # fmt: skip
    return Plan(tuple(made), {name: picture})
