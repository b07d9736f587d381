"""Which cells a grid leaves out: `skip = cfg > 9 and (sampler_name = euler or not seed < 3)`.

A name is an axis: its label, its name, or its widget alone. It is compared with a number or a text by
`= != < <= > >=`; `==` is `=`. `and` binds closer than `or`. Texts with marks or these words stand in quotes.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from ..language.places import BLANK, short
from .values import Value, mistake, number, unquoted

DEEPEST = 50
"""How deep parentheses may nest."""

_TOKEN = re.compile(
    rf'[{BLANK}]*(?:(?P<mark>[()]|<=|>=|!=|==|=|<|>)|(?P<quote>"\0*")|(?P<word>[^{BLANK}()<>=!"]+|.))'
)
_COMPARE: dict[str, Callable[[Decimal, Decimal], bool]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip
_ORDERS = ", ".join(_COMPARE)

Rule = Callable[[Sequence[int]], bool]
"""Tells from the number of each axis's value whether a cell is left out."""
Known = Sequence[tuple[str, str, tuple[Value, ...]]]
"""The title, the name and the values of each axis."""


@dataclass(frozen=True)
class _Token:
    kind: str
    start: int
    end: int


def read_rule(text: str, mask: str, start: int, end: int, axes: Known) -> Rule:
    """The rule between two offsets of `text`; `mask` hides what is in quotes. Raises ScriptError."""
    return _Reader(text, mask, start, end, axes).rule()


class _Reader:
    def __init__(self, text: str, mask: str, start: int, end: int, axes: Known):
        self.text, self.axes, self.end = text, axes, end
        self.tokens: list[_Token] = []
        while start < end and (found := _TOKEN.match(mask, start, end)):
            kind = found.lastgroup or ""
            word = found[kind]
            kind = word if kind == "mark" or word in ("and", "or", "not") else kind
            self.tokens.append(_Token(kind, *found.span(found.lastgroup or 0)))
            start = found.end()
        self.at = self.depth = 0

    def rule(self) -> Rule:
        found = self._any()
        if self.at < len(self.tokens):
            raise self._wrong("rule_end", "Expected and, or, or the end of the line")
        return found

    def _next(self, *kinds: str) -> _Token | None:
        if self.at < len(self.tokens) and self.tokens[self.at].kind in kinds:
            self.at += 1
            return self.tokens[self.at - 1]
        return None

    def _wrong(self, key: str, expected: str) -> Exception:
        if self.at < len(self.tokens):
            token = self.tokens[self.at]
            came, offset = repr(short(self.text[token.start : token.end])), token.start
        else:
            came, offset = "the end of the line", self.end
        return mistake(self.text, offset, key, f"{expected}; came {came}.")

    def _any(self) -> Rule:
        sides = [self._all()]
        while self._next("or"):
            sides.append(self._all())
        return sides[0] if len(sides) == 1 else lambda cell: any(side(cell) for side in sides)

    def _all(self) -> Rule:
        sides = [self._one()]
        while self._next("and"):
            sides.append(self._one())
        return sides[0] if len(sides) == 1 else lambda cell: all(side(cell) for side in sides)

    def _one(self) -> Rule:
        self.depth += 1
        if self.depth > DEEPEST:
            raise self._wrong("rule_deep", f"A skip rule nests at most {DEEPEST} deep")
        if self._next("not"):
            inner = self._one()
            found: Rule = lambda cell: not inner(cell)  # noqa: E731
        elif self._next("("):
            found = self._any()
            if not self._next(")"):
                raise self._wrong("rule_open", "Expected ) for the ( before")
        else:
            found = self._comparison()
        self.depth -= 1
        return found

    def _comparison(self) -> Rule:
        first, name = self._operand("rule_axis", "Expected the name of an axis")
        axis = self._axis(first, name)
        sign = self._next("=", "==", "!=", *_COMPARE)
        if sign is None:
            raise self._wrong("rule_sign", "Expected = != < <= > or >= after the name of an axis")
        at, wanted = self._operand("rule_value", "Expected a number or a text")
        values, limit = self.axes[axis][2], number(wanted)
        if sign.kind in _COMPARE:
            if limit is None:
                reason = f"{_ORDERS} compare numbers, and {short(wanted)!r} is none."
                raise mistake(self.text, at.start, "rule_number", reason)
            order = _COMPARE[sign.kind]
            numbers = [number(value.text) for value in values]
            holds = [one is not None and order(one, limit) for one in numbers]
        else:
            equal = [_equal(value.text, wanted, limit) for value in values]
            holds = [not one for one in equal] if sign.kind == "!=" else equal
        return lambda cell: holds[cell[axis]]

    def _operand(self, key: str, expected: str) -> tuple[_Token, str]:
        """A text in quotes, or all words up to the next mark."""
        if quote := self._next("quote"):
            return quote, unquoted(self.text[quote.start : quote.end])
        first = last = self._next("word")
        if first is None or last is None:
            raise self._wrong(key, expected)
        while more := self._next("word"):
            last = more
        return first, self.text[first.start : last.end]

    def _axis(self, token: _Token, name: str) -> int:
        wanted = name.casefold()
        ways: tuple[Callable[[str, str], str], ...] = (
            lambda title, _: title,
            lambda _, name: name,
            lambda _, name: name.rpartition(".")[2],
        )
        for way in ways:
            found = [i for i, axis in enumerate(self.axes) if way(*axis[:2]).casefold() == wanted]
            if len(found) == 1:
                return found[0]
            if found:
                reason = f"{short(name)!r} may be {len(found)} axes: give them labels, such as | label: A."
                raise mistake(self.text, token.start, "rule_two_axes", reason)
        names = ", ".join(dict.fromkeys(axis[0] for axis in self.axes))
        reason = f"{short(name)!r} is no axis of this grid; it has {names}."
        raise mistake(self.text, token.start, "rule_no_axis", reason)


def _equal(text: str, wanted: str, limit: Decimal | None) -> bool:
    one = number(text)
    return one == limit if one is not None and limit is not None else text.casefold() == wanted.casefold()
