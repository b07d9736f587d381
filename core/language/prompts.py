r"""What a prompt says at each sampler step, as A1111 writes it.

    a [photo:painting:.5] of [a|b], <lora:ink:.8> AND fog :0.7 BREAK far away

- `[from:to:when]`, `[to:when]`, `[from::when]`: `from` in the first `when` steps, then `to`. `when` below 1
  or with a point is a share of the steps, else a number of them; a share is cut down to whole steps.
- `[a|b|c]`: another one at each step.
- `<lora:NAME>`, `<lora:NAME:STRENGTH>`, `<lora:NAME:MODEL:TEXT>` is no text: it is loaded where it stands.
- `a AND b :0.7`: parts, which are guided to apart, each with its weight (1 where none is written).
- `a BREAK b`: `b` begins in a new chunk of the text encoder.
- Brackets nest. Any other bracket is text, as is what follows a backslash, and a `|` beside `:when]`. AND and
  BREAK within brackets or parentheses are text, except that a schedule may bring a BREAK.

A text without any of this is the very same string at every step. Reading takes time linear in the text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from .choices import STAND_IN, hide_drawn
from .mistakes import ScriptError
from .nesting import Span, spans
from .places import number_text, short, trim

DEEPEST = 20
STRENGTHS = (-100.0, 100.0)

_NUMBER = re.compile(r"[-+]?(?:[0-9]{1,9}\.?[0-9]{0,9}|\.[0-9]{1,9})(?:[eE][-+]?[0-9]{1,2})?")
_ESCAPED = re.compile(r"\\.", re.DOTALL)
_UNIT = re.compile(r"<lora:[^<>]{1,400}>|(?<!\w)embedding:", re.IGNORECASE)
_LORA = re.compile(r"<lora:([^<>]{1,400})>", re.IGNORECASE)
LORA_NAME = re.compile(r"<lora:(?P<name>[^<>:]{0,400})[^<>]{0,400}>", re.IGNORECASE)
"""A LoRA in a text that was not read yet."""
_UNDRAWN_LORA = re.compile(rf"<lora:[^<>{STAND_IN}]{{0,400}}{STAND_IN}[^<>]{{0,400}}>", re.IGNORECASE)
AND = re.compile(r"\bAND\b")
_BREAK = re.compile(r"\s*\bBREAK\b\s*")
_PART_WEIGHT = re.compile(r":\s*([-+]?(?:[0-9]{1,9}\.?[0-9]{0,9}|\.[0-9]{1,9}))\s*$")
_REASONS = {
    "lora_strength": "A LoRA's strength is a number from -100 to 100, such as <lora:name:0.8>.",
    "schedules_too_deep": f"Schedules nest at most {DEEPEST} deep.",
}


@dataclass(frozen=True)
class Lora:
    """A LoRA by its name, and how strongly it acts on the model and on the text encoder."""

    name: str
    model: float = 1.0
    text: float = 1.0


@dataclass(frozen=True)
class Tag:
    """A LoRA and where it is written."""

    at: int
    lora: Lora


@dataclass(frozen=True)
class Edit:
    """`before` in the first steps, then `after`; `when` is their share or number. It is written `at`."""

    at: int
    before: Nodes
    after: Nodes
    when: float
    share: bool

    def steps(self, steps: int) -> int:
        """How many of `steps` have `before`, by A1111's rounding."""
        return min(steps, int(self.when * steps if self.share else self.when))


@dataclass(frozen=True)
class Swap:
    """Another of `options` at each step. It is written `at`."""

    at: int
    options: tuple[Nodes, ...]


Nodes = tuple["str | Tag | Edit | Swap", ...]


@dataclass(frozen=True)
class Said:
    """What a prompt is at a step: parts with their weights, and the LoRAs that act."""

    parts: tuple[tuple[str, float], ...]
    loras: tuple[Lora, ...] = ()


@dataclass(frozen=True)
class Prompt:
    """A prompt that was read: its parts, each with its weight."""

    parts: tuple[tuple[Nodes, float], ...]

    @property
    def plain(self) -> bool:
        """Whether it is one text, the same at every step, and without a LoRA."""
        return not self.summed and all(isinstance(node, str) for node in self.parts[0][0])

    @property
    def summed(self) -> bool:
        """Whether it is a sum of weighted parts."""
        return [weight for _, weight in self.parts] != [1]

    @property
    def text(self) -> str:
        """The text of a plain prompt."""
        return _text(self.parts[0][0], lambda edit: True, 0, [])

    def nodes(self) -> Iterator[Tag | Edit | Swap]:
        """All of it that is not text."""
        waiting = [node for nodes, _ in self.parts for node in nodes]
        while waiting:
            node = waiting.pop()
            if isinstance(node, Edit):
                waiting += [*node.before, *node.after]
            elif isinstance(node, Swap):
                waiting += [inner for nodes in node.options for inner in nodes]
            if not isinstance(node, str):
                yield node

    def at(self, step: int, steps: int) -> Said:
        """What it says at `step` (from 0) of `steps`."""
        return self._said(lambda edit: step < edit.steps(steps), step)

    def by_step(self, steps: int) -> list[Said]:
        """What it says at each of `steps`; equal values are the same object."""
        edges = {0} | {node.steps(steps) for node in self.nodes() if isinstance(node, Edit)}
        always = any(isinstance(node, Swap) for node in self.nodes())
        found: list[Said] = []
        known: dict[Said, Said] = {}
        for step in range(steps):
            if always or step in edges:
                now = self.at(step, steps)
                found.append(known.setdefault(now, now))
            else:
                found.append(found[-1])
        return found

    def by_share(self) -> list[tuple[float, float, Said]]:
        """What it says from a share of the schedule to another, in order.

        Only for a prompt without numbers of steps and without `[a|b]`.
        """
        edges = {node.when for node in self.nodes() if isinstance(node, Edit) and 0 < node.when < 1}
        bounds = [0.0, *sorted(edges), 1.0]
        return [
            (start, end, self._said(lambda edit, end=end: end <= edit.when, 0))
            for start, end in zip(bounds, bounds[1:], strict=False)
        ]

    def _said(self, early: Callable[[Edit], bool], step: int) -> Said:
        loras: list[Lora] = []
        texts = tuple((_text(nodes, early, step, loras), weight) for nodes, weight in self.parts)
        return Said(texts, tuple(loras))


def _text(nodes: Nodes, early: Callable[[Edit], bool], step: int, loras: list[Lora]) -> str:
    if len(nodes) == 1 and isinstance(nodes[0], str):
        return nodes[0]
    found = []
    for node in nodes:
        if isinstance(node, str):
            found.append(node)
        elif isinstance(node, Tag):
            loras.append(node.lora)
        elif isinstance(node, Edit):
            found.append(_text(node.before if early(node) else node.after, early, step, loras))
        else:
            found.append(_text(node.options[step % len(node.options)], early, step, loras))
    return "".join(found)


def read_prompt(text: str, where: str = "Prompt") -> Prompt:
    """`text` by the rules at the top of this module. Raises ScriptError, which calls the text `where`."""
    if not ("[" in text or "AND" in text or _LORA.search(text)):
        return Prompt((((text,), 1.0),))
    mask = _UNIT.sub(lambda unit: "." * len(unit.group()), _ESCAPED.sub(r"\\\\", text))
    pairs = spans(mask, "[]", ("()",), ":|")
    meant = {pair.start: pair for pair in pairs if _is_schedule(mask, pair)}
    _check_depth(text, meant, where)
    source = _Source(text, mask, meant, where)
    bounds = _ands(mask, pairs) if "AND" in mask else [(0, len(text), 1.0)]
    return Prompt(tuple((_nodes(source, start, end), weight) for start, end, weight in bounds))


def undrawn(text: str) -> str:
    """`text` with STAND_IN for what is not drawn yet, and for LoRAs with such a part; as long as it was."""
    return _UNDRAWN_LORA.sub(lambda found: STAND_IN * len(found.group()), hide_drawn(text))


def check_prompt(text: str) -> None:
    """Raises ScriptError for a mistake in a prompt whose choices and wildcards are not drawn yet."""
    if "[" in text or "<" in text:
        read_prompt(undrawn(text))


@dataclass(frozen=True)
class _Source:
    text: str
    mask: str
    schedules: dict[int, Span]
    where: str


def _is_schedule(mask: str, pair: Span) -> bool:
    """Whether a pair of brackets is `[a|b]` or `[a:b:when]`."""
    colons = _colons(mask, pair)
    if not colons:
        return bool(pair.separators)
    return len(colons) < 3 and bool(_NUMBER.fullmatch(number_text(mask[colons[-1] + 1 : pair.end])))


def _colons(mask: str, pair: Span) -> list[int]:
    return [at for at in pair.separators if mask[at] == ":"]


def _check_depth(text: str, meant: dict[int, Span], where: str) -> None:
    ends: list[int] = []
    for start in sorted(meant):
        while ends and ends[-1] < start:
            ends.pop()
        ends.append(meant[start].end)
        if len(ends) > DEEPEST:
            raise ScriptError(text, start, "schedules_too_deep", _REASONS["schedules_too_deep"], where)


def _ands(mask: str, pairs: list[Span]) -> list[tuple[int, int, float]]:
    """Offsets and weight of each part between ANDs that stand outside of brackets."""
    closed = _covered([*pairs, *spans(mask, "()", ("[]",), "")])
    bounds, last = [], 0
    for match in AND.finditer(mask):
        if not closed(match.start()):
            bounds.append((last, match.start()))
            last = match.end()
    bounds.append((last, len(mask)))
    if len(bounds) == 1:
        return [(0, len(mask), 1.0)]
    parts = []
    for start, end in bounds:
        weight = _PART_WEIGHT.search(mask, start, end) if ":" in mask[start:end] else None
        value, end = (float(weight[1]), weight.start()) if weight else (1.0, end)
        start, end = trim(mask, start, end)
        if start < end:
            parts.append((start, end, value))
    return parts or [(0, 0, 1.0)]


def _covered(pairs: list[Span]) -> Callable[[int], bool]:
    """Tells of offsets that rise from call to call whether they are within a pair."""
    outer: list[tuple[int, int]] = []
    for start, end, _ in sorted(pairs):
        if outer and start < outer[-1][1]:
            outer[-1] = (outer[-1][0], max(end, outer[-1][1]))
        else:
            outer.append((start, end))
    index = 0

    def covered(at: int) -> bool:
        nonlocal index
        while index < len(outer) and outer[index][1] < at:
            index += 1
        return index < len(outer) and outer[index][0] < at

    return covered


def _nodes(source: _Source, start: int, end: int) -> Nodes:
    text, found, last, where = source.text, [], start, start
    marks = re.compile(r"\[|<lora:", re.IGNORECASE)
    while match := marks.search(text, where, end):
        at = match.start()
        pair = source.schedules.get(at)
        tag = _LORA.match(text, at, end) if match.group() != "[" and source.mask[at] == "." else None
        if pair is None and tag is None:
            where = at + 1
            continue
        if at > last:
            found.append(text[last:at])
        if pair is not None:
            found.append(_schedule(source, pair))
            last = where = pair.end + 1
        elif tag is not None:
            found.append(Tag(at, _lora(source, tag)))
            last = where = tag.end()
    if last < end or not found:
        found.append(text[last:end])
    return tuple(found)


def _schedule(source: _Source, pair: Span) -> Edit | Swap:
    colons = _colons(source.mask, pair)
    bounds = [pair.start, *(colons or pair.separators), pair.end]
    pieces = list(zip((at + 1 for at in bounds), bounds[1:], strict=False))
    if not colons:
        return Swap(pair.start, tuple(_nodes(source, *piece) for piece in pieces))
    written = number_text(source.mask[slice(*pieces.pop())])
    *before, after = (_nodes(source, *piece) for piece in pieces)
    when = float(written)
    return Edit(pair.start, before[0] if before else (), after, when, "." in written or when < 1)


def _lora(source: _Source, tag: re.Match[str]) -> Lora:
    name, *strengths = (part.strip() for part in tag[1].split(":"))
    values = []
    for written in strengths if len(strengths) <= 2 else [":".join(strengths)]:
        good = _NUMBER.fullmatch(number_text(written))
        if not good or not STRENGTHS[0] <= float(good.group()) <= STRENGTHS[1]:
            reason = f"{_REASONS['lora_strength']} Here it is {short(written)}."
            raise ScriptError(source.text, tag.start(), "lora_strength", reason, source.where)
        values.append(float(good.group()))
    return Lora(name, *(values * 2 if len(values) == 1 else values))


def chunks(text: str) -> tuple[str, ...]:
    """`text` cut at each BREAK outside of parentheses; the very same text where there is none."""
    if "BREAK" not in text:
        return (text,)
    mask = _ESCAPED.sub(r"\\\\", text)
    covered = _covered(spans(mask, "()", (), ""))
    found, last = [], 0
    for match in _BREAK.finditer(mask):
        if not covered(match.start() + match.group().index("BREAK")):
            found.append(text[last : match.start()])
            last = match.end()
    return (*found, text[last:])
