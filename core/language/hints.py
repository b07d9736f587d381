"""What a script may say but seldom means: told, never refused."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from .places import BLANK, line_and_column

LARGE_WEIGHT = 2.0
"""`(photo 16:9)` is seldom meant as cfg times 9."""

_ENTITY = re.compile(r"&(#[0-9]+|#[xX][0-9a-fA-F]+|[A-Za-z]{2,8})$")
_REASONS = {
    "joined_semicolon": r"This ; begins a new step; write \; if it is text, or a blank after it.",
    "entity": r"This ; ends an HTML entity and begins a new step; write the character itself, or \;.",
    "large_weight": r"The parentheses multiply this step's cfg by over 2; write \( \) if they are text.",
}


@dataclass(frozen=True)
class Hint:
    """`line` and `column` count from 1, `reason` is a sentence, `key` names the kind for programs."""

    line: int
    column: int
    key: str
    reason: str

    def __str__(self) -> str:
        return f"Script, line {self.line}, column {self.column}: {self.reason}"


def odd_places(text: str, start: int, end: int, weight: float) -> Iterator[tuple[str, int]]:
    """Kinds and offsets of what is odd about the group from `start` to the `;` or end of text at `end`."""
    if weight > LARGE_WEIGHT:
        yield "large_weight", start
    if text[end : end + 1] != ";":  # the full-width one is written without blanks
        return
    if _ENTITY.search(text[max(start, end - 10) : end]):
        yield "entity", end
    elif text[end + 1 : end + 2].strip(BLANK + ";"):
        yield "joined_semicolon", end


def hints(text: str, odd: Mapping[str, int]) -> tuple[Hint, ...]:
    """The hints for kinds of oddities and their offsets, in the order of the text."""
    return tuple(
        Hint(*line_and_column(text, at), key, _REASONS[key])
        for key, at in sorted(odd.items(), key=lambda found: found[1])
    )
