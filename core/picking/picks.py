"""What a user has picked in a picture: points and a box an object, as text that a hand can write too.

# name: + adds at x y, - takes away at x y, box left top right bottom; all in percent of the picture
cat: + 40 55, + 48.5 60, - 70 30
ball: box 10 60 30 85
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

Point = tuple[float, float]

NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)")
BOX = "box"
MOST_OBJECTS, MOST_POINTS = 64, 1000
LONGEST_NAME = 80


@dataclass(frozen=True)
class Pick:
    """One object: a `name`, points that are on it and points that are not (x, y), and the `box` (left, top,
    right, bottom) that it lies in; all in percent of the picture's width and height, 0 to 100."""

    name: str
    add: tuple[Point, ...] = ()
    remove: tuple[Point, ...] = ()
    box: tuple[float, float, float, float] | None = None


def parse_picks(text: str) -> tuple[Pick, ...]:
    """The objects of a text, a line each; empty lines and those that start with # say nothing.

    Raises:
        ValueError: in one sentence, with the line's number, for what can't be read, lies outside the picture,
            or picks nothing.
    """
    picks: list[Pick] = []
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip() and not line.lstrip().startswith("#"):
            picks.append(_pick(line, number))
    if len(picks) > MOST_OBJECTS:
        raise ValueError(f"There are {len(picks)} objects, and at most {MOST_OBJECTS} can be picked at once.")
    return tuple(picks)


def _pick(line: str, number: int) -> Pick:
    name, colon, rest = line.partition(":")
    if not colon:
        raise ValueError(f"Line {number} of the picks has no colon: write it as `name: + 40 55, - 70 30`.")
    name = name.strip()[:LONGEST_NAME]
    add: list[Point] = []
    remove: list[Point] = []
    box = None
    for part in (part.strip() for part in rest.split(",")):
        mark = BOX if part.startswith(BOX) else part[:1]
        words = part[len(mark) :].split()
        lengths = {"+": 2, "-": 2, BOX: 4}
        if mark not in lengths or len(words) != lengths[mark] or not all(map(NUMBER.fullmatch, words)):
            raise ValueError(
                f"Line {number} of the picks has {part!r} where `+ x y`, `- x y` or `box left top right "
                "bottom` was expected, in percent of the picture."
            )
        values = tuple(map(float, words))
        if not all(0 <= value <= 100 for value in values):
            raise ValueError(f"Line {number} of the picks has {part!r}, which lies outside 0 to 100 percent.")
        if mark == BOX:
            left, top, right, bottom = values
            if left >= right or top >= bottom:
                raise ValueError(f"Line {number} of the picks has an empty box: left and top come first.")
            box = (left, top, right, bottom)
        else:
            (add if mark == "+" else remove).append((values[0], values[1]))
    if not add and box is None:
        raise ValueError(f"Line {number} of the picks adds nothing: an object needs a `+ x y` or a `box`.")
    if len(add) + len(remove) > MOST_POINTS:
        raise ValueError(f"Line {number} of the picks has over {MOST_POINTS} points.")
    return Pick(name, tuple(add), tuple(remove), box)


def pixel(point: Point, height: int, width: int) -> tuple[int, int]:
    """The row and column that a point lies in; the far border is the last pixel's."""
    x, y = point
    return min(height - 1, math.floor(y / 100 * height)), min(width - 1, math.floor(x / 100 * width))


def pixel_box(pick: Pick, height: int, width: int) -> tuple[int, int, int, int] | None:
    """The box's top, left, bottom and right in pixels, the last two beyond it; at least a pixel large."""
    if pick.box is None:
        return None
    top, left = pixel(pick.box[:2], height, width)
    bottom, right = (
        math.ceil(end / 100 * side) for end, side in ((pick.box[3], height), (pick.box[2], width))
    )
    return top, left, max(bottom, top + 1), max(right, left + 1)
