"""The settings at the end of a group: `@denoise=.4 @sampler=heun @negative="blurry; grey" *3 *4?`."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from typing import Any

from .mistakes import ScriptError
from .places import BLANK, number_text, short, trim

REPEAT_RANGE = (1, 100_000)
CANDIDATE_RANGE = (1, 64)
RANGES: dict[str, tuple[float, float]] = {
    "denoise": (0.0, 1.0),
    "cfg": (0.0, 100.0),
    "seed": (0, 2**64 - 1),
    "steps": (1, 10_000),
    "control": (0.0, 10.0),
    "repeat": REPEAT_RANGE,
    "candidates": CANDIDATE_RANGE,
}
WORDS = {"negative": '"blurry, grey"', "sampler": "heun", "scheduler": "karras"}
"""Settings that are words, with an example each; without `=` they are text."""

Names = Mapping[str, Sequence[str]]
"""The words that settings may have, by the names of the settings; any where nothing is known."""
Setting = Any
"""A number, a word; a negative prompt with its offset."""

_WHOLE_NUMBERS = {"seed", "steps", "repeat", "candidates"}
_MARKED = ("repeat", "candidates")
"""Settings that have a mark instead of a name."""
_SETTING = re.compile(
    rf"@(?P<key>[^{BLANK}@=;:,(){{}}*\\]+)(?P<given>[{BLANK}]*=[{BLANK}]*(?P<value>[^{BLANK}@*();{{}}]*))?"
    r"|\*(?P<number>[-+]?[0-9.][-+0-9.eE]*)(?P<asks>[?？]?)"
)
_NUMBER = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?")
_INTEGER = re.compile(r"([-+]?)0*([0-9]+)")
_QUOTED = re.compile(
    rf'(?<!\\)@negative[{BLANK}]*=[{BLANK}]*(?P<open>["“])(?P<text>(?:\\.|[^"”\\])*)(?P<close>["”])?',
    re.I | re.S,
)
_NAME = re.compile(r"[\w.+-]+")


def hide_quoted(text: str, plain: str) -> str:
    """`plain` with what stands in quotes after `@negative=` made harmless: no mark in it counts.

    Raises ScriptError for a quote that does not close.
    """
    if '"' not in plain and "“" not in plain:
        return plain
    parts, last = [], 0
    for match in _QUOTED.finditer(plain):
        if not match["close"]:
            reason = r"This quote is not closed; write \" for a quote in the text."
            raise ScriptError(text, match.start("open"), "unclosed_quote", reason)
        start, end = match.span("text")
        parts += [plain[last:start], "x" * (end - start)]
        last = end
    return "".join([*parts, plain[last:]])


def read_settings(
    text: str, plain: str, mask: str, start: int, end: int, names: Names
) -> tuple[int, dict[str, Setting]]:
    """Where the settings at a group's end begin, and their values by name. Raises ScriptError.

    `plain` and `mask` are as long as `text`, the script: with ASCII marks, and without escaped characters.
    """
    found: list[re.Match[str]] = []
    for match in _SETTING.finditer(mask, start, end):
        at = match.start()
        joined = found and found[-1].end() == at
        if match["number"] and not joined and at > start and mask[at - 1] in "0123456789":
            continue  # 512*768
        if match["key"] and not match["given"] and match["key"].lower() not in RANGES.keys() - {"candidates"}:
            continue  # by @someone
        found.append(match)
    tail = len(found)
    while tail and not mask[found[tail - 1].end() : end].strip(BLANK):
        tail -= 1
        end = found[tail].start()
    for match in found[:tail]:
        if match["key"]:
            raise _misplaced(text, match)
    values: dict[str, Setting] = {}
    for match in found[tail:]:
        name, value = _setting(text, plain, match, names)
        if name in values:
            reason = f"{_called(name)} is set twice in this group."
            raise ScriptError(text, match.start(), "duplicate_setting", reason)
        values[name] = value
    return trim(mask, start, end)[1], values


def refuse_settings(text: str, mask: str, start: int, end: int) -> None:
    """Raises ScriptError for a setting between two offsets."""
    for match in _SETTING.finditer(mask, start, end):
        if match["given"]:
            raise _misplaced(text, match)


def _misplaced(text: str, match: re.Match[str]) -> ScriptError:
    reason = r"Settings stand at the end of a local group, outside of brackets; write \@ if it is text."
    return ScriptError(text, match.start(), "misplaced_setting", reason)


def _setting(text: str, plain: str, match: re.Match[str], names: Names) -> tuple[str, Setting]:
    """Name and value of one setting."""
    name = match["key"].lower() if match["key"] else "candidates" if match["asks"] else "repeat"
    if name in WORDS:
        return name, _word(text, plain, match, name, names.get(name, ()))
    if name not in RANGES or (match["key"] and name in _MARKED):
        named = "@denoise, @cfg, @seed, @steps, @control, @negative, @sampler and @scheduler"
        reason = f"There is no setting @{short(match['key'])}: there are {named}."
        raise ScriptError(text, match.start(), "unknown_setting", reason)
    field = "value" if match["key"] else "number"
    written = number_text(text[slice(*match.span(field))]) if match[field] else ""
    if not written:
        reason = f"@{name} needs a value, such as @{name}={RANGES[name][1]:g}."
        raise ScriptError(text, match.start(), "setting_without_value", reason)
    low, high = RANGES[name]
    whole = name in _WHOLE_NUMBERS
    if not (_INTEGER if whole else _NUMBER).fullmatch(written):
        kind = "a whole number" if whole else "a number"
        reason = f"{_called(name)} takes {kind} from {low} to {high}, not {short(written)}."
        raise ScriptError(text, match.start(field), "setting_not_a_number", reason)
    value = _integer(written) if whole else float(written)
    if not low <= value <= high:
        reason = f"{_called(name)} is from {low} to {high}, not {short(written)}."
        raise ScriptError(text, match.start(field), "setting_out_of_range", reason)
    return name, value


def _word(
    text: str, plain: str, match: re.Match[str], name: str, known: Sequence[str]
) -> str | tuple[str, int]:
    """The value of a setting that is words; a negative prompt with the offset at which it begins."""
    if not match["value"]:
        reason = f"@{name} needs a value, such as @{name}={WORDS[name]}."
        raise ScriptError(text, match.start(), "setting_without_value", reason)
    start, end = match.span("value")
    written = plain[start:end]
    if name == "negative" and written[0] in '"“' and len(written) > 1 and written[-1] in '"”':
        return written[1:-1], start + 1
    if not _NAME.fullmatch(written):
        reason = f"@{name} takes one word, such as @{name}={WORDS[name]}, not {short(written)}."
        raise ScriptError(text, start, "setting_not_a_word", reason)
    if known and written not in known:
        reason = f"There is no {name} {short(written)}."
        if near := difflib.get_close_matches(written, known, 3, 0.3):
            reason += f" Near: {', '.join(near)}."
        raise ScriptError(text, start, "unknown_name", reason)
    return (written, start) if name == "negative" else written


def _integer(written: str) -> int:
    sign, digits = _INTEGER.fullmatch(written).groups()  # type: ignore[union-attr]
    # Longer than 2^64 is out of every range; int() of a very long text is slow.
    return int(sign + digits[:21])


def _called(name: str) -> str:
    marked = "The repeat *" if name == "repeat" else "The candidates *n?"
    return marked if name in _MARKED else f"@{name}"
