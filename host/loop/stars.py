"""Stars: which pictures of a run its user likes, in the user's own folder: every browser shows them."""

from __future__ import annotations

import json
import re
import threading
from pathlib import Path
from typing import Any

from ...core.store.disk import read_bounded, write_atomic
from ...core.store.manifests import is_run_name
from .home import home

PICTURE = re.compile(r"[0-9]{4,7}-[0-9a-f]{8}\.png")
MOST = 10_000
LARGEST = 1 << 20
_lock = threading.Lock()


def read_stars(run: str, user: str | None = None) -> list[str] | None:
    """The file names of the starred pictures of a run, whose name is checked; None where none ever was."""
    try:
        found = json.loads(read_bounded(stars_path(run, user), LARGEST))
    except (OSError, ValueError, RecursionError):
        return None
    found = found if isinstance(found, list) else []
    return [name for name in found if isinstance(name, str) and PICTURE.fullmatch(name)][:MOST]


def write_stars(run: str, change: Any, user: str | None = None) -> list[str]:
    """Gives pictures stars or takes them away: `change` is `{"add": [...], "remove": [...]}`, file names.

    Returns what is starred then. Raises ValueError for a run or a picture that can't be.
    """
    if not is_run_name(run):
        raise ValueError(f"{run[:40]!r} is no name of a run.")
    change = change if isinstance(change, dict) else {"": None}
    if not change.keys() <= {"add", "remove"} or not all(map(_are_pictures, change.values())):
        raise ValueError("Expected the file names of pictures of a run to add or to remove.")
    with _lock:
        kept = [name for name in read_stars(run, user) or [] if name not in change.get("remove", ())]
        stars = list(dict.fromkeys([*kept, *change.get("add", ())]))
        if len(stars) > MOST:
            raise ValueError(f"A run has at most {MOST:,} stars.")
        try:
            write_atomic(stars_path(run, user), json.dumps(stars).encode())
        except OSError as error:
            raise ValueError(f"The star can't be kept: {error.strerror}.") from error
    return stars


def _are_pictures(names: Any) -> bool:
    return isinstance(names, list) and all(isinstance(n, str) and PICTURE.fullmatch(n) for n in names)


def stars_path(run: str, user: str | None = None) -> Path:
    """Where the stars of a run, whose name is checked, are kept."""
    return home(user) / "stars" / f"{run}.json"
