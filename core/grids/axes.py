"""The axes of a grid: one a line, `name = values`.

    ISI Script.cfg         = 3, 5 .. 11                        a widget, by title, class or id
    KSampler#12.sampler_name = euler, dpmpp_2m | label: Sampler
    cfg                    = 3, 5                              the only widget of that name
    seeds                  = 1 .. 4                            of every node that has one
    prompt                 = replace "oak": "birch", "pine"    in every text
    matrix                 = snow | fog | at night             every subset, added to the prompt
    skip                   = cfg > 9 and Sampler = euler       no such cells (`rules.py`)

How values are written: `values.py`. `Title.text = replace "oak": ...` replaces in one text alone. `| label:`
at a line's end names its axis. A `#` with a blank after it begins a comment.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from ..language.places import BLANK, short, trim
from .rules import Rule, read_rule
from .values import Value, hide_quotes, is_quoted, mistake, read_subsets, read_values, unquoted

LONGEST_AXES = 200_000
"""Characters."""

_COMMENT = re.compile(rf"(?:^|(?<=[{BLANK}]))#(?=[{BLANK}#]|$)")
_LABEL = re.compile(rf"(?<!\|)\|(?!\|)[{BLANK}]*label[{BLANK}]*:")
_REPLACE = re.compile(rf'replace[{BLANK}]*("\0*")[{BLANK}]*:')
_EXAMPLE = "write KSampler.cfg = 3, 5, 7."

Way = Literal["widget", "seeds", "replace", "matrix"]


@dataclass(frozen=True)
class GridAxis:
    """What is varied, and its values. `offset` is where its name stands in all axes.

    `way`: a widget is set to the value; `seeds` sets every seed; `replace` puts the value in the place of
    `old` in the widget's text, or in every text where `name` is "prompt"; `matrix` adds it to the prompt.
    """

    name: str
    way: Way
    values: tuple[Value, ...]
    label: str
    offset: int
    old: str = ""

    @property
    def title(self) -> str:
        """What it is called above its values."""
        return self.label or self.old or self.name


@dataclass(frozen=True)
class Axes:
    """All axes in the order of their lines, and the rules that leave cells out; `source` is the text."""

    axes: tuple[GridAxis, ...]
    rules: tuple[Rule, ...]
    source: str


def read_axes(text: str) -> Axes:
    """The axes that `text` says, by the rules at the top of this module. Raises ScriptError."""
    if len(text) > LONGEST_AXES:
        reason = f"Axes have at most {LONGEST_AXES:,} characters, and these have {len(text):,}."
        raise mistake(text, 0, "too_long", reason)
    text = re.sub(r"\r\n?", "\n", text).replace("\0", " ")
    mask = hide_quotes(text)
    axes, skips = [], []
    start = 0
    for line in mask.split("\n"):
        comment = _COMMENT.search(line)
        first, last = trim(mask, start, start + (comment.start() if comment else len(line)))
        start += len(line) + 1
        if first == last:
            continue
        equals = mask.find("=", first, last)
        name = trim(mask, first, max(first, equals))
        if equals < 0 or name[0] == name[1]:
            raise mistake(text, first, "no_equals", f"An axis is a name, = and values: {_EXAMPLE}")
        if mask[slice(*name)] == "skip":
            skips.append((equals + 1, last))
        else:
            axes.append(_axis(text, mask, name, equals + 1, last))
    if not axes:
        raise mistake(text, 0, "no_axes", f"A grid needs an axis: {_EXAMPLE}")
    known = [(axis.title, axis.name, axis.values) for axis in axes]
    rules = tuple(read_rule(text, mask, first, last, known) for first, last in skips)
    return Axes(tuple(axes), rules, text)


def _axis(text: str, mask: str, place: tuple[int, int], start: int, end: int) -> GridAxis:
    name = re.sub(r'"((?:[^"\\]|\\.)*)"', lambda found: unquoted(found[0]), text[slice(*place)])
    label = ""
    if found := _LABEL.search(mask, start, end):
        first, last = trim(mask, found.end(), end)
        label = unquoted(text[first:last]) if is_quoted(mask, first, last) else text[first:last]
        end = found.start()
    start, end = trim(mask, start, end)
    replace = _REPLACE.match(mask, start, end)
    old = unquoted(text[slice(*replace.span(1))]) if replace else ""
    way: Way = "replace" if replace else "widget"
    if name == "matrix":
        way = "matrix"
    elif name in ("seed", "seeds"):
        way = "seeds"
    if name == "prompt" and not old:
        reason = (
            f'Write what to replace, prompt = replace "oak": "birch", "pine", not {short(text[start:end])!r}.'
        )
        raise mistake(text, start, "no_replace", reason)
    if replace and (not old or way != "replace"):
        raise mistake(text, start, "odd_replace", "There is nothing to replace here.")
    if way == "matrix":
        values = read_subsets(text, mask, start, end)
    else:
        values = read_values(text, mask, replace.end() if replace else start, end)
    return GridAxis(name, way, values, label, place[0], old)
