"""Which brackets of a text close, and what separates their parts; brackets without a partner are text."""

from __future__ import annotations

import re
from typing import NamedTuple


class Span(NamedTuple):
    """Offsets of an opening bracket, of its partner, and of the separators on this level between them."""

    start: int
    end: int
    separators: tuple[int, ...]


def spans(mask: str, outer: str, hides: tuple[str, ...], separators: str) -> list[Span]:
    """The pairs of the brackets `outer` ("[]") in the order of their ends.

    Pairs of `hides` ("()") hide the separators inside them. Linear in the text: whatever is still open when
    an outer pair closes was text, and its separators count for the pair round it.
    """
    opens = {pair[0]: pair for pair in (outer, *hides)}
    closes = {pair[1]: pair[0] for pair in (outer, *hides)}
    found: list[Span] = []
    waiting: list[tuple[str, int, int]] = []  # mark, offset, how many separators came before it
    apart: list[int] = []
    outers = 0
    for match in re.finditer(f"[{re.escape(''.join((outer, *hides, separators)))}]", mask):
        at, mark = match.start(), match.group()
        if mark in opens:
            waiting.append((mark, at, len(apart)))
            outers += mark == outer[0]
        elif mark == outer[1] and outers:
            while waiting[-1][0] != outer[0]:
                waiting.pop()
            _, start, before = waiting.pop()
            outers -= 1
            found.append(Span(start, at, tuple(apart[before:])))
            del apart[before:]
        elif mark in closes and mark != outer[1] and waiting and waiting[-1][0] == closes[mark]:
            del apart[waiting.pop()[2] :]
        elif mark in separators and outers:
            apart.append(at)
    return found
