"""What a model brings to the cost of tiled work: its geometry, its memory, and the time of one call."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any

import comfy.sample
import comfy.samplers
import torch
from torch import Tensor

from ...core.loop.lens import resize
from ...core.loop.plan import Plan
from ...core.pictures.flat import detail_map
from ...core.plans.cost import Geometry, hint, peak_input, plan_cost, report, stage_cost
from ...core.tiles.tile_picture import draw_tiles
from ...core.tiles.tiles import TileLayout
from ...core.tiles.tiling import Tiling
from .demofusion import unpatched
from .tiled import TiledHandler, auto_tile, pixel_ratio
from .vae_cost import vae_report

WARM_UP, TIMED = 1, 2
"""Sampler steps of a calibration run: the first ones load the model and choose kernels."""


@dataclass(frozen=True)
class Estimate:
    """What a run will cost. `tiles` and `grid` `[1, h, w, 3]` are of the largest stage."""

    report: str
    grid: Tensor
    tiles: int
    calls: int
    seconds: float


def estimate(
    model: Any, picture: Tensor, steps: int, cfg: float, plan: Plan | None, positive: list | None, vae: Any
) -> Estimate:
    """The cost of a plan that starts from `picture`, or of sampling `picture` with the MODEL as it is.

    With `positive` (CONDITIONING) one tile is sampled to measure the time. A `vae` counts with a plan, whose
    pictures go through it.
    """
    size, form = (picture.shape[1], picture.shape[2]), geometry(model)
    planned = plan is not None and bool(plan.steps)
    if plan is not None and planned:
        costs, cfg = plan_cost(plan, size, form), max(step.cfg for step in plan.steps)
    else:
        tiling = tiling_of(model) or Tiling(tile=2 * max(*size, 512), overlap=0)
        costs = [stage_cost("sampling", size, steps, cfg, tiling, form)]
    flat = [flat_tiles(picture, cost.layout, cost.tiling.skip_flat) for cost in costs]
    costs = [replace(cost, skipped=len(tiles)) for cost, tiles in zip(costs, flat, strict=True)]
    largest = max(range(len(costs)), key=lambda i: costs[i].height * costs[i].width)
    peak = peak_input(costs, form.channels)
    seconds = None if positive is None else seconds_a_call(model, peak, cfg, positive, positive)
    calls = sum(cost.calls for cost in costs)
    said = vae_report(vae, costs, form.auto) if planned and vae is not None else ""
    return Estimate(
        report(costs, peak, memory(model, peak), seconds, [said, hint(costs, form)]),
        draw_tiles(picture, costs[largest].layout, flat[largest]),
        len(costs[largest].layout),
        calls,
        calls * (seconds or 0.0),
    )


def geometry(model: Any) -> Geometry:
    """How a MODEL sees pixels."""
    base = model.model
    return Geometry(pixel_ratio(base), base.latent_format.latent_channels, auto_tile(base))


def tiling_of(model: Any) -> Tiling | None:
    """The tiling that ISI Tiled Sampling gave a MODEL, or None."""
    handler = model.model_options.get("context_handler")
    return handler.tiling if isinstance(handler, TiledHandler) else None


def memory(model: Any, peak: list[int]) -> int:
    """Bytes that the host reserves for a model input of this shape, with the model's weights."""
    return int(model.model.memory_required(_shape(model, peak))) + int(model.model_size())


def seconds_a_call(model: Any, peak: list[int], cfg: float, positive: list, negative: list) -> float:
    """Time of one model call at the shape `peak`, measured by sampling a few steps on one tile."""
    batch = peak[0] // (1 if cfg == 1 else 2)
    latent = torch.zeros(_shape(model, [batch, *peak[1:]]))
    noise = comfy.sample.prepare_noise(latent, 0)
    stamps: list[float] = []

    def stamp(step: int, denoised: Tensor, x: Tensor, steps: int) -> None:
        # Reading a value waits for the device to finish.
        denoised.reshape(-1)[0].item()
        stamps.append(time.perf_counter())

    comfy.sample.sample(
        unpatched(model), noise, WARM_UP + TIMED, cfg, "euler", "simple", positive, negative, latent,
        callback=stamp, disable_pbar=True, seed=0,
    )  # fmt: skip
    return (stamps[-1] - stamps[WARM_UP - 1]) / TIMED


def flat_tiles(picture: Tensor, layout: TileLayout, threshold: float) -> set[int]:
    """Indices of the tiles of a picture `[B, H, W, C]` that have no detail above `threshold`."""
    if threshold <= 0:
        return set()
    detail = detail_map(resize(picture[..., :3], *layout.size)).amax(0)
    return {i for i, tile in enumerate(layout) if layout.cut(detail, tile).max() < threshold}


def _shape(model: Any, peak: list[int]) -> list[int]:
    """The latent shape with the time axis that the model's format has."""
    extra = model.model.latent_format.latent_dimensions - 2
    return [*peak[:2], *[1] * extra, *peak[2:]]
