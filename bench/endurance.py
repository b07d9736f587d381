"""One process that goes on and on: how its memory grows over iterations of one run, and over many jobs.

python run.py bench endurance            (ISI_ENDURANCE=0.2 in the environment: a fifth of both counts)
"""

from __future__ import annotations

import ctypes
import gc
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch

from ..tests.host.harness import Host
from ..tests.host.tiny import tiny_clip, tiny_model, tiny_vae

ITERATIONS, JOBS = 10_000, 1_000
EACH = 10
"""One in so many is measured: to tidy up first takes longer than an iteration."""

WARM = 0.2
"""Share of the samples, from the start, that are left out: allocators and caches fill up first."""


def main() -> None:
    """Prints a slope of resident memory by least squares, with its standard error, for each of them."""
    host = Host(Path(tempfile.mkdtemp(prefix="isi-bench-")))
    from comfy.utils import set_progress_bar_enabled

    set_progress_bar_enabled(False)
    share = float(os.environ.get("ISI_ENDURANCE", 1))
    models = tiny_model(), tiny_clip(), tiny_vae()
    iterations(host, models, int(ITERATIONS * share))
    jobs(host, models, int(JOBS * share))
    chains(host, models, int(JOBS * share))


def resident() -> float:
    """Megabytes that this process has in memory, without what its allocators keep for the next call."""
    gc.collect()
    if sys.platform == "linux":
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    return psutil.Process().memory_info().rss / 1e6


def measure(measured: list[float]) -> None:
    """Adds what is in memory now; between two measurements, what was there at the last."""
    due = len(measured) % EACH == 0
    measured.append(resident() if due else measured[-1])


def plan(count: int, first: int = 0) -> Any:
    """`count` steps of one sampler step, each with a seed of its own."""
    from isi.core.loop.plan import Plan, Step

    return Plan(tuple(Step("a tree", 1, 5.0, 0.6, first + number) for number in range(count)))


def iterations(host: Host, models: tuple, count: int) -> None:
    """One run of `count` iterations with its store and files, memory after each."""
    from isi.host.loop import run
    from isi.host.loop.sampling import Models, Sampling

    measured, real = [], run.send_event

    def sent(name: str, data: dict) -> None:
        real(name, data)
        host.events.clear()  # which the harness keeps, for tests to look at
        measure(measured)

    run.send_event = sent
    try:
        with torch.inference_mode():
            request = run.Request(
                Models(*models),
                Sampling("", "euler", "normal", (64, 64)),
                plan(count),
                torch.rand(1, 64, 64, 3),
            )
            run.run_plan(request, {}, {})
    finally:
        run.send_event = real
    tell("iterations", measured)


def jobs(host: Host, models: tuple, count: int) -> None:
    """`count` prompts of two iterations through the host's executor, memory after each."""
    model, clip, vae = models
    picture, measured = torch.rand(1, 64, 64, 3), []
    for number in range(count):
        host.call(
            "ISI_Iterate", model=model, clip=clip, vae=vae, plan=plan(2, 2 * number), image=picture,
            negative="", sampler_name="euler", scheduler="normal", width=64, height=64,
            run_name=f"job-{number % 10}",
        )  # fmt: skip
        host.events.clear()
        measure(measured)
    tell("jobs", measured)


def chains(host: Host, models: tuple, count: int) -> None:
    """The same work by the host's own nodes alone: what `jobs` is to be held against."""
    model, clip, vae = models
    picture, measured = torch.rand(1, 64, 64, 3), []
    for number in range(count):
        (negative,), pixels = host.call("CLIPTextEncode", clip=clip, text=""), picture
        for seed in (2 * number, 2 * number + 1):
            (positive,) = host.call("CLIPTextEncode", clip=clip, text="a tree")
            (latent,) = host.call("VAEEncode", pixels=pixels, vae=vae)
            (latent,) = host.call(
                "KSampler", model=model, seed=seed, steps=1, cfg=5.0, sampler_name="euler",
                scheduler="normal", positive=positive, negative=negative, latent_image=latent,
                denoise=0.6,
            )  # fmt: skip
            (pixels,) = host.call("VAEDecode", samples=latent, vae=vae)
        host.events.clear()
        measure(measured)
    tell("of the host's own chains", measured)


def tell(what: str, measured: list[float]) -> None:
    """The slope of what was measured after the start, in bytes."""
    late = np.array(measured[int(len(measured) * WARM) :: EACH])
    at = EACH * np.arange(len(late))
    (slope, start), covariance = np.polyfit(at, late, 1, cov=True)
    print(
        f"{len(measured):,} {what}: {slope * 1e6:+,.0f} bytes each (standard error "
        f"{covariance[0, 0] ** 0.5 * 1e6:,.0f}), from {start:,.1f} to {late[-1]:,.1f} MB"
    )
