"""What tiled work will cost, before it is done."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..loop.plan import Plan
from ..tiles.demofusion import DemoFusion
from ..tiles.tiles import TileLayout
from ..tiles.tiling import Tiling


@dataclass(frozen=True)
class Geometry:
    """What a model makes of pixels: `ratio` pixels a latent cell, `channels`, the `auto` tile in pixels."""

    ratio: int
    channels: int
    auto: int


@dataclass(frozen=True)
class StageCost:
    """One step of a plan. `dilated` is DemoFusion's stride (1: none); sizes in pixels."""

    label: str
    height: int
    width: int
    steps: int
    guided: bool
    tiling: Tiling
    layout: TileLayout
    dilated: int
    ratio: int
    skipped: int = 0
    candidates: int = 1

    @property
    def tiles(self) -> int:
        """Tiles that are computed at each step."""
        return len(self.layout) - self.skipped

    @property
    def calls(self) -> int:
        """Model calls of the whole stage: batches of tiles, and of DemoFusion's sparse pictures, of all
        candidates."""
        batch = self.tiling.batch
        sparse = self.dilated**2 if self.dilated > 1 else 0
        return self.candidates * self.steps * (-(-self.tiles // batch) + -(-sparse // batch))

    @property
    def redundancy(self) -> float:
        """Pixels computed over pixels of the picture, each step."""
        area = self.layout.redundancy * self.tiles / len(self.layout)
        return area + (1 if self.dilated > 1 else 0)

    @property
    def tile_pixels(self) -> tuple[int, int]:
        """Height and width of a tile in pixels."""
        return self.layout.tile_size[0] * self.ratio, self.layout.tile_size[1] * self.ratio


def stage_cost(
    label: str, size: tuple[int, int], steps: int, cfg: float, tiling: Tiling, geometry: Geometry,
    dilated: int = 1, skipped: int = 0, candidates: int = 1,
) -> StageCost:  # fmt: skip
    """The cost of sampling a picture of `size` (height, width) in pixels for `steps` steps."""
    cells = -(-size[0] // geometry.ratio), -(-size[1] // geometry.ratio)
    layout = tiling.layout(*cells, geometry.ratio, geometry.auto)
    if tiling.shift:
        layout = layout.shifted(0.5, 0.5)
    if dilated > 1:
        largest = [side // geometry.ratio for side in tiling.largest(geometry.auto)]
        dilated = max(dilated, *(-(-length // limit) for length, limit in zip(cells, largest, strict=True)))
    ratio = geometry.ratio
    return StageCost(
        label, *size, steps, cfg != 1, tiling, layout, dilated, ratio, skipped, candidates
    )  # fmt: skip


def plan_cost(plan: Plan, size: tuple[int, int], geometry: Geometry) -> list[StageCost]:
    """The cost of every step of a plan that starts from a picture of `size` (height, width).

    Steps without tiles count as one tile of the size that their lens shows.
    """
    costs = []
    for step in plan.steps:
        extras = {extra.kind: extra for extra in step.extras}
        view = step.lens.view_size(*size)
        untiled = Tiling(tile=max(*view, 16) * 2, overlap=0)
        tiling = Tiling.from_extra(extras[Tiling.kind]) if Tiling.kind in extras else untiled
        fusion = extras.get(DemoFusion.kind)
        dilated = DemoFusion.from_extra(fusion).scale if fusion else 1
        label = step.label or step.prompt
        costs.append(
            stage_cost(label, view, step.steps, step.cfg, tiling, geometry, dilated, 0, step.candidates or 1)
        )
        size = step.lens.size(*size)
    return costs


def peak_input(costs: list[StageCost], channels: int) -> list[int]:
    """The largest batch of latents that the model sees in one call, as the host batches guidance."""

    def volume(cost: StageCost) -> int:
        height, width = cost.layout.tile_size
        return _batch(cost) * height * width

    largest = max(costs, key=volume)
    return [_batch(largest), channels, *largest.layout.tile_size]


def _batch(cost: StageCost) -> int:
    return min(cost.tiling.batch, len(cost.layout)) * (2 if cost.guided else 1)


def hint(costs: list[StageCost], geometry: Geometry) -> str:
    """A tile size near the one that was chosen, with which much less is computed; mostly nothing."""
    words = []
    for tiling in dict.fromkeys(cost.tiling for cost in costs):
        its = [cost for cost in costs if cost.tiling == tiling]
        sizes = [(cost.height, cost.width) for cost in its]
        better = tiling.thrifty(sizes, geometry.ratio, geometry.auto)
        if better == tiling:
            continue
        changes = (
            ("tile_size", tiling.tile, better.tile),
            ("tile_height", tiling.tile_height, better.tile_height),
        )
        named = " and ".join(f"{name} {after}" for name, before, after in changes if before != after)
        height, width = max(sizes, key=lambda size: size[0] * size[1])
        cells = -(-height // geometry.ratio), -(-width // geometry.ratio)
        before, after = (
            f"{len(layout.rows)} x {len(layout.columns)}"
            for layout in (one.layout(*cells, geometry.ratio, geometry.auto) for one in (tiling, better))
        )
        work = [one.work(sizes, geometry.ratio, geometry.auto) for one in (better, tiling)]
        words.append(
            f"Hint: {named} would take {after} tiles instead of {before}: {work[0]:.2f}x the work instead of "
            f"{work[1]:.2f}x."
        )
    return "\n".join(words)


def report(
    costs: list[StageCost],
    peak: list[int],
    memory: int,
    seconds_a_call: float | None,
    more: Sequence[str] = (),
) -> str:
    """The costs as plain text. `memory` in bytes; no `seconds_a_call`: no time is given; `more` are lines."""
    rows = [("stage", "picture", "tiles", "tile", "steps", "calls", "work")]
    for cost in costs:
        tile = cost.tile_pixels
        grid = f"{len(cost.layout.rows)} x {len(cost.layout.columns)}"
        grid += f" (-{cost.skipped} flat)" if cost.skipped else ""
        grid += f" + {cost.dilated}^2 sparse" if cost.dilated > 1 else ""
        size = f"{cost.width} x {cost.height}"
        steps = str(cost.steps) if cost.candidates == 1 else f"{cost.steps} x {cost.candidates}"
        rows.append(
            (cost.label, size, grid, f"{tile[1]} x {tile[0]}", steps, str(cost.calls),
             f"{cost.redundancy:.2f}x")
        )  # fmt: skip
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in rows]
    calls = sum(cost.calls for cost in costs)
    lines += [
        "",
        f"Model calls: {calls}. Largest model input: {' x '.join(map(str, peak))} (latent).",
        f"Memory while sampling: about {memory / 2**30:.1f} GiB, model included.",
        *filter(None, more),
    ]
    if seconds_a_call is None:
        lines.append("Time: connect `positive` to have one tile timed.")
    else:
        lines.append(f"Time: about {_duration(calls * seconds_a_call)} ({seconds_a_call:.3g} s a call).")
    return "\n".join(lines)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{seconds:.1f} s"
