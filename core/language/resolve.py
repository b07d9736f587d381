"""The words of each step: what a seed draws from a script's choices, or every combination of them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from .choices import (
    MOST_COMBINATIONS,
    ChoiceError,
    Parts,
    Wildcards,
    check,
    combinations,
    count,
    draw,
    draws,
    read_choices,
)
from .mistakes import ScriptError
from .script import Group, Script, clean

TOO_MANY = (
    f"All combinations of the choices make over {MOST_COMBINATIONS:,} steps: set `choices` to random, or "
    "take options out."
)


@dataclass(frozen=True)
class Worded:
    """One step's group, the whole of its prompt, and which group of the script it is (from 0)."""

    group: Group
    prompt: str
    number: int


def as_written(script: Script) -> tuple[Worded, ...]:
    """The steps of a script before anything is drawn."""
    prompts = {group.text: group.prompt(script.global_prompt) for group in script.groups}
    return tuple(Worded(group, prompts[group.text], i) for i, group in enumerate(script.groups))


def check_wildcards(script: Script, wildcards: Wildcards) -> None:
    """Raises ScriptError for a wildcard that is missing, can't be read, or calls itself."""
    seen: set[int] = set()
    for parts in (part for group in script.groups for part in _slots(script, group)):
        if id(parts) not in seen:  # repeats of a group share them
            seen.add(id(parts))
            with _in(script.source):
                check(parts, wildcards)


def drawn(script: Script, said: Worded, seed: int, wildcards: Wildcards) -> Worded:
    """A step with the words that its seed draws; the very same where it draws none. Raises ScriptError."""
    slots = _slots(script, said.group)
    if not any(slots):
        return said
    places = *(f"global {i}" for i in range(len(slots) - 2)), "local", "negative"
    with _in(script.source):
        texts = [draw(parts, seed, place, wildcards) for parts, place in zip(slots, places, strict=True)]
    return _filled(script, said, texts)


def every(script: Script, wildcards: Wildcards) -> tuple[Worded, ...]:
    """Every combination of each group's choices, a step each: the last choice changes fastest.

    Raises ScriptError where they make more than MOST_COMBINATIONS steps.
    """
    found: list[Worded] = []
    for said in as_written(script):
        slots = _slots(script, said.group)
        if not any(slots):
            found.append(said)
            continue
        with _in(script.source):
            many = math.prod(count(parts, wildcards) for parts in slots)
            if len(found) + many > MOST_COMBINATIONS:
                at = min(part.at for parts in slots for part in parts if not isinstance(part, str))
                raise ChoiceError(at, "too_many_combinations", TOO_MANY)
            each = (list(combinations(parts, wildcards)) for parts in slots)
            found += [_filled(script, said, texts) for texts in itertools.product(*each)]
    return tuple(found)


def drawn_text(text: str, seed: int, wildcards: Wildcards, where: str) -> str:
    """A prompt outside of a script with the words that `seed` draws; the very same where it draws none.

    Raises ScriptError, which calls the text `where`.
    """
    with _in(text, where):
        parts = read_choices(text)
        if not draws(text, parts):
            return text
        check(parts, wildcards)
        return draw(parts, seed, "local", wildcards)


def _slots(script: Script, group: Group) -> tuple[Parts, ...]:
    """What is drawn in the global groups, in the group's own text, and in its negative."""
    return *script.global_parts, group.parts, group.negative_parts


def _filled(script: Script, said: Worded, texts: Sequence[str]) -> Worded:
    """A step with the texts of its group's slots."""
    *shared, local, negative = map(clean, texts)
    group = said.group
    group = replace(
        group,
        text=local if group.parts else group.text,
        negative=negative if group.negative_parts else group.negative,
        parts=(),
        negative_parts=(),
    )
    common = ", ".join(filter(None, shared)) if script.global_parts else script.global_prompt
    return Worded(group, group.prompt(common), said.number)


@contextmanager
def _in(text: str, where: str = "Script") -> Iterator[None]:
    """Has mistakes in choices say where in the text they are."""
    try:
        yield
    except ChoiceError as error:
        raise ScriptError(text, error.offset, error.key, error.reason, where) from error
