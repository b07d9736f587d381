r"""Choices and wildcards in a text: which words there may be, and which of them a seed draws.

    {red|green} ball, {2$$oak|elm|fir}, {1-3$$ and $$a|b|c}, {.5::rare|often}, __animal__, __trees/fo*__

- Braces with a `|` of their own level, or with `$$` after a number, are a choice; pairs of `( )` and `[ ]`
  hide what is in them. Choices nest, and stand in lines of wildcard files too.
- `N$$` draws N options without drawing one twice, `N-M$$` from N to M of them (a missing end is 1, or all),
  joined by `, ` or by what stands before a second `$$`. More than there are is all of them.
- `W::` before an option is its weight; without one it weighs 1. The blanks round an option go.
- `__name__` is a line of a wildcard file; `*` stands for any characters of a name. Where it is the only
  option of a `$$` choice, its lines are the options.
- `\|` in a choice and `\__name__` are text.

A draw depends on the seed and on the place of the choice in its own text: the same seed gives the same words,
and what stands in another text changes nothing. Draws are BLAKE2b of both.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from typing import Protocol

from .nesting import Span, spans
from .places import BLANK, NUMBERS, trim

MOST_AT_ONCE = 100
DEEPEST, DEEPEST_CALLS = 20, 8
"""How deep choices nest, and wildcards call each other: together they stay within Python's stack."""
MOST_COMBINATIONS = 10_000
STAND_IN = "\ufffc"
"""Stands for what is not drawn yet; Unicode's own character for something that is no text."""

_ESCAPE = re.compile(r"\\[{}();@*|\[\]$:]")
_MANY = re.compile(
    rf"[{BLANK}]*(?:(?P<exact>[0-9]{{1,9}})|(?P<low>[0-9]{{0,9}})-(?P<high>[0-9]{{0,9}}))[{BLANK}]*\$\$"
)
_WEIGHT = re.compile(rf"[{BLANK}]*(?P<weight>[0-9]{{1,9}}(?:\.[0-9]{{0,9}})?|\.[0-9]{{1,9}})[{BLANK}]*::")
NOT_IN_NAMES = rf"[{BLANK}{{}}()|<>;:,@$\"'\[\]]"
"""What the name of a wildcard can't hold; a backslash stands in it before anything but a mark."""
WILDCARD = re.compile(
    rf"(?P<escape>\\)?__(?!_)(?P<name>(?:(?!{NOT_IN_NAMES})(?:[^_\\]|_(?!_)|\\(?![_{{}}();@*|\[\]$:\\]))){{1,200}})__"
)
_REASONS = {
    "choice_range": f"A choice draws 0 to {MOST_AT_ONCE} options, the smaller number first: {{1-3$$a|b|c}}.",
    "choice_weightless": "All options of this choice weigh 0; one must weigh more.",
    "choices_too_deep": f"Choices nest at most {DEEPEST} deep.",
}


@dataclass(frozen=True)
class Wildcard:
    """A line of the wildcards that `name` means. `at` is where it stands in the whole text."""

    at: int
    name: str


@dataclass(frozen=True)
class Option:
    """One of the things that may be drawn, and its weight (over 0)."""

    weight: float
    parts: Parts


@dataclass(frozen=True)
class Choice:
    """`least` to `most` of `options`, joined by `joint`. `at` is where it stands in the whole text."""

    at: int
    options: tuple[Option, ...]
    least: int = 1
    most: int = 1
    joint: str = ", "


Parts = tuple["str | Wildcard | Choice", ...]
"""A text with choices: words, and what is drawn."""


class Wildcards(Protocol):
    """What stands in wildcard files."""

    def options(self, name: str) -> tuple[Option, ...]:
        """The lines of all wildcards that `name` means. Raises WildcardError."""
        ...


class ChoiceError(ValueError):
    """A mistake at `offset` of the text, with a `key` for programs and a `reason`, a sentence."""

    def __init__(self, offset: int, key: str, reason: str = ""):
        self.offset, self.key, self.reason = offset, key, reason or _REASONS[key]
        super().__init__(self.reason)


class WildcardError(ValueError):
    """What is wrong with a wildcard, as a sentence; `key` names the kind of mistake."""

    def __init__(self, key: str, reason: str):
        self.key = key
        super().__init__(reason)


def choice_braces(text: str) -> dict[int, Span]:
    """The braces of a text that choose, by the offset of the opening one."""
    return _braces(_mask(text)) if "{" in text else {}


def hide_drawn(text: str) -> str:
    """`text` with STAND_IN in the place of each letter of its choices and wildcards; as long as it was."""
    parts, last = [], 0
    for start, (_, end, _) in sorted(choice_braces(text).items()):
        if start >= last:  # else it stands in another one
            parts += [text[last:start], STAND_IN * (end + 1 - start)]
            last = end + 1
    parts.append(text[last:])
    return WILDCARD.sub(lambda wild: wild[0] if wild["escape"] else STAND_IN * len(wild[0]), "".join(parts))


def _mask(text: str) -> str:
    """The text without its escaped characters, full-width digits as digits; as long as it was."""
    return _ESCAPE.sub(r"\\\\", text.translate(NUMBERS))


def _braces(mask: str) -> dict[int, Span]:
    pairs = spans(mask, "{}", ("()", "[]"), "|")
    return {pair.start: pair for pair in pairs if pair.separators or _MANY.match(mask, pair.start + 1)}


def read_choices(text: str, at: int = 0) -> Parts:
    """`text` as words, choices and wildcards; `(text,)` where there are none. Raises ChoiceError.

    `at` is where `text` begins in the whole text: offsets count from there.
    """
    if "{" not in text and "__" not in text:
        return (text,)
    mask = _mask(text)
    braces = _braces(mask)
    _check_depth(braces, at)
    return _parts(text, mask, braces, 0, len(text), at)


def _check_depth(braces: dict[int, Span], at: int) -> None:
    ends: list[int] = []
    for start in sorted(braces):
        while ends and ends[-1] < start:
            ends.pop()
        ends.append(braces[start].end)
        if len(ends) > DEEPEST:
            raise ChoiceError(at + start, "choices_too_deep")


def _parts(
    text: str, mask: str, braces: dict[int, Span], start: int, end: int, at: int, inside=False
) -> Parts:
    """The parts between two offsets; `inside` a choice the backslash of an escaped `|` goes."""
    found: list[str | Wildcard | Choice] = []
    last = start

    def words(to: int) -> None:
        if piece := text[last:to]:
            piece = piece.replace(r"\|", "|") if inside else piece
            found.append(piece)

    where = start
    marks = re.compile(r"\{|\\?__")
    while match := marks.search(mask, where, end):
        where = match.start()
        if match.group() == "{":
            pair = braces.get(where)
            if pair is None:
                where += 1
                continue
            words(where)
            found.append(_choice(text, mask, braces, pair, at))
            last = where = pair.end + 1
        elif wild := WILDCARD.match(text, where, end):
            words(where)
            found.append(wild.group()[1:] if wild["escape"] else Wildcard(at + wild.start(), wild["name"]))
            last = where = wild.end()
        else:
            where += 1
    words(end)
    return tuple(found)


def _choice(text: str, mask: str, braces: dict[int, Span], pair: Span, at: int) -> Choice:
    bounds = [pair.start, *pair.separators, pair.end]
    begins = [bound + 1 for bound in bounds[:-1]]
    least = most = 1
    joint = ", "
    many = _MANY.match(mask, begins[0], bounds[1])
    if many:
        begins[0] = many.end()
        low, high = many["exact"] or many["low"] or "1", many["exact"] or many["high"] or str(MOST_AT_ONCE)
        least, most = int(low), int(high)
        if not least <= most <= MOST_AT_ONCE:
            raise ChoiceError(at + pair.start, "choice_range")
        again = mask.find("$$", begins[0], bounds[1])
        if 0 <= again < _first_brace(mask, begins[0], bounds[1]):
            joint, begins[0] = text[begins[0] : again].replace(r"\|", "|"), again + 2
    options = []
    for start, end in zip(begins, bounds[1:], strict=True):
        weight = _WEIGHT.match(mask, start, end)
        start = weight.end() if weight else start
        start, end = trim(text, start, end)
        options.append(
            Option(
                float(weight["weight"]) if weight else 1.0, _parts(text, mask, braces, start, end, at, True)
            )
        )
    options = tuple(option for option in options if option.weight)
    if not options:
        raise ChoiceError(at + pair.start, "choice_weightless")
    return Choice(at + pair.start, options, least, most, joint)


def _first_brace(mask: str, start: int, end: int) -> int:
    found = mask.find("{", start, end)
    return end if found < 0 else found


def draws(text: str, parts: Parts) -> bool:
    """Whether the `parts` of a text say anything else than the text itself: what is drawn, or was escaped."""
    return parts != (text,)


def draw(parts: Parts, seed: int, place: str, wildcards: Wildcards) -> str:
    """The text that `seed` draws from `parts` whose place is called `place`. Raises ChoiceError.

    Wildcards must have been checked with `check`.
    """
    drawn, count = [], 0
    for part in parts:
        if isinstance(part, str):
            drawn.append(part)
            continue
        drawn.append(_drawn(part, seed, f"{place}/{count}", wildcards))
        count += 1
    return "".join(drawn)


def _drawn(part: Wildcard | Choice, seed: int, place: str, wildcards: Wildcards) -> str:
    options, least, most, joint = _said(part, wildcards)
    many = min(least + int(_unit(seed, f"{place}#") * (most - least + 1)), len(options))
    left, picked = list(range(len(options))), []
    for turn in range(many):
        picked.append(left.pop(_pick([options[i].weight for i in left], _unit(seed, f"{place}.{turn}"))))
    return joint.join(draw(options[i].parts, seed, f"{place}:{i}", wildcards) for i in picked)


def _said(part: Wildcard | Choice, wildcards: Wildcards) -> tuple[tuple[Option, ...], int, int, str]:
    """Options, least, most and joint of a choice or wildcard."""
    if isinstance(part, Wildcard):
        return _lines(part, wildcards), 1, 1, ""
    options = part.options
    alone = options[0].parts[0] if len(options) == 1 and len(options[0].parts) == 1 else None
    if isinstance(alone, Wildcard):
        options = _lines(alone, wildcards)
    return options, min(part.least, len(options)), min(part.most, len(options)), part.joint


def _lines(part: Wildcard, wildcards: Wildcards) -> tuple[Option, ...]:
    try:
        return wildcards.options(part.name)
    except WildcardError as error:
        raise ChoiceError(part.at, error.key, str(error)) from error


def _pick(weights: list[float], unit: float) -> int:
    """Which of `weights` a number from 0 to below 1 falls on."""
    reached, goal = 0.0, unit * math.fsum(weights)
    for index, weight in enumerate(weights):
        reached += weight
        if goal < reached:
            return index
    return len(weights) - 1


def _unit(seed: int, place: str) -> float:
    """A number from 0 to below 1 that depends on the seed and the place alone."""
    digest = blake2b(f"{seed}/{place}".encode(), digest_size=8).digest()
    return (int.from_bytes(digest, "little") >> 11) / 2**53


def check(parts: Parts, wildcards: Wildcards) -> None:
    """Raises ChoiceError for a wildcard that is missing, can't be read, or calls itself; with its place."""
    heights: dict[str, int] = {}
    for part in _wild(parts):
        try:
            _height(part.name, (), heights, wildcards)
        except WildcardError as error:
            raise ChoiceError(part.at, error.key, str(error)) from error


def _height(name: str, path: tuple[str, ...], known: dict[str, int], wildcards: Wildcards) -> int:
    """How deep wildcards call each other from `name` on."""
    if name in path:
        circle = " -> ".join(f"__{one}__" for one in (*path[path.index(name) :], name))
        reason = f"This wildcard calls itself: {circle}; take it out of its file."
        raise WildcardError("wildcard_circle", reason)
    if name not in known:
        called = {part.name for option in wildcards.options(name) for part in _wild(option.parts)}
        if len(path) < DEEPEST_CALLS:
            deeper = (_height(one, (*path, name), known, wildcards) for one in sorted(called))
            known[name] = 1 + max(deeper, default=0)
    if len(path) + known.get(name, 1) > DEEPEST_CALLS:
        reason = f"Wildcards call each other at most {DEEPEST_CALLS} deep."
        raise WildcardError("wildcards_too_deep", reason)
    return known[name]


def _wild(parts: Parts) -> Iterator[Wildcard]:
    for part in parts:
        if isinstance(part, Wildcard):
            yield part
        elif isinstance(part, Choice):
            for option in part.options:
                yield from _wild(option.parts)


def combinations(parts: Parts, wildcards: Wildcards) -> Iterator[str]:
    """Every text that `parts` may become, in order: the last choice changes fastest."""
    each = ([part] if isinstance(part, str) else list(_expanded(part, wildcards)) for part in parts)
    yield from map("".join, itertools.product(*each))


def _expanded(part: Wildcard | Choice, wildcards: Wildcards) -> Iterator[str]:
    options, least, most, joint = _said(part, wildcards)
    for many in range(least, most + 1):
        for picked in itertools.combinations(options, many):
            for texts in itertools.product(*(list(combinations(one.parts, wildcards)) for one in picked)):
                yield joint.join(texts)


def count(parts: Parts, wildcards: Wildcards) -> int:
    """How many texts `parts` may become; a number over MOST_COMBINATIONS where it is more than those."""
    total = 1
    for part in parts:
        if isinstance(part, str):
            continue
        options, least, most, _ = _said(part, wildcards)
        sums = [1] + [0] * most  # elementary symmetric sums: how many ways to pick so many
        for option in options:
            ways = count(option.parts, wildcards)
            for many in range(most, 0, -1):
                sums[many] = min(sums[many] + ways * sums[many - 1], MOST_COMBINATIONS + 1)
        total = min(total * sum(sums[least:]), MOST_COMBINATIONS + 1)
    return total
