"""What differs between two descriptions of where runs start, in words: why was this made again?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

MOST = 8
"""Differences that are told; more say nothing more."""


def changes(before: Any, after: Any) -> list[str]:
    """The names of all values that differ, at most `MOST`: `model: ModelSamplingFlux max_shift: 1 -> 1.15`.

    Both are JSON values as a run's manifest has them; names are the keys on the way to a value.
    """
    old, new = _flat(before), _flat(after)
    names = [
        name for name in [*new, *(name for name in old if name not in new)] if old.get(name) != new.get(name)
    ]
    # A hash says only that the rest differs.
    told = [name for name in names if not name.endswith(" key")] or names
    return [f"{name}: {old.get(name, 'absent')} -> {new.get(name, 'absent')}" for name in told[:MOST]]


def _flat(value: Any, at: str = "") -> dict[str, str]:
    if isinstance(value, Mapping):
        found: dict[str, str] = {}
        for key, inner in value.items():
            found |= _flat(inner, f"{at}: {key}" if at else str(key))
        return found
    text = value if isinstance(value, str) else repr(value)
    return {at: text if len(text) <= 60 else text[:57] + "..."}
