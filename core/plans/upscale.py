"""Plans that make a picture larger, in one stage or several."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar

from ..inside.frequency import KeepLow
from ..loop.door import LONGEST_SIDE
from ..loop.lens import Resize
from ..loop.plan import ExtraValue, Plan, Step
from ..tiles.demofusion import DemoFusion
from ..tiles.tiling import Tiling

GIGAPIXEL = 10**9

STAGE_GRAIN = 16
"""Stages between the first and the last size are multiples of this, so that no VAE needs to pad them."""


BICUBIC = "bicubic"
"""How the lens of a stage enlarges."""


@dataclass(frozen=True)
class Enlarge(ExtraValue):
    """A stage's picture is enlarged by `model`: a file of upscale models, or a method that the host names."""

    kind: ClassVar[str] = "enlarge"

    model: str = BICUBIC


@dataclass(frozen=True)
class Upscale:
    """What to do at every stage. `denoises` holds one value for each stage, the last one for the rest.

    `model` enlarges the picture before each stage, and waves over `keep_low` pixels of that stay (0: none).
    """

    prompt: str
    steps: int = 20
    cfg: float = 7.0
    denoises: tuple[float, ...] = (0.4,)
    seed: int = 0
    tiling: Tiling = Tiling()
    demofusion: DemoFusion | None = None
    model: str = BICUBIC
    keep_low: float = 0.0


def target_size(
    height: int, width: int, factor: float, target_height: int = 0, target_width: int = 0, large: bool = False
) -> tuple[int, int]:
    """Height and width after upscaling: the target (a side of 0 follows the aspect), else by `factor`.

    Raises ValueError for a factor that is not positive, a side over LONGEST_SIDE, and over a gigapixel unless
    `large`.
    """
    if target_height or target_width:
        aspect = width / height
        size = target_height or round(target_width / aspect), target_width or round(target_height * aspect)
    elif factor > 0:
        size = round(height * factor), round(width * factor)
    else:
        raise ValueError(
            f"The factor must be larger than 0, not {factor:g}: 2 doubles both sides. Or set width or height."
        )
    size = max(1, size[0]), max(1, size[1])
    if max(size) > LONGEST_SIDE:
        raise ValueError(
            f"This would make {size[1]} x {size[0]} pixels, and no side can be longer than {LONGEST_SIDE:,}: "
            "lower the factor or the size."
        )
    if size[0] * size[1] > GIGAPIXEL and not large:
        raise ValueError(
            f"This would make {size[1]} x {size[0]} pixels, more than a gigapixel: lower the factor or the "
            "size, or switch allow_gigapixel on."
        )
    return size


def stage_sizes(size: tuple[int, int], target: tuple[int, int], stages: int = 0) -> list[tuple[int, int]]:
    """Sizes (height, width) of all stages, evenly spaced in scale; the last is the target exactly.

    `stages` 0 takes as many as keep each at most twice as large as the one before.
    """
    growth = max(after / before for before, after in zip(size, target, strict=True))
    count = stages or max(1, math.ceil(math.log2(growth) - 1e-9) if growth > 1 else 1)

    def between(before: int, after: int, share: float) -> int:
        return max(1, round(before * (after / before) ** share / STAGE_GRAIN)) * STAGE_GRAIN

    pairs = list(zip(size, target, strict=True))
    steps = [tuple(between(*pair, i / count) for pair in pairs) for i in range(1, count)]
    return [(height, width) for height, width in (*steps, target)]


def upscale_plan(size: tuple[int, int], target: tuple[int, int], stages: int, how: Upscale) -> Plan:
    """A step for each stage: the picture enlarged, then sampled in tiles on top of that.

    `size` and `target` are (height, width) of the picture before and after. With `demofusion`, each stage is
    a phase of it at its own integer scale.
    """
    steps = []
    sizes = stage_sizes(size, target, stages)
    for i, (height, width) in enumerate(sizes):
        extras = (how.tiling.to_extra(),)
        if how.model != BICUBIC:
            extras += (Enlarge(how.model).to_extra(),)
        if how.demofusion:
            scale = round(max(height / size[0], width / size[1]))
            extras += (replace(how.demofusion, scale=scale).to_extra(),)
        if how.keep_low:
            extras += (KeepLow(how.keep_low).to_extra(),)
        steps.append(
            Step(
                how.prompt,
                how.steps,
                how.cfg,
                how.denoises[min(i, len(how.denoises) - 1)],
                (how.seed + i) % 2**64,
                f"upscale {i + 1}/{len(sizes)}: {width} x {height}",
                Resize(height, width),
                extras,
            )
        )
    return Plan(tuple(steps))
