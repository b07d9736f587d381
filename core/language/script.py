r"""The script language: prompts for a loop of steps, written as one text.

    {oil painting, harbour} dawn; (noon:1.3); ((dusk)) @denoise=.4; night *3

Groups
- `;` separates local groups, one step each. A trailing `;` adds nothing; an empty group is a step with the
  global group alone. A text that only has a global group is one step of it; a blank text has no steps.
- `{ }` holds the global group, which joins every step: `global, local`. It may stand anywhere, also in
  the middle of a local group (where it leaves one space); several are joined by `, ` in their order. They
  do not nest, and hold no `;`.
- Braces with a `|` of their own level, or with `$$` after a number, are a choice (`choices.py`), in the
  global group too. `__name__` is a line of a wildcard file.

Weights
- Parentheses around a whole local group weigh it and leave the prompt: `(x:1.3)` weighs 1.3, a bare pair
  1.1; nested pairs multiply, so `((x):1.3)` weighs 1.43. The weight multiplies the step's cfg.
- Parentheses around a part are the host's emphasis and stay: `a, (b:1.2)`, `(a, b), c`, `(a)(b)` weigh 1.
  So do all parentheses in the global group.
- As in the host, what follows a colon is a weight only if it is a number: `(a:b)` weighs 1.1. A weight is
  0.01 to 100.

Settings, at a group's end, in any order, each once
- `@denoise=.4` (0 to 1), `@cfg=6` (0 to 100), `@seed=7` (0 to 2^64-1), `@steps=12` (1 to 10000),
  `@control=.5` (0 to 10), the strength of the loop's ControlNets.
- `@negative="blurry; grey"` (or one word without quotes), `@sampler=heun`, `@scheduler=karras`. In the quotes
  no mark counts but those of a choice, and `\"` is a quote.
- `*3` repeats the group (1 to 100000). Directly after a digit it is text (`512*768`), as is a `*` elsewhere.
- `*4?` samples the step with 4 seeds (1 to 64), its candidates, one of which the run goes on with; `*3 *4?`
  does so in each of 3 steps.
- `@name` without `=` is text, unless it is one of the five first names.

Characters
- A backslash makes `{ } ; @ *` text and goes; `\(` and `\)` stay as they are, for the host's tokenizer reads
  the same escapes. Any other backslash is text.
- Full-width `｛｝；（）：＠＝＊` are read as ASCII, in the prompt too; so are full-width `．` and digits
  in numbers, and `？` after them.
- A line break is one space, together with the blanks around it. Ends of groups are trimmed.
- Lines and columns of errors count from 1; a column is one code point.

What is allowed but seldom meant is hinted at: a `;` with no blank after it (`steins;gate`), one that ends an
HTML entity (`&amp;`), a weight over 2 (`(photo 16:9)`). The full-width `；` is written without blanks.

Parsing takes time linear in the text, which has at most 1,000,000 characters.
"""

from __future__ import annotations

import re
from collections.abc import Container
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, NamedTuple

from .choices import ChoiceError, Parts, choice_braces, draws, read_choices
from .hints import Hint, hints, odd_places
from .mistakes import ScriptError
from .places import BLANK, NUMBERS, number_text, short, trim
from .prompts import check_prompt
from .settings import Names, hide_quoted, read_settings, refuse_settings

BARE_WEIGHT = 1.1
WEIGHT_RANGE = (0.01, 100.0)
MOST_STEPS = 1_000_000
"""How many steps repeats may make: a slip of the finger must not fill the memory."""

LONGEST_SCRIPT = 1_000_000
"""Characters of a script: it is read each time that the graph is queued, while the server waits."""

_FULL_WIDTH = str.maketrans("｛｝；（）：＠＝＊", "{};():@=*")
_ESCAPE = re.compile(r"\\[{}();@*]")
_ESCAPE_THAT_GOES = re.compile(r"\\([{};@*])")
_BLANKS = re.compile(f"[{BLANK}]+")
_STRUCTURE = re.compile(r"[{}();]")
_NUMBER = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?")
# What nobody writes after a colon except as a number: `(x:)`, `(x:1,3)`, `(x:nan)`.
_MEANT_AS_NUMBER = re.compile(r"|[-+.0-9][-+.,0-9eE]*|[-+]?(nan|inf|infinity)", re.IGNORECASE)


@dataclass(frozen=True)
class Group:
    """One step: its local text, its weight, and the settings that it has of its own (None: the plan's).

    `parts` and `negative_parts` are what is drawn anew in each step: empty where nothing is.
    """

    text: str
    weight: float = 1.0
    denoise: float | None = None
    cfg: float | None = None
    seed: int | None = None
    steps: int | None = None
    negative: str | None = None
    sampler: str | None = None
    scheduler: str | None = None
    control: float | None = None
    candidates: int | None = None
    parts: Parts = ()
    negative_parts: Parts = ()

    def prompt(self, global_prompt: str) -> str:
        """What the text encoder gets: `global, local` with one comma, or the one that is not empty."""
        if not global_prompt or not self.text:
            return global_prompt or self.text
        parts = global_prompt.rstrip(BLANK + ","), self.text.lstrip(BLANK + ",")
        return ", ".join(filter(None, parts))


@dataclass(frozen=True)
class Script:
    """A parsed script. Repeats are expanded: one group a step. `hints` has the first of each kind.

    `global_parts` has what each global group draws, and is empty where none does; `source` is the text.
    """

    global_prompt: str
    groups: tuple[Group, ...]
    hints: tuple[Hint, ...] = ()
    global_parts: tuple[Parts, ...] = ()
    source: str = field(default="", compare=False, repr=False)


def parse(text: str, names: Names = MappingProxyType({})) -> Script:
    """The script that `text` says, by the rules at the top of this module. Raises ScriptError.

    `names` has the samplers and schedulers that there are, as far as they are known.
    """
    if len(text) > LONGEST_SCRIPT:
        reason = f"A script has at most {LONGEST_SCRIPT:,} characters, and this one has {len(text):,}."
        raise ScriptError(text, 0, "too_long", reason)
    # Each of these strings is as long as `text`, so that one offset serves them all.
    plain = text.translate(_FULL_WIDTH)
    harmless = hide_quoted(text, plain)
    mask = _ESCAPE.sub(r"\\\\", harmless.translate(NUMBERS))  # escaped characters stop being structure
    choices = choice_braces(harmless)
    shape = _structure(text, mask, choices)
    for start, end in shape.braces:
        refuse_settings(text, mask, start, end)
    global_texts = [clean(plain[start + 1 : end]) for start, end in shape.braces]
    global_parts = [_choices(text, plain, start + 1, end) for start, end in shape.braces]
    shared_draws = any(
        draws(plain[start + 1 : end], parts)
        for (start, end), parts in zip(shape.braces, global_parts, strict=True)
    )
    plain, mask = (_without(shape.braces, s) for s in (plain, mask))

    groups: list[Group] = []
    odd: dict[str, int] = {}  # kinds of hints, and where each first comes
    for i, (start, end) in enumerate(shape.groups):
        group, repeat, blank = _group(text, plain, mask, start, end, shape.pairs, names)
        alone = i == 0 and any(global_texts)
        if blank and i == len(shape.groups) - 1 and not alone:
            continue  # nothing after the last `;`
        if len(groups) + repeat > MOST_STEPS:
            at, reason = trim(mask, start, end)[0], f"The repeats make over {MOST_STEPS:,} steps."
            raise ScriptError(text, at, "too_many_steps", reason)
        groups += [group] * repeat
        for key, at in odd_places(text, trim(mask, start, end)[0], end, group.weight):
            odd.setdefault(key, at)
    drawn = tuple(global_parts) if shared_draws else ()
    return Script(", ".join(filter(None, global_texts)), tuple(groups), hints(text, odd), drawn, text)


def _choices(text: str, plain: str, start: int, end: int, at: int = 0) -> Parts:
    """What is drawn between two offsets of `plain`, which begins at `at` of `text`. Raises ScriptError.

    What is said while a step is sampled is checked as well, as far as it is known before anything is drawn.
    """
    words = plain[start:end]
    try:
        parts = read_choices(words, at + start)
    except ChoiceError as error:
        raise ScriptError(text, error.offset, error.key, error.reason) from error
    try:
        check_prompt(words)
    except ScriptError as error:
        raise ScriptError(text, at + start + error.offset, error.key, error.reason) from error
    return parts


class _Shape(NamedTuple):
    """Offsets: braces and parentheses open..close, groups start..end."""

    braces: list[tuple[int, int]]
    pairs: dict[int, int]
    groups: list[tuple[int, int]]


def _structure(text: str, mask: str, choices: Container[int]) -> _Shape:
    """The shape of a script; the braces that open at `choices` are a part of their group's text."""
    shape = _Shape([], {}, [])
    open_marks: list[int] = []  # offsets of `(` and `{` that wait for their partner
    braces: list[int] = []  # those of them that are braces
    start = 0

    def fail(offset: int, key: str) -> ScriptError:
        return ScriptError(text, offset, key, _STRUCTURE_REASONS[key])

    for match in _STRUCTURE.finditer(mask):
        at, mark = match.start(), match.group()
        top = mask[open_marks[-1]] if open_marks else ""
        if mark == "(":
            open_marks.append(at)
        elif mark == ")":
            if top != "(":
                raise fail(at, "unopened_parenthesis")
            shape.pairs[open_marks.pop()] = at
        elif mark == "{":
            if braces and at not in choices:
                raise fail(at, "nested_brace")
            braces.append(at)
            open_marks.append(at)
        elif not braces and mark == "}":
            raise fail(at, "unopened_brace")
        elif top == "(":
            raise fail(open_marks[-1], "unclosed_parenthesis")
        elif mark == "}":
            braces.pop()
            if (opened := open_marks.pop()) not in choices:
                shape.braces.append((opened, at))
        elif braces:
            raise fail(at, "semicolon_in_choice" if braces[-1] in choices else "semicolon_in_braces")
        else:
            shape.groups.append((start, at))
            start = at + 1
    if open_marks:
        top = mask[open_marks[-1]]
        raise fail(open_marks[-1], "unclosed_parenthesis" if top == "(" else "unclosed_brace")
    shape.groups.append((start, len(mask)))
    return shape


_STRUCTURE_REASONS = {
    "unopened_parenthesis": r"This ) closes nothing; write \) if it is text.",
    "unclosed_parenthesis": r"This ( is not closed in its group; write \( if it is text.",
    "unopened_brace": r"This } closes nothing; write \} if it is text.",
    "unclosed_brace": r"This { is not closed; write \{ if it is text.",
    "nested_brace": r"Braces that are no choice do not nest; close the first one, or write \{ if it is text.",
    "semicolon_in_braces": r"The global group is one group; close its brace first, or write \; in it.",
    "semicolon_in_choice": r"A choice is part of one group; close its brace first, or write \; in it.",
}


def _without(braces: list[tuple[int, int]], text: str) -> str:
    """`text` with line breaks for the braces and what they hold: to a group they are one space."""
    parts, last = [], 0
    for start, end in braces:
        parts += [text[last:start], "\n" * (end + 1 - start)]
        last = end + 1
    return "".join([*parts, text[last:]])


def _group(
    text: str, plain: str, mask: str, start: int, end: int, pairs: dict[int, int], names: Names
) -> tuple[Group, int, bool]:
    """The group between two offsets, how often it comes, and whether nothing was written there."""
    start, end = trim(mask, start, end)
    blank = start == end
    end, settings = read_settings(text, plain, mask, start, end, names)
    repeat = int(settings.pop("repeat", 1))
    if "negative" in settings:
        settings |= _negative(text, *settings["negative"])
    first, weight = start, 1.0
    while start < end and mask[start] == "(" and pairs[start] == end - 1:
        start, end, factor = _peel(text, plain, mask, start, end)
        weight *= factor
    if not WEIGHT_RANGE[0] <= weight <= WEIGHT_RANGE[1]:
        raise _weight_out_of_range(text, first)
    words, parts = plain[start:end], _choices(text, plain, start, end)
    return (
        replace(Group(clean(words), weight, parts=parts if draws(words, parts) else ()), **settings),
        repeat,
        blank,
    )


def _negative(text: str, written: str, at: int) -> dict[str, Any]:
    """The fields of a group for its `@negative=`, which begins at an offset."""
    parts = _choices(text, written, 0, len(written), at)
    return {"negative": clean(written), "negative_parts": parts if draws(written, parts) else ()}


def _peel(text: str, plain: str, mask: str, start: int, end: int) -> tuple[int, int, float]:
    """Offsets inside the parentheses that open at `start` and end before `end`, and their weight."""
    colon = end - 2
    while mask[colon] not in ":()":
        colon -= 1
    if mask[colon] == ":":
        written = number_text(plain[colon + 1 : end - 1])
        if _MEANT_AS_NUMBER.fullmatch(written):
            if not _NUMBER.fullmatch(written):
                raise ScriptError(
                    text, colon + 1, "weight_not_a_number",
                    f"A weight is a number from {WEIGHT_RANGE[0]:g} to {WEIGHT_RANGE[1]:g}, "
                    f"such as (x:1.3), not {short(written)}.",
                )  # fmt: skip
            weight = float(written)
            if not WEIGHT_RANGE[0] <= weight <= WEIGHT_RANGE[1]:
                raise _weight_out_of_range(text, colon + 1)
            return *trim(mask, start + 1, colon), weight
    return *trim(mask, start + 1, end - 1), BARE_WEIGHT


def _weight_out_of_range(text: str, offset: int) -> ScriptError:
    low, high = WEIGHT_RANGE
    reason = f"A group's weight multiplies its cfg and is from {low:g} to {high:g}."
    return ScriptError(text, offset, "weight_out_of_range", reason)


def clean(plain: str) -> str:
    """A group's text as the prompt has it: one line, without blanks round it and without our escapes."""
    one_line = _BLANKS.sub(lambda m: " " if set("\r\n") & set(m[0]) else m[0], plain.strip(BLANK))
    return _ESCAPE_THAT_GOES.sub(r"\1", one_line)
