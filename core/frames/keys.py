"""Key frames as text: their numbers from 1, with commas or spaces between."""

from __future__ import annotations

import re
from collections.abc import Sequence


def parse_keys(text: str, count: int | None = None) -> list[int]:
    """The frames of a text, from 0; `count` is how many there are, where that is known.

    Raises:
        ValueError: for what is no number of a frame, none, or one twice.
    """
    words = [word for word in re.split(r"[,;\s]+", text) if word]
    for word in words:
        if not re.fullmatch("[0-9]{1,9}", word) or int(word) < 1:
            raise ValueError(f"{word[:40]!r} is no key frame: write the numbers of frames, from 1, as 1, 25.")
        if count is not None and int(word) > count:
            raise ValueError(f"Key frame {word} is named, and the clip has {count} frames: name one of them.")
    keys = [int(word) - 1 for word in words]
    if not keys or len(set(keys)) < len(keys):
        raise ValueError("Key frames are written once each, and at least one: write their numbers, as 1, 25.")
    return keys


def found_in(there: Sequence[bool]) -> str:
    """In which frames something is, in words, from `there` of each frame: `frames 1-20, 31-48`."""
    runs: list[list[int]] = []
    for index in [index for index, one in enumerate(there, 1) if one]:
        if runs and runs[-1][1] == index - 1:
            runs[-1][1] = index
        else:
            runs.append([index, index])
    parts = [f"{first}-{last}" if last > first else f"{first}" for first, last in runs]
    return f"frames {', '.join(parts)}" if parts else "in no frame"
