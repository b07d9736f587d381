"""Checks at the door: values of plans that come from files, from other people, from newer versions.

Each returns the value, or raises ValueError with a sentence that names it. Ranges are those of the widgets
that make such values.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args, get_origin

LONGEST_SIDE = 131_072
"""Pixels: the largest side that a widget can ask for."""
SIDES = (-LONGEST_SIDE, LONGEST_SIDE)
WIDEST = (-(2**63), 2**64 - 1)
SEEDS = (0, 2**64 - 1)
LONGEST_PROMPT = 1_000_000
LONGEST_NAME = 500
MOST_TEXT = 50_000_000
"""Bytes of text in a plan: it goes into manifests, messages and the front end's history."""


Limits = Mapping[str, tuple[float, float] | tuple[str, ...]]
"""Ranges or options of the fields of a value, where they are narrower than their types."""


class Newer(ValueError):
    """A value that only a later version can have written."""

    def __init__(self, what: str):
        super().__init__(f"This plan was made by a newer ISI ({what}): update ISI to open it.")


def whole(value: Any, name: str, low: int, high: int) -> int:
    """An integer from `low` to `high`."""
    if type(value) is not int or not low <= value <= high:
        raise ValueError(f"In this plan {name} is {_shown(value)}; expected a whole number {low} to {high}.")
    return value


def number(value: Any, name: str, low: float, high: float) -> float:
    """A number from `low` to `high`."""
    if type(value) not in (int, float) or not low <= value <= high:
        raise ValueError(f"In this plan {name} is {_shown(value)}; expected a number {low:g} to {high:g}.")
    return value


def text(value: Any, name: str, longest: int = LONGEST_NAME) -> str:
    """A text of at most `longest` characters."""
    if not isinstance(value, str) or len(value) > longest:
        raise ValueError(f"In this plan {name} is {_shown(value)}; expected a text of at most {longest:,}.")
    return value


def option(value: Any, name: str, options: Sequence[str]) -> str:
    """One of `options`."""
    if value not in options:
        raise ValueError(f"In this plan {name} is {_shown(value)}; expected one of {', '.join(options)}.")
    return value


def typed(value: Any, hint: Any, name: str, limits: tuple[Any, ...] | None = None) -> Any:
    """A value of the type `hint`, within `limits`: its range, or its options."""
    if hint is bool:
        if type(value) is not bool:
            raise ValueError(f"In this plan {name} is {_shown(value)}; expected true or false.")
        return value
    if hint is int:
        return whole(value, name, *(limits or WIDEST))
    if hint is float:
        return number(value, name, *(limits or WIDEST))
    if hint is str or get_origin(hint) is Literal:
        options = limits or get_args(hint)
        return option(value, name, options) if options else text(value, name)
    return tuple(value) if isinstance(value, list) else value


def record(value: Any, name: str, known: Sequence[str], needed: Sequence[str]) -> Mapping[str, Any]:
    """A JSON object with all of `needed`, and nothing but `known`. Raises Newer for more."""
    if not isinstance(value, Mapping):
        raise ValueError(f"In this plan {name} is {_shown(value)}; expected a JSON object.")
    if missing := [field for field in needed if field not in value]:
        raise ValueError(f"In this plan {name} lacks {missing[0]!r}: the file is damaged.")
    if more := [field for field in value if field not in known]:
        raise Newer(f"{name} has {_shown(more[0])}")
    return value


def items(value: Any, name: str, most: int) -> Sequence[Any]:
    """A list of at most `most`."""
    if not isinstance(value, list | tuple) or len(value) > most:
        raise ValueError(f"In this plan {name} is {_shown(value)}; expected a list of at most {most:,}.")
    return value


def check_text(size: int) -> None:
    """Raises ValueError where a plan would hold more than MOST_TEXT bytes of prompts and labels."""
    if size > MOST_TEXT:
        raise ValueError(
            f"The prompts of this plan would take {size / 1e6:,.0f} MB, more than {MOST_TEXT // 10**6}: "
            "shorten them, or repeat them fewer times."
        )


def text_size(text: str) -> int:
    """About how many bytes a text takes on disk."""
    return len(text) if text.isascii() else 3 * len(text)


def _shown(value: Any) -> str:
    """A value in a sentence."""
    if isinstance(value, str):
        return repr(value) if len(value) <= 40 else f"a text of {len(value):,} characters"
    if isinstance(value, bool | float | None):
        return f"{value}"
    if isinstance(value, int):
        return f"{value}" if abs(value) < 10**20 else "a number of many digits"
    return f"a {type(value).__name__}"
