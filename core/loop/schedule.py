"""From a script to a plan: denoise and seed of every step.

The denoise curves are those of A1111's loopback script: s0 + (s1 - s0) f(p), p = i / (n - 1).
"""

from __future__ import annotations

import math
from dataclasses import replace
from hashlib import blake2b
from typing import Literal, get_args

from ..language.choices import Wildcards
from ..language.resolve import Worded, as_written, check_wildcards, drawn, drawn_text, every
from ..language.script import Script
from ..language.wildcards import WildcardFiles
from .door import check_text, text_size
from .plan import MOST_STEP_CFG, Plan, Step

Curve = Literal["constant", "linear", "aggressive", "lazy"]
SeedMode = Literal["increment", "fixed", "hashed"]
Choosing = Literal["random", "all"]
CURVES: tuple[Curve, ...] = get_args(Curve)
SEED_MODES: tuple[SeedMode, ...] = get_args(SeedMode)
CHOOSING: tuple[Choosing, ...] = get_args(Choosing)
NO_WILDCARDS = WildcardFiles(())

_SHAPES = {
    "linear": lambda p: p,
    "aggressive": lambda p: math.sin(p * math.pi / 2),
    "lazy": lambda p: 1 - math.cos(p * math.pi / 2),
}


def denoise_curve(kind: Curve, start: float, final: float, count: int) -> list[float]:
    """Denoise of each of `count` steps, from `start` to `final` (both 0..1); one step gets `start`.

    "aggressive" makes most of its way early, "lazy" late, "constant" ignores `final`. The ends are exact.
    """
    if kind == "constant" or count == 1:
        return [start] * count
    shape, last = _SHAPES[kind], count - 1
    return [start + (final - start) * shape(i / last) for i in range(last)] + [final]


def parse_denoise(text: str) -> tuple[float, ...]:
    """The denoise values of "0.5, 0.35": one for all steps, or one a step. Raises ValueError."""
    try:
        values = tuple(float(part) for part in text.replace(";", ",").split(",") if part.strip())
    except ValueError:
        values = ()
    if not values or not all(0 <= value <= 1 for value in values):
        raise ValueError(
            f"The denoise {text[:40]!r} can't be read: write a number from 0 to 1, or one for each step with "
            "commas between, such as 1.0, 0.8."
        )
    return values


def seeds(seed: int, mode: SeedMode, count: int) -> list[int]:
    """Seed (0..2^64-1) of each of `count` steps.

    "increment": seed + i mod 2^64; "fixed": the same; "hashed": unrelated ones, BLAKE2b(seed, i), so that
    runs of neighbouring seeds share none.
    """
    if mode == "increment":
        return [(seed + i) % 2**64 for i in range(count)]
    if mode == "fixed":
        return [seed] * count
    return [_hashed(seed, i) for i in range(count)]


def _hashed(seed: int, index: int) -> int:
    digest = blake2b(seed.to_bytes(8, "little") + index.to_bytes(8, "little"), digest_size=8)
    return int.from_bytes(digest.digest(), "little")


def worded(
    script: Script,
    seed: int,
    seed_mode: SeedMode,
    choices: Choosing,
    wildcards: Wildcards,
    most: int | None = None,
) -> tuple[int, list[tuple[Worded, int]]]:
    """How many steps a script has, and of the first `most` (None: all) what each says, with its seed.

    Choices are drawn from each step's seed ("random"), or each combination of them is a step ("all"). Raises
    ScriptError.
    """
    check_wildcards(script, wildcards)
    said = every(script, wildcards) if choices == "all" else as_written(script)
    found = []
    for one, own in zip(said[:most], seeds(seed, seed_mode, len(said[:most])), strict=True):
        own = own if one.group.seed is None else one.group.seed
        found.append((drawn(script, one, own, wildcards), own))
    return len(said), found


def with_negatives(plan: Plan, negative: str, wildcards: Wildcards) -> Plan:
    """`plan` with the negative that each step's seed draws from `negative`; itself where nothing is drawn.

    A step that has a negative of its own keeps it. Raises ScriptError.
    """
    where = "Negative"
    if drawn_text(negative, 0, wildcards, where) is negative:
        return plan
    steps = (
        step
        if step.negative is not None
        else replace(step, negative=drawn_text(negative, step.seed, wildcards, where))
        for step in plan.steps
    )
    return replace(plan, steps=tuple(steps))


def make_plan(
    script: Script,
    steps: int,
    cfg: float,
    denoise: float,
    final_denoise: float,
    curve: Curve,
    seed: int,
    seed_mode: SeedMode,
    choices: Choosing = "random",
    wildcards: Wildcards = NO_WILDCARDS,
) -> Plan:
    """A plan with a step for each group of `script`, labelled with the group's own text.

    A group's settings go before the curve, the seeds and the numbers given here; its weight multiplies
    whichever cfg it has. Choices are drawn from each step's seed ("random"), or each combination of them is a
    step ("all"). Raises ValueError for a script without steps, and for a cfg over 100, and ScriptError.
    """
    groups = script.groups
    if not groups:
        raise ValueError(
            "The script has no steps: expected at least one prompt, came a blank text. "
            "Write into the script of ISI Script, for example: {oil painting} dawn; noon; dusk"
        )
    # Said before it is made: each step's prompt repeats the global one.
    shared = text_size(script.global_prompt)
    check_text(sum(shared + 2 * text_size(group.text) for group in groups))
    count, said = worded(script, seed, seed_mode, choices, wildcards)
    curve_values = denoise_curve(curve, denoise, final_denoise, count)
    made, groups = [], []
    for i, (one, own) in enumerate(said):
        group = one.group
        groups.append(group)
        made.append(
            Step(
                prompt=one.prompt,
                steps=steps if group.steps is None else group.steps,
                cfg=(cfg if group.cfg is None else group.cfg) * group.weight,
                denoise=curve_values[i] if group.denoise is None else group.denoise,
                seed=own,
                label=group.text,
                negative=group.negative,
                sampler=group.sampler,
                scheduler=group.scheduler,
                control=group.control,
                candidates=group.candidates,
            )
        )
    for i, (step, group) in enumerate(zip(made, groups, strict=True), 1):
        if step.cfg > MOST_STEP_CFG:
            raise ValueError(
                f"Step {i} of the script ({group.text[:40]!r}): expected a cfg of at most {MOST_STEP_CFG:g}, "
                f"came {step.cfg:g} (its weight {group.weight:g} multiplies cfg). "
                "Lower one of them in ISI Script."
            )
    return Plan(tuple(made))
