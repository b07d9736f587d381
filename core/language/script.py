r"""The script language: prompts for a loop of steps, written as one text.

    {oil painting, harbour} dawn; (noon:1.3); ((dusk)) @denoise=.4; night *3

Groups
- `;` separates local groups, one step each. A trailing `;` adds nothing; an empty group is a step with the
  global group alone. A text that only has a global group is one step of it; a blank text has no steps.
- `{ }` holds the global group, which joins every step: `global, local`. It may stand anywhere, also in
  the middle of a local group (where it leaves one space); several are joined by `, ` in their order. Braces
  do not nest, and hold no `;`.

Weights
- Parentheses around a whole local group weigh it and leave the prompt: `(x:1.3)` weighs 1.3, a bare pair
  1.1; nested pairs multiply, so `((x):1.3)` weighs 1.43. The weight multiplies the step's cfg.
- Parentheses around a part are the host's emphasis and stay: `a, (b:1.2)`, `(a, b), c`, `(a)(b)` weigh 1.
  So do all parentheses in the global group.
- As in the host, what follows a colon is a weight only if it is a number: `(a:b)` weighs 1.1. A weight is
  0.01 to 100.

Settings, at a group's end, in any order, each once
- `@denoise=.4` (0 to 1), `@cfg=6` (0 to 100), `@seed=7` (0 to 2^64-1), `@steps=12` (1 to 10000).
- `*3` repeats the group (1 to 100000). Directly after a digit it is text (`512*768`), as is a `*` elsewhere.
- `@name` without `=` is text, unless it is one of the four names.

Characters
- A backslash makes `{ } ; @ *` text and goes; `\(` and `\)` stay as they are, for the host's tokenizer reads
  the same escapes. Any other backslash is text.
- Full-width `｛｝；（）：＠＝＊` are read as ASCII, in the prompt too; so are full-width `．` and digits
  in numbers.
- A line break is one space, together with the blanks around it. Ends of groups are trimmed.
- Lines and columns of errors count from 1; a column is one code point.

What is allowed but seldom meant is hinted at: a `;` with no blank after it (`steins;gate`), one that ends an
HTML entity (`&amp;`), a weight over 2 (`(photo 16:9)`). The full-width `；` is written without blanks.

Parsing takes time linear in the text, which has at most 1,000,000 characters.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, replace
from typing import NamedTuple

from .hints import Hint, hints, odd_places
from .places import BLANK, excerpt, line_and_column

BARE_WEIGHT = 1.1
WEIGHT_RANGE = (0.01, 100.0)
REPEAT_RANGE = (1, 100_000)
MOST_STEPS = 1_000_000
"""How many steps repeats may make: a slip of the finger must not fill the memory."""

LONGEST_SCRIPT = 1_000_000
"""Characters of a script: it is read each time that the graph is queued, while the server waits."""

_RANGES: dict[str, tuple[float, float]] = {
    "denoise": (0.0, 1.0),
    "cfg": (0.0, 100.0),
    "seed": (0, 2**64 - 1),
    "steps": (1, 10_000),
    "repeat": REPEAT_RANGE,
}
_WHOLE_NUMBERS = {"seed", "steps", "repeat"}

_FULL_WIDTH = str.maketrans("｛｝；（）：＠＝＊", "{};():@=*")
_NUMBERS = str.maketrans("．０１２３４５６７８９", ".0123456789")
_ESCAPE = re.compile(r"\\[{}();@*]")
_ESCAPE_THAT_GOES = re.compile(r"\\([{};@*])")
_BLANKS = re.compile(f"[{BLANK}]+")
_STRUCTURE = re.compile(r"[{}();]")
_SETTING = re.compile(
    rf"@(?P<key>[^{BLANK}@=;:,(){{}}*\\]+)(?P<given>[{BLANK}]*=[{BLANK}]*(?P<value>[^{BLANK}@*();]*))?"
    r"|\*(?P<repeat>[-+]?[0-9.][-+0-9.eE]*)"
)
_NUMBER = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?")
_INTEGER = re.compile(r"([-+]?)0*([0-9]+)")
# What nobody writes after a colon except as a number: `(x:)`, `(x:1,3)`, `(x:nan)`.
_MEANT_AS_NUMBER = re.compile(r"|[-+.0-9][-+.,0-9eE]*|[-+]?(nan|inf|infinity)", re.IGNORECASE)


@dataclass(frozen=True)
class Group:
    """One step: its local text, its weight, and the settings that it has of its own (None: the plan's)."""

    text: str
    weight: float = 1.0
    denoise: float | None = None
    cfg: float | None = None
    seed: int | None = None
    steps: int | None = None

    def prompt(self, global_prompt: str) -> str:
        """What the text encoder gets: `global, local` with one comma, or the one that is not empty."""
        if not global_prompt or not self.text:
            return global_prompt or self.text
        parts = global_prompt.rstrip(BLANK + ","), self.text.lstrip(BLANK + ",")
        return ", ".join(filter(None, parts))


@dataclass(frozen=True)
class Script:
    """A parsed script. Repeats are expanded: one group a step. `hints` has the first of each kind."""

    global_prompt: str
    groups: tuple[Group, ...]
    hints: tuple[Hint, ...] = ()


class ScriptError(ValueError):
    """A mistake in a script, where it is, and what to do about it.

    `line` and `column` count from 1, `reason` is a sentence, `key` names the kind of mistake for programs.
    """

    def __init__(self, text: str, offset: int, key: str, reason: str):
        self.line, self.column = line_and_column(text, offset)
        self.key, self.reason = key, reason
        super().__init__(f"Script, line {self.line}, column {self.column}: {reason}\n{excerpt(text, offset)}")


def parse(text: str) -> Script:
    """The script that `text` says, by the rules at the top of this module. Raises ScriptError."""
    if len(text) > LONGEST_SCRIPT:
        reason = f"A script has at most {LONGEST_SCRIPT:,} characters, and this one has {len(text):,}."
        raise ScriptError(text, 0, "too_long", reason)
    # Each of these strings is as long as `text`, so that one offset serves them all.
    plain = text.translate(_FULL_WIDTH)
    mask = _ESCAPE.sub(r"\\\\", plain.translate(_NUMBERS))  # escaped characters stop being structure
    shape = _structure(text, mask)
    for start, end in shape.braces:
        _refuse_settings(text, mask, start, end)
    global_texts = [_clean(plain[start + 1 : end]) for start, end in shape.braces]
    plain, mask = (_without(shape.braces, s) for s in (plain, mask))

    groups: list[Group] = []
    odd: dict[str, int] = {}  # kinds of hints, and where each first comes
    for i, (start, end) in enumerate(shape.groups):
        group, repeat, blank = _group(text, plain, mask, start, end, shape.pairs)
        alone = i == 0 and any(global_texts)
        if blank and i == len(shape.groups) - 1 and not alone:
            continue  # nothing after the last `;`
        if len(groups) + repeat > MOST_STEPS:
            at, reason = _trim(mask, start, end)[0], f"The repeats make over {MOST_STEPS:,} steps."
            raise ScriptError(text, at, "too_many_steps", reason)
        groups += [group] * repeat
        for key, at in odd_places(text, _trim(mask, start, end)[0], end, group.weight):
            odd.setdefault(key, at)
    return Script(", ".join(filter(None, global_texts)), tuple(groups), hints(text, odd))


class _Shape(NamedTuple):
    """Offsets: braces and parentheses open..close, groups start..end."""

    braces: list[tuple[int, int]]
    pairs: dict[int, int]
    groups: list[tuple[int, int]]


def _structure(text: str, mask: str) -> _Shape:
    shape = _Shape([], {}, [])
    open_marks: list[int] = []  # offsets of `(` and `{` that wait for their partner
    brace: int | None = None
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
            if brace is not None:
                raise fail(at, "nested_brace")
            brace = at
            open_marks.append(at)
        elif brace is None and mark == "}":
            raise fail(at, "unopened_brace")
        elif top == "(":
            raise fail(open_marks[-1], "unclosed_parenthesis")
        elif mark == "}":
            shape.braces.append((open_marks.pop(), at))
            brace = None
        elif brace is not None:
            raise fail(at, "semicolon_in_braces")
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
    "nested_brace": r"Braces do not nest; close the first one, or write \{ if it is text.",
    "semicolon_in_braces": r"The global group is one group; close its brace first, or write \; in it.",
}


def _without(braces: list[tuple[int, int]], text: str) -> str:
    """`text` with line breaks for the braces and what they hold: to a group they are one space."""
    parts, last = [], 0
    for start, end in braces:
        parts += [text[last:start], "\n" * (end + 1 - start)]
        last = end + 1
    return "".join([*parts, text[last:]])


def _group(
    text: str, plain: str, mask: str, start: int, end: int, pairs: dict[int, int]
) -> tuple[Group, int, bool]:
    """The group between two offsets, how often it comes, and whether nothing was written there."""
    start, end = _trim(mask, start, end)
    blank = start == end
    end, settings = _settings(text, mask, start, end)
    repeat = int(settings.pop("repeat", 1))
    first, weight = start, 1.0
    while start < end and mask[start] == "(" and pairs[start] == end - 1:
        start, end, factor = _peel(text, plain, mask, start, end)
        weight *= factor
    if not WEIGHT_RANGE[0] <= weight <= WEIGHT_RANGE[1]:
        raise _weight_out_of_range(text, first)
    return replace(Group(_clean(plain[start:end]), weight), **settings), repeat, blank


def _peel(text: str, plain: str, mask: str, start: int, end: int) -> tuple[int, int, float]:
    """Offsets inside the parentheses that open at `start` and end before `end`, and their weight."""
    colon = end - 2
    while mask[colon] not in ":()":
        colon -= 1
    if mask[colon] == ":":
        written = _number_text(plain[colon + 1 : end - 1])
        if _MEANT_AS_NUMBER.fullmatch(written):
            if not _NUMBER.fullmatch(written):
                raise ScriptError(
                    text, colon + 1, "weight_not_a_number",
                    f"A weight is a number from {WEIGHT_RANGE[0]:g} to {WEIGHT_RANGE[1]:g}, "
                    f"such as (x:1.3), not {_short(written)}.",
                )  # fmt: skip
            weight = float(written)
            if not WEIGHT_RANGE[0] <= weight <= WEIGHT_RANGE[1]:
                raise _weight_out_of_range(text, colon + 1)
            return *_trim(mask, start + 1, colon), weight
    return *_trim(mask, start + 1, end - 1), BARE_WEIGHT


def _weight_out_of_range(text: str, offset: int) -> ScriptError:
    low, high = WEIGHT_RANGE
    reason = f"A group's weight multiplies its cfg and is from {low:g} to {high:g}."
    return ScriptError(text, offset, "weight_out_of_range", reason)


def _settings(text: str, mask: str, start: int, end: int) -> tuple[int, dict[str, int | float]]:
    """Where the settings at a group's end begin, and their values by name."""
    found: list[re.Match[str]] = []
    for match in _SETTING.finditer(mask, start, end):
        at = match.start()
        joined = found and found[-1].end() == at
        if match["repeat"] and not joined and at > start and mask[at - 1] in "0123456789":
            continue  # 512*768
        if match["key"] and not match["given"] and match["key"].lower() not in _RANGES:
            continue  # by @someone
        found.append(match)
    tail = len(found)
    while tail and not mask[found[tail - 1].end() : end].strip(BLANK):
        tail -= 1
        end = found[tail].start()
    for match in found[:tail]:
        if match["key"]:
            raise _misplaced(text, match)
    values: dict[str, int | float] = {}
    for match in found[tail:]:
        name, value = _setting(text, match)
        if name in values:
            reason = f"{_called(name)} is set twice in this group."
            raise ScriptError(text, match.start(), "duplicate_setting", reason)
        values[name] = value
    return _trim(mask, start, end)[1], values


def _refuse_settings(text: str, mask: str, start: int, end: int) -> None:
    for match in _SETTING.finditer(mask, start, end):
        if match["given"]:
            raise _misplaced(text, match)


def _misplaced(text: str, match: re.Match[str]) -> ScriptError:
    reason = r"Settings stand at the end of a local group, outside of brackets; write \@ if it is text."
    return ScriptError(text, match.start(), "misplaced_setting", reason)


def _setting(text: str, match: re.Match[str]) -> tuple[str, int | float]:
    """Name and value of one setting."""
    name = match["key"].lower() if match["key"] else "repeat"
    if name not in _RANGES or (match["key"] and name == "repeat"):
        reason = f"There is no setting @{_short(match['key'])}: there are @denoise, @cfg, @seed and @steps."
        raise ScriptError(text, match.start(), "unknown_setting", reason)
    field = "value" if match["key"] else "repeat"
    written = _number_text(text[slice(*match.span(field))]) if match[field] else ""
    if not written:
        reason = f"@{name} needs a value, such as @{name}={_RANGES[name][1]:g}."
        raise ScriptError(text, match.start(), "setting_without_value", reason)
    low, high = _RANGES[name]
    whole = name in _WHOLE_NUMBERS
    if not (_INTEGER if whole else _NUMBER).fullmatch(written):
        kind = "a whole number" if whole else "a number"
        reason = f"{_called(name)} takes {kind} from {low} to {high}, not {_short(written)}."
        raise ScriptError(text, match.start(field), "setting_not_a_number", reason)
    value = _integer(written) if whole else float(written)
    if not low <= value <= high:
        reason = f"{_called(name)} is from {low} to {high}, not {_short(written)}."
        raise ScriptError(text, match.start(field), "setting_out_of_range", reason)
    return name, value


def _integer(written: str) -> int:
    sign, digits = _INTEGER.fullmatch(written).groups()  # type: ignore[union-attr]
    # Longer than 2^64 is out of every range; int() of a very long text is slow.
    return int(sign + digits[:21])


def _called(name: str) -> str:
    return "The repeat *" if name == "repeat" else f"@{name}"


def _number_text(written: str) -> str:
    return unicodedata.normalize("NFKC", written).strip(BLANK)


def _short(written: str) -> str:
    return f"{written[:20]}…" if len(written) > 21 else written or "nothing"


def _trim(mask: str, start: int, end: int) -> tuple[int, int]:
    while start < end and mask[start] in BLANK:
        start += 1
    while start < end and mask[end - 1] in BLANK:
        end -= 1
    return start, end


def _clean(plain: str) -> str:
    """A group's text as the prompt has it."""
    one_line = _BLANKS.sub(lambda m: " " if set("\r\n") & set(m[0]) else m[0], plain.strip(BLANK))
    return _ESCAPE_THAT_GOES.sub(r"\1", one_line)
