"""Other programs' ways to weigh words, written as ComfyUI and A1111 write them: `(words:1.2)`."""

from __future__ import annotations

import re

NOVELAI = 1.05
"""What a pair of NovelAI's braces multiplies by, and a pair of its brackets divides by."""
INVOKEAI = {"+": 1.1, "-": 0.9}

_PLAIN_PARENTHESIS = re.compile(r"(?<!\\)([()])")
_NUMERIC = re.compile(r"(-?\d+(?:\.\d+)?)::(.*?)(?:::|$)", re.DOTALL)
_WEIGHED_WORD = re.compile(r"(?<![\w+\-)])(\w[\w'’]*)(\++|-+)(?=[\s,.;:)]|$)")
_WEIGHT = re.compile(r"(\d+(?:\.\d+)?|\.\d+)(?![\w.])|(\++|-+)(?=[\s,.;:)]|$)")


def from_novelai(text: str) -> str:
    """`{a}`, `[a]` and `1.2::a::` as `(a:1.05)`, `(a:0.95)` and `(a:1.2)`; its parentheses are text."""
    text = _PLAIN_PARENTHESIS.sub(r"\\\1", text)
    text = _NUMERIC.sub(lambda found: _weighed(found[2], float(found[1])), text)
    return _bracketed(_bracketed(text, "{}", NOVELAI), "[]", 1 / NOVELAI)


def _bracketed(text: str, pair: str, factor: float) -> str:
    """`text` with nested pairs of two characters as weights; what has no partner stays."""
    open_at: list[int] = []
    partner: dict[int, int] = {}
    for at, character in enumerate(text):
        if character == pair[0]:
            open_at.append(at)
        elif character == pair[1] and open_at:
            partner[open_at.pop()] = at
    closing = set(partner.values())
    # Of pairs that lie directly within each other, the outermost writes the weight of all.
    out: list[str] = []
    ends: dict[int, str] = {}
    at = 0
    while at < len(text):
        if at in ends:
            out.append(ends[at])
        elif at in partner:
            end, deep = partner[at], 1
            while partner.get(at + 1) == end - 1:
                ends[end] = ""
                at, end, deep = at + 1, end - 1, deep + 1
            out.append("(")
            ends[end] = f":{factor**deep:.3g})"
        elif at not in closing:
            out.append(text[at])
        at += 1
    return "".join(out)


def from_invokeai(text: str) -> str:
    """`word++`, `(words)1.2` and `(words)-` as `(word:1.21)`, `(words:1.2)` and `(words:0.9)`."""
    out, open_at, at = [], [], 0
    while at < len(text):
        character = text[at]
        if character == "\\" and text[at + 1 : at + 2] in ("(", ")"):
            out.append(text[at : at + 2])
            at += 2
            continue
        at += 1
        out.append(character)
        if character == "(":
            open_at.append(len(out) - 1)
        elif character == ")" and open_at:
            start = open_at.pop()
            found = _WEIGHT.match(text, at)
            if found:
                at, weight = found.end(), _invoke_weight(found)
                out[-1] = f":{weight:.3g})"
            else:  # without a weight they weigh nothing there
                out[start], out[-1] = r"\(", r"\)"
    return _WEIGHED_WORD.sub(
        lambda found: _weighed(found[1], INVOKEAI[found[2][0]] ** len(found[2])), "".join(out)
    )


def _invoke_weight(found: re.Match[str]) -> float:
    return float(found[1]) if found[1] else INVOKEAI[found[2][0]] ** len(found[2])


def _weighed(words: str, weight: float) -> str:
    return f"({words}:{weight:.3g})" if weight != 1 else words
