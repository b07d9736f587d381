"""What is written down of a run, checked: it may come from a stranger, a newer version, or be cut short."""

from __future__ import annotations

import json
import math
import re
import unicodedata
from typing import Any

from .store import KEY

VERSION = 2
LARGEST = 512 << 20
"""Bytes of a manifest that are read: a million steps with prompts of 50 MB stay below."""
LONGEST_NAME, MOST_BYTES = 100, 200
"""Of a run's name: characters, and bytes, since files take 255 and add endings and numbers."""
RESERVED = {"con", "prn", "aux", "nul", *(f"{p}{i}" for p in ("com", "lpt") for i in range(1, 10))}
FAMILY = re.compile(r"@[0-9a-f]{16}")
"""An unnamed family, by the root of its keys; no run can have such a name."""
MOST_CHANGES, LONGEST_CHANGE, MOST_NAMES = 8, 400, 20


def is_run_name(name: Any) -> bool:
    """Whether a value is a plain folder name on every system: it becomes part of paths."""
    if not isinstance(name, str) or not 0 < len(name) <= LONGEST_NAME:
        return False
    if not (_is_letter(name[0]) and (_is_letter(name[-1]) or name[-1] in "_()-")):
        return False
    if not all(_is_letter(one) or one in " ._()-" for one in name) or len(name.encode()) > MOST_BYTES:
        return False
    return name.split(".")[0].lower() not in RESERVED


def _is_letter(one: str) -> bool:
    """Letters and digits of every script, with the marks that Hindi, Thai and decomposed accents have."""
    return unicodedata.category(one)[0] in "LMN"


def check_manifest(data: bytes, name: str) -> dict[str, Any]:
    """The manifest that `data` is, with whatever decides a path held to its form: keys, name, family.

    `name` is what the sentence calls it, and what it is called where it does not say. Steps have their texts;
    all else of the plan is checked by `Plan.from_json`. Raises ValueError, one sentence.
    """
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise unreadable(name, "it is cut short or no JSON") from error
    try:
        version = value["version"]
        if isinstance(version, int) and version > VERSION:
            raise ValueError("it was made by a newer ISI, so update this one")
        keys, steps = value["keys"], value["plan"]["steps"]
        value["open"] = value.get("open") is True
        least = 0 if value["open"] else 1
        if not (isinstance(keys, list) and isinstance(steps, list) and least <= len(keys) <= len(steps)):
            raise ValueError("its keys and steps do not fit together")
        if not all(isinstance(key, str) and KEY.fullmatch(key) for key in keys):
            raise ValueError("its keys are no keys")
        if not all(isinstance(step[text], str) for step in steps for text in ("label", "prompt")):
            raise ValueError("its steps have no prompts")
        if not all(_is_choice(one, len(steps)) for one in value.setdefault("asked", [])):
            raise ValueError("its choices are none that a run can have")
        own = value.setdefault("name", name)
        if not is_run_name(own):
            raise ValueError("its name is no name of a run")
        family = value.setdefault("family", own)
        if family != own and not (isinstance(family, str) and FAMILY.fullmatch(family)):
            raise ValueError("its family is none that a run can have")
    except KeyError as error:
        raise unreadable(name, f"it has no {str(error)[:40]}") from error
    except (TypeError, AttributeError) as error:
        raise unreadable(name, "it has values of a wrong type") from error
    except ValueError as error:
        raise unreadable(name, str(error)) from error
    saved = value.get("saved")
    value["saved"] = saved if isinstance(saved, float) and math.isfinite(saved) else 0.0
    changed = value.get("changed")
    texts = changed if isinstance(changed, list) else []
    value["changed"] = [text[:LONGEST_CHANGE] for text in texts if isinstance(text, str)][:MOST_CHANGES]
    formerly = value.get("formerly")
    value["formerly"] = list(filter(is_run_name, formerly if isinstance(formerly, list) else []))[:MOST_NAMES]
    return value


def _is_choice(one: dict[str, Any], steps: int) -> bool:
    """Whether a value says between which candidates of a step a run chose, and which it took."""
    index, keys, seeds, chosen = one["index"], one["keys"], one["seeds"], one["chosen"]
    if not (type(index) is int and 0 <= index < steps and len(keys) == len(seeds)):
        return False
    if not all(isinstance(key, str) and KEY.fullmatch(key) for key in [one["question"], *keys]):
        return False
    return all(type(seed) is int for seed in seeds) and (chosen is None or chosen in range(len(keys)))


def unreadable(name: str, why: str) -> ValueError:
    """The sentence about a manifest that can't be used."""
    return ValueError(
        f"What is written down of the run {name[:100]!r} can't be used ({why}): queue the run again."
    )
