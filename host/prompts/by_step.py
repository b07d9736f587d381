"""Conditioning that is for some sampler steps alone, and prompts of several parts: a patch of the model.

What a condition is for stands in the condition itself (`only_at`, `as_part`), so that it survives whatever
other nodes do with conditioning: masks, ControlNets, combining. The patch reads it at each model call.
Percents of the whole schedule, which the host offers, can't say it: two steps of a second-order sampler share
a noise level.

The sum of parts is composable diffusion (https://arxiv.org/abs/2206.01714) with any weights:
u + sum of w_i (c_i - u), which the host's cfg then makes u + cfg * sum of w_i (c_i - u).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import comfy.patcher_extension
import torch
from torch import Tensor

from ...core.loop.sigmas import TOLERANCE, step_of

KEY = "ISI_Prompt"
STEPS, PART = "isi_steps", "isi_part"
LOOKS_AHEAD = {
    "sample_heun": (1, False),
    "sample_heunpp2": (2, True),
    "sample_exp_heun_2_x0": (1, False),
    "sample_exp_heun_2_x0_sde": (1, False),
    "sample_dpm_2_ancestral": (1, False),
    "sample_dpmpp_2s_ancestral": (1, False),
    "sample_dpmpp_2s_ancestral_cfg_pp": (1, False),
}
"""Samplers that ask the model at the noise levels of later steps, or below them, before they take their step:
of how many, and whether the last level of the schedule is left out (else only a level of 0 is)."""
_TYPES = comfy.patcher_extension.WrappersMP


@dataclass(frozen=True, eq=False)
class Steps:
    """The steps (from 0) of the schedule `sigmas` `[N + 1]` at which a condition counts."""

    at: frozenset[int]
    sigmas: Tensor


def only_at(conditioning: list, steps: Iterable[int], sigmas: Tensor) -> list:
    """`conditioning` for these steps of a schedule alone, on a model that `patch` made."""
    mark = Steps(frozenset(steps), sigmas)
    return [[tensor, {**values, STEPS: mark}] for tensor, values in conditioning]


def as_part(conditioning: list, index: int, weight: float) -> list:
    """`conditioning` as one of the parts of a prompt, on a model that `patch` made."""
    return [[tensor, {**values, PART: (index, weight)}] for tensor, values in conditioning]


def patch(model: Any, parts: bool) -> Any:
    """A clone of a MODEL that heeds both; with `parts` the prediction without text is made at cfg 1 too."""
    model = model.clone()
    for kind, wrapper in (
        (_TYPES.SAMPLER_SAMPLE, _sampler_sample),
        (_TYPES.PREDICT_NOISE, _predict_noise),
        (_TYPES.CALC_COND_BATCH, _calc_cond_batch),
    ):
        model.remove_wrappers_with_key(kind, KEY)
        model.add_wrapper_with_key(kind, KEY, wrapper)
    if parts:
        model.model_options["disable_cfg1_optimization"] = True
    return model


class Clock:
    """Where one sampling run is."""

    def __init__(self, sigmas: Tensor, sampler: Any):
        self.sigmas = sigmas.detach().clone().cpu()  # uni_pc writes into its schedule
        name = getattr(getattr(sampler, "sampler_function", None), "__name__", "")
        self.reach, self.skips_last = LOOKS_AHEAD.get(name, (0, False))
        self.taken, self.calls = -1, 0  # the last step that was reported, and calls since
        self.sigma = self.sigmas[0]
        self.negative: frozenset = frozenset()

    def call(self, sigma: Tensor) -> None:
        self.calls += 1
        self.sigma = sigma.detach().cpu()

    def report(self, step: int) -> None:
        self.taken, self.calls = step, 0

    def step(self, sigmas: Tensor) -> int:
        """The step of the schedule `sigmas` that the sampler is in."""
        now = self.sigma
        if self.taken >= 0 and self.reach:
            ahead = self.sigmas[self.taken + 1 : self.taken + 1 + self.reach]
            end = self.sigmas[-1] if self.skips_last else 0
            if self.calls <= int((ahead != end).sum()):
                now = self.sigmas[self.taken]
        own = len(sigmas) == len(self.sigmas)
        return int(step_of(now, self.sigmas if own else sigmas))

    def check(self, sigmas: Tensor) -> None:
        """Raises ValueError for a run on another schedule than `sigmas`, or on no part of it."""
        if len(sigmas) == len(self.sigmas):
            return
        known = sigmas.cpu()
        for sigma in self.sigmas[:-1]:
            if not bool(((known - sigma).abs() <= TOLERANCE * sigma.abs()).any()):
                raise ValueError(
                    f"This prompt was timed for {len(sigmas) - 1} steps, and another schedule of "
                    f"{len(self.sigmas) - 1} is sampled: connect the same SIGMAS to both."
                )


def _sampler_sample(executor, guider, sigmas, extra_args, callback, *args, **kwargs):
    """A SAMPLER_SAMPLE wrapper: each run has a clock of its own."""
    clock = Clock(sigmas, executor.class_obj)
    for conds in guider.conds.values():
        for mark in {id(c[STEPS]): c[STEPS] for c in conds if STEPS in c}.values():
            clock.check(mark.sigmas)
    clock.negative = frozenset(cond["uuid"] for cond in guider.conds.get("negative") or ())
    extra_args["model_options"].setdefault("transformer_options", {})[KEY] = clock

    def report(step, *shown):
        clock.report(step)
        if callback is not None:
            callback(step, *shown)

    return executor(guider, sigmas, extra_args, report, *args, **kwargs)


def _predict_noise(executor, x, timestep, model_options, *args, **kwargs):
    """A PREDICT_NOISE wrapper: counts the calls of the sampler, however many tiles make of one."""
    clock = model_options.get("transformer_options", {}).get(KEY)
    if clock is not None:
        clock.call(timestep[0])
    return executor(x, timestep, model_options, *args, **kwargs)


def _calc_cond_batch(executor, model, conds, x_in, timestep, model_options):
    """A CALC_COND_BATCH wrapper: leaves out what is for other steps, and adds parts up."""
    clock = model_options.get("transformer_options", {}).get(KEY)
    if clock is None:
        return executor(model, conds, x_in, timestep, model_options)
    steps: dict[int, int] = {}

    def counts(cond: dict) -> bool:
        mark = cond.get(STEPS)
        if mark is None:
            return True
        if id(mark.sigmas) not in steps:
            steps[id(mark.sigmas)] = clock.step(mark.sigmas)
        return steps[id(mark.sigmas)] in mark.at

    conds = [cond if cond is None else [one for one in cond if counts(one)] for cond in conds]
    if not any(PART in one for cond in conds for one in cond or ()):
        return executor(model, conds, x_in, timestep, model_options)
    lists: list = []
    owners: list[list[tuple[int, float]]] = []  # of each list of `conds` its parts: place in `lists`, weight
    for cond in conds:
        weights = {one[PART][0]: one[PART][1] for one in cond or () if PART in one}
        if not weights:
            owners.append([(len(lists), 1.0)])
            lists.append(cond)
            continue
        several = cond or ()
        shared = [one for one in several if PART not in one]
        owners.append([])
        for index, weight in sorted(weights.items()):
            owners[-1].append((len(lists), weight))
            lists.append([one for one in several if PART in one and one[PART][0] == index] + shared)
    found = executor(model, lists, x_in, timestep, model_options)
    without = next((i for i, cond in enumerate(conds) if cond and _is_negative(cond, clock)), None)
    if without is None:
        raise ValueError(
            "A prompt with AND is guided away from a negative one, and this guider has none: use CFGGuider, "
            "KSampler or ISI Compose Guider."
        )
    base = found[owners[without][0][0]]
    return [_sum(found, parts, base, cond) for parts, cond in zip(owners, conds, strict=True)]


def _is_negative(cond: list[dict], clock: Clock) -> bool:
    return any(one.get("uuid") in clock.negative for one in cond)


def _sum(found: list[Tensor], parts: list[tuple[int, float]], base: Tensor, cond: list | None) -> Tensor:
    if not any(PART in one for one in cond or ()):
        return found[parts[0][0]]
    total = torch.zeros_like(base)
    for index, weight in parts:
        total += weight * (found[index] - base)
    return base + total
