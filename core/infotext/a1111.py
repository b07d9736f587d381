"""The text that A1111 and its heirs write into pictures, as `parameters` of a PNG or the EXIF UserComment.

    a harbour at dawn, (fog:1.2)
    Negative prompt: blurry
    Steps: 20, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 7, Seed: 1, Size: 512x768

Prompt, negative prompt, and settings on one line. There is no grammar of it: this one reads what A1111,
Forge, Civitai, SD.Next and the savers of ComfyUI write, and writes what all of these read. A setting's value
that has a comma, a colon, a quote or a line break is a JSON text; Civitai's lists and objects are bare JSON.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import suppress

from .info import Infotext

LONGEST = 4_000_000
"""Characters: a picture's text may say more, and none of it is read."""
FEWEST = 3
"""So many settings make a last line one of settings, if it does not begin with `Steps:`."""

MOST_BROKEN = 16
"""Values that begin like JSON and are none, after which no other is tried: each try reads what is left."""
KNOWN = ("sampler", "seed", "cfg scale", "size", "model", "model hash", "version")
"""Settings of which a last line that does not begin with `Steps:` has at least one."""

NEGATIVE = "Negative prompt:"
_NEGATIVE = re.compile(rf"{NEGATIVE}[ \t]*", re.IGNORECASE)
_STEPS = re.compile(r"steps:\s*\d", re.IGNORECASE)
_NAME = re.compile(r"[\s,]*([^\W_][\w .\-/+()]{0,60}):\s*")
_NEXT = re.compile(r",\s*(?=[^\W_][\w .\-/+()]{0,60}:)")
_BELOW = re.compile(r"\s*((?:hires )?(?:negative )?(?:template|prompt)):\s*", re.IGNORECASE)
_QUOTED = re.compile(r'"((?:\\.|[^"\\])*)"\s*(?=,|$)', re.DOTALL)
_JSON = re.compile(r"[\[{]\s*[\[{\"\]}\d]")
_PLAIN = re.compile(r'[^,:"\s\[{]([^,:"\n\r]*[^,:"\s])?')


def read(text: str) -> Infotext:
    """The parts of an infotext. Any text is one: what has no settings is a prompt alone.

    Raises ValueError for a text of more than LONGEST characters.
    """
    if len(text) > LONGEST:
        raise ValueError(f"This text has {len(text):,} characters; expected the settings of one picture.")
    lines = text.replace("\r\n", "\n").replace("\r", "\n").strip("\n \t\0").split("\n")
    settings: list[tuple[str, str]] = []
    at = _settings_line(lines)
    if at is not None:
        settings = [*_pairs(lines[at].strip()), *_below(lines[at + 1 :])]
        lines = lines[:at]
    prompt, negative, into = [], [], 0
    for line in lines:
        found = None if into else _NEGATIVE.match(line.lstrip())
        if found:
            into, line = 1, line.lstrip()[found.end() :]
        (negative if into else prompt).append(line.strip())
    return Infotext("\n".join(prompt).strip(), "\n".join(negative).strip(), tuple(settings))


def write(info: Infotext) -> str:
    """The text of an infotext, which `read` reads to the same."""
    lines = [info.prompt] if info.prompt else []
    if info.negative:
        lines.append(" ".join((NEGATIVE, info.negative)))
    if info.settings:
        lines.append(", ".join(f"{name}: {_quoted(value)}" for name, value in info.settings))
    return "\n".join(lines)


def _quoted(value: str) -> str:
    return value if not value or _PLAIN.fullmatch(value) else json.dumps(value, ensure_ascii=False)


def _settings_line(lines: list[str]) -> int | None:
    """The index of the line of settings, the last that can be one; what is below it belongs to it."""
    for at in range(len(lines) - 1, -1, -1):
        line = lines[at].strip()
        if _STEPS.match(line):
            return at
        if _NEGATIVE.match(line):
            return None
        if line and at == len(lines) - 1 and not _BELOW.match(line):
            names = [name.lower() for name, _ in _pairs(line)]
            if len(names) >= FEWEST and any(name in KNOWN for name in names):
                return at
    return None


def _pairs(line: str) -> Iterator[tuple[str, str]]:
    at = broken = 0
    while found := _NAME.match(line, at):
        at = found.end()
        if quoted := _QUOTED.match(line, at):
            value, at = _unquoted(quoted[1]), quoted.end()
        else:
            end = None
            if broken < MOST_BROKEN and _JSON.match(line, at):
                end = _json_end(line, at)
                broken += end is None
            if end is None:
                following = _NEXT.search(line, at)
                end = following.start() if following else len(line)
            value, at = line[at:end].strip(" \t,"), end
        yield found[1].strip(), value


def _unquoted(value: str) -> str:
    with suppress(ValueError):
        return json.loads(f'"{value}"', strict=False)
    return value


def _json_end(line: str, at: int) -> int | None:
    """Where a bare JSON value ends, if it is one and a setting ends there."""
    with suppress(ValueError, RecursionError):
        end = json.JSONDecoder(strict=False).raw_decode(line, at)[1]
        if line[end : end + 1] in ("", ","):
            return end
    return None


def _below(lines: list[str]) -> list[tuple[str, str]]:
    """What stands below the settings: Dynamic Prompts has its templates there, others a remark."""
    found: list[tuple[str, str]] = []
    for line in lines:
        if named := _BELOW.match(line):
            found.append((named[1], line[named.end() :]))
        elif found:
            found[-1] = found[-1][0], f"{found[-1][1]}\n{line}"
        elif line.strip():
            found.append(("Below", line))
    return [(name, value.strip()) for name, value in found]
