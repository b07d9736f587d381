"""The viewer of a grid: one HTML file that needs the pictures beside it and nothing else."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

PAGE = Path(__file__).resolve().parents[2] / "assets" / "grids" / "viewer.html"
PLACE = "{}/*GRID*/"


def viewer(grid: Mapping[str, Any]) -> str:
    """The page, in ASCII, with what it shows written into it.

    `grid` has a `name`, `axes` (`title`, `values`) and `keys`: for each combination of values, the first axis
    fastest, the KEY of its picture `cells/KEY.png`, or None. No text can end the element that it stands in,
    or become markup: the page reads it as JSON and shows it as text.
    """
    before, after = _page()
    return before + json.dumps(grid).replace("<", "\\u003c") + after


@lru_cache(maxsize=1)
def _page() -> tuple[str, str]:
    text = PAGE.read_text("ascii")
    before, after = text.split(PLACE)
    return before, after
