"""The values of one axis, as text: lists, ranges, quotes, subsets.

3, 5 .. 11                          numbers: a range goes on with the step before it, else by 1
1, 2, ..., 10                       the same, as Infinity Grid writes it
euler, dpmpp_2m                     words
old, gnarled pine || young birch    with `||` on the line a comma is text
"a, b", "say \\"hi\\""                in quotes every mark is text
matrix snow | fog | at night        every subset of these, joined by `, `
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from ..language.mistakes import ScriptError
from ..language.places import BLANK, short, trim

WHERE = "Axes"
MOST_VALUES = 10_000
"""Of one axis."""
HIDDEN = "\0"
"""Stands in a mask for each character inside quotes."""

_OPENING = re.compile(rf'(?:(?<=[{BLANK}=,|:(])|^)"', re.MULTILINE)
_CLOSING = re.compile(r'"|\\.', re.DOTALL)
_DOTS = re.compile(r"(?<!\.)\.{2,4}(?!\.)")
_NUMBER = re.compile(r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]{1,3})?")
_MATRIX = re.compile(rf"matrix[{BLANK}]+")
_RANGE = object()


@dataclass(frozen=True)
class Value:
    """One value of an axis: its text, and its `offset` in all axes."""

    text: str
    offset: int


def mistake(text: str, offset: int, key: str, reason: str) -> ScriptError:
    """A mistake in axes; `key` names its kind for programs."""
    return ScriptError(text, offset, key, reason, WHERE)


def hide_quotes(text: str) -> str:
    """`text` with HIDDEN for what stands in quotes; as long as it was. Raises ScriptError.

    A quote opens at the start of a line, or after a blank or one of `= , | : (`; a backslash in it keeps the
    next character from ending it.
    """
    parts, last = [], 0
    while opening := _OPENING.search(text, last):
        at = opening.end()
        while (mark := _CLOSING.search(text, at)) and mark[0] != '"':
            at = mark.end()
        line_end = text.find("\n", opening.end())
        if mark is None or 0 <= line_end < mark.start():
            raise mistake(text, opening.start(), "open_quote", 'This quote has no end: write " after it.')
        parts += [text[last : opening.end()], HIDDEN * (mark.start() - opening.end()), '"']
        last = mark.end()
    parts.append(text[last:])
    return "".join(parts)


def unquoted(text: str) -> str:
    """What a text in quotes says."""
    return re.sub(r"\\(.)", r"\1", text[1:-1], flags=re.DOTALL)


def is_quoted(mask: str, start: int, end: int) -> bool:
    """Whether all between two trimmed offsets is one text in quotes."""
    return end - start > 1 and mask[start] == mask[end - 1] == '"' and '"' not in mask[start + 1 : end - 1]


def number(text: str) -> Decimal | None:
    """The number that a text is; None where it is none."""
    try:
        return Decimal(text.strip(BLANK)) if _NUMBER.fullmatch(text.strip(BLANK)) else None
    except InvalidOperation:
        return None


def written(one: Decimal) -> str:
    """A number without zeros that say nothing."""
    return format(one.normalize() if one else Decimal(0), "f")


def read_values(text: str, mask: str, start: int, end: int) -> tuple[Value, ...]:
    """The values between two offsets of `text`; `mask` is `hide_quotes(text)`. Raises ScriptError."""
    start, end = trim(mask, start, end)
    if matrix := _MATRIX.match(mask, start, end):
        return read_subsets(text, mask, matrix.end(), end)
    items: list[object] = []
    for first, last in _items(text, mask, start, end):
        first, last = trim(mask, first, last)
        if first == last:
            reason = 'A value is missing here; "" is an empty text.'
            raise mistake(text, first, "no_value", reason)
        items += _tokens(text, mask, first, last, "||" in mask[start:end])
    return _expanded(text, items)


def read_subsets(text: str, mask: str, start: int, end: int) -> tuple[Value, ...]:
    """Every subset of the parts between `|`, joined by `, `: the empty one first. Raises ScriptError."""
    parts = []
    for first, last in _split(mask, "|", start, end):
        first, last = trim(mask, first, last)
        if first == last:
            raise mistake(text, first, "no_part", "A part is missing here: write matrix = snow | fog.")
        parts.append(unquoted(text[first:last]) if is_quoted(mask, first, last) else text[first:last])
    if 2 ** min(len(parts), 60) > MOST_VALUES:
        reason = f"{len(parts)} parts have over {MOST_VALUES:,} subsets: write fewer."
        raise mistake(text, start, "too_many_values", reason)
    return tuple(
        Value(", ".join(part for i, part in enumerate(parts) if chosen >> i & 1), start)
        for chosen in range(2 ** len(parts))
    )


def _split(mask: str, separator: str, start: int, end: int) -> list[tuple[int, int]]:
    bounds, at = [start - len(separator)], start
    while (at := mask.find(separator, at, end)) >= 0:
        bounds.append(at)
        at += len(separator)
    bounds.append(end)
    return [(a + len(separator), b) for a, b in zip(bounds, bounds[1:], strict=False)]


def _items(text: str, mask: str, start: int, end: int) -> list[tuple[int, int]]:
    """Where the values stand: between `||` if there is one, else between commas; quotes part at both."""
    if "||" not in mask[start:end]:
        found = _split(mask, ",", start, end)
    else:
        found = []
        for first, last in _split(mask, "||", start, end):
            inner = trim(mask, first, last)
            quoted = inner[0] < inner[1] and mask[inner[0]] == '"'
            found += _split(mask, ",", first, last) if quoted else [(first, last)]
    if len(found) > 1 and not mask[slice(*found[-1])].strip(BLANK):
        found.pop()  # a comma at the end adds nothing
    return found


def _tokens(text: str, mask: str, start: int, end: int, bars: bool) -> list[object]:
    """A value, or the ends of a range with _RANGE between them; with `bars` on the line there are none."""
    if mask[start] == '"':
        if not is_quoted(mask, start, end):
            after = mask.index('"', start + 1) + 1
            after = trim(mask, after, end)[0]
            reason = f"After a quote comes a separator, not {short(text[after:end])!r}."
            raise mistake(text, after, "after_quote", reason)
        return [Value(unquoted(text[start:end]), start)]
    if not bars and (dots := _DOTS.search(mask, start, end)):
        sides = [(start, dots.start()), (dots.end(), end)]
        ends = [trim(mask, *side) for side in sides]
        if all(first == last or number(text[first:last]) is not None for first, last in ends):
            (a, b), (c, d) = ends
            before = [Value(text[a:b], a)] if a < b else []
            return [*before, (_RANGE, dots.start()), *([Value(text[c:d], c)] if c < d else [])]
    return [Value(text[start:end], start)]


def _expanded(text: str, items: list[object]) -> tuple[Value, ...]:
    """The values with their ranges filled in."""
    found: list[Value] = []
    fresh = 0  # where the numbers begin that were written, and not made by a range
    for i, item in enumerate(items):
        if isinstance(item, Value):
            if not (i and not isinstance(items[i - 1], Value)):  # the end of a range is in it
                found.append(item)
            continue
        at = item[1]  # pyright: ignore[reportIndexIssue]
        after = items[i + 1] if i + 1 < len(items) else None
        first = number(found[-1].text) if found else None
        last = number(after.text) if isinstance(after, Value) else None
        if first is None or last is None:
            raise mistake(text, at, "range_ends", "A range has a number on either side: 5 .. 11.")
        before = number(found[-2].text) if len(found) - fresh > 1 else None
        step = first - before if before is not None else Decimal(1 if last >= first else -1)
        if before is None and (last - first) % 1:
            reason = "Say the step of this range with two numbers before it: 0.5, 0.6 .. 1."
            raise mistake(text, at, "range_step", reason)
        if not step or (last - first) / step < 0:
            reason = f"A range from {written(first)} by {written(step)} never comes to {written(last)}."
            raise mistake(text, at, "range_away", reason)
        many = int((last - first) / step)
        if len(found) + many > MOST_VALUES:
            raise _too_many(text, at)
        found += [Value(written(first + k * step), at) for k in range(1, many + 1)]
        fresh = len(found)
    if len(found) > MOST_VALUES:
        raise _too_many(text, found[0].offset)
    return tuple(found)


def _too_many(text: str, at: int) -> ScriptError:
    return mistake(text, at, "too_many_values", f"An axis has at most {MOST_VALUES:,} values.")
