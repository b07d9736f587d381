"""Names of iterations: what decides an iteration's picture decides its key."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from .plan import Plan, Step, canonical

VERSION = 1
"""Part of every key: raise it when the same job would give other pictures than before."""


def root_key(environment: Any) -> str:
    """The key that a run's first step builds on. `environment` is a JSON value of all but the steps."""
    return hashed(["isi", VERSION, environment])


def step_keys(root: str, plan: Plan, facts: Sequence[Any] = ()) -> list[str]:
    """A key a step, each made of the one before it."""
    keys, previous = [], root
    for index, step in enumerate(plan.steps):
        previous = step_key(previous, step, facts[index] if facts else None)
        keys.append(previous)
    return keys


def step_key(previous: str, step: Step, facts: Any = None) -> str:
    """H(previous key, step, its facts). Equal keys mean equal pictures; labels do not count, nor from how
    many candidates a step was chosen.

    `facts` is a JSON value of what its words stand for, such as the contents of files that it names.
    """
    known = {k: v for k, v in step.to_json().items() if k not in ("label", "candidates")}
    return hashed([previous, known, facts])


def hashed(value: Any) -> str:
    """32 hex digits of a JSON value: equal ones have equal digits."""
    return hashlib.blake2b(canonical(value).encode(), digest_size=16).hexdigest()
