"""What the loop costs beyond sampling, and how that grows with the number of iterations.

Compares ISI_Iterate's engine with a hand-written Python loop over the host's own sampler, VAE and text
encoder on the tiny test models, in turn and in one run: ratios, since machines are noisy.
"""

from __future__ import annotations

import gc
import resource
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from ..tests.host.harness import Host
from ..tests.host.tiny import tiny_clip, tiny_model, tiny_vae


def main() -> None:
    Host(Path(tempfile.mkdtemp(prefix="isi-bench-")))
    from comfy.utils import set_progress_bar_enabled

    set_progress_bar_enabled(False)
    rig = Rig(tiny_model(), tiny_clip(), tiny_vae())
    with torch.inference_mode():
        overhead(rig)
        stored(rig)
        growth(rig)


class Rig:
    """The same run by the engine and by hand."""

    def __init__(self, model: Any, clip: Any, vae: Any):
        self.model, self.clip, self.vae = model, clip, vae

    def plan(self, count: int, steps: int):
        from isi.core.loop.plan import Plan, Step

        return Plan(tuple(Step("a tree", steps, 5.0, 0.6, seed) for seed in range(count)))

    def engine(self, plan, picture) -> float:
        """Seconds of the engine with the store off: nothing is written."""
        from isi.core.loop.engine import Job, iterate
        from isi.core.loop.keys import root_key, step_keys
        from isi.core.store.store import Store
        from isi.host.loop.progress import Progress
        from isi.host.loop.sampling import Models, Sampling, StepSampler

        began = time.perf_counter()
        progress = Progress(sum(step.steps for step in plan.steps), self.model)
        models = Models(self.model, self.clip, self.vae)
        sampler = StepSampler(plan, models, Sampling("", "euler", "normal", (64, 64)), {}, progress)
        job = Job(plan, picture)
        iterate(job, step_keys(root_key(0), plan), sampler, Store(Path(), 0), lambda iteration: None)
        return time.perf_counter() - began

    def node(self, plan, picture) -> float:
        """Seconds of all that ISI_Iterate does: fingerprints, store, PNG files, messages."""
        from isi.host.loop.run import Request, run_plan
        from isi.host.loop.sampling import Models, Sampling

        began = time.perf_counter()
        models = Models(self.model, self.clip, self.vae)
        run_plan(Request(models, Sampling("", "euler", "normal", (64, 64)), plan, picture), {}, {})
        return time.perf_counter() - began

    def by_hand(self, plan, picture) -> float:
        """Seconds of the loop that one would write over the host's functions."""
        import comfy.sample

        began = time.perf_counter()
        encode = self.clip.encode_from_tokens_scheduled
        positive, negative = (encode(self.clip.tokenize(text)) for text in ("a tree", ""))
        for step in plan.steps:
            latent = self.vae.encode(picture)
            noise = comfy.sample.prepare_noise(latent, step.seed)
            latent = comfy.sample.sample(
                self.model, noise, step.steps, step.cfg, "euler", "normal", positive, negative, latent,
                denoise=step.denoise, seed=step.seed, disable_pbar=True,
            )  # fmt: skip
            picture = self.vae.decode(latent)
        return time.perf_counter() - began


def fresh(size: int) -> torch.Tensor:
    """A picture that no earlier run has seen."""
    return torch.rand(1, size, size, 3)


def overhead(rig: Rig, rounds: int = 2) -> None:
    """Processor time, the least of some rounds of each, taken in turn: other work must not count."""
    plan = rig.plan(50, 4)
    rig.by_hand(plan, fresh(64))
    ours, by_hand = [], []
    for _ in range(rounds):
        ours.append(busy(rig.engine, plan, fresh(64)))
        by_hand.append(busy(rig.by_hand, plan, fresh(64)))
    ratio = min(ours) / min(by_hand)
    print(f"store off, 50 iterations of 4 steps at 64 px: {ratio:.3f} x the hand-written loop")


def stored(rig: Rig, rounds: int = 1) -> None:
    """Wall time, since writing waits for the disk."""
    plan = rig.plan(2, 20)
    ours = min(rig.node(plan, fresh(512)) for _ in range(rounds))
    by_hand = min(rig.by_hand(plan, fresh(512)) for _ in range(rounds))
    print(f"store on, 2 iterations of 20 steps at 512 px: {ours / by_hand:.3f} x the hand-written loop")


def busy(run, *inputs) -> float:
    """Seconds of processor time of a call."""
    began = time.process_time()
    run(*inputs)
    return time.process_time() - began


def growth(rig: Rig) -> None:
    """Time an iteration and peak memory at N = 50, 200, 1000 with one step: linear means equal."""
    costs, memory = {}, {}
    for count in (50, 200, 1000):
        costs[count] = busy(rig.engine, rig.plan(count, 1), fresh(16)) / count
        gc.collect()
        memory[count] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print("time an iteration relative to N = 50:", {n: round(c / costs[50], 2) for n, c in costs.items()})
    print("peak memory relative to N = 50:", {n: round(m / memory[50], 3) for n, m in memory.items()})
