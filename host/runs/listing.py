"""The runs on disk as the sidebar shows them: the newest first, a page at a time, and by words."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from PIL import Image

from ...core.loop.plan import Plan, Step
from ...core.store.index import Known, RunIndex
from ...core.store.manifests import is_run_name
from ..loop.gallery import picture_name, picture_path
from ..loop.manifest import is_in_progress, manifest_path, read_manifest, run_index
from ..loop.stars import read_stars

PICTURE = re.compile(r"([0-9]{4,7})-([0-9a-f]{8})\.png")
PAGE = 40
SHOWN = 4
"""Pictures of a run in the list."""
SECONDS = 0.15
"""How long a question reads manifests that the index lacks; then it says how many are left."""
MOST_WORDS = 20


def list_runs(words: str, before: tuple[float, str] | None = None, user: str | None = None) -> dict[str, Any]:
    """The `PAGE` newest runs with all of some words in their prompts, labels or name.

    `total` is how many there are, `next` where to go on (`before`), or None, and `unread` how many manifests
    are not known yet: ask again. A run has its `name`, when it was `saved` (s), how many iterations it has
    (`of`) and how many of them have pictures (`done`), some of these `pictures`, the last one's `size`
    (width, height) or None, how many `bytes` its folder of pictures has, how many are `starred`, whether it
    is `running`, how its first `prompt` begins, and in `trouble` why it can't be used, if so.
    """
    index = run_index(user)
    unread = index.update(SECONDS)
    found, total = index.find(words.split()[:MOST_WORDS], PAGE + 1, before)
    page = found[:PAGE]
    return {
        "runs": [_told(index, each, user) for each in page],
        "total": total,
        "unread": unread,
        "next": (page[-1].saved, page[-1].name) if len(found) > PAGE else None,
    }


def plan_text(name: str, user: str | None = None) -> dict[str, str]:
    """The plan of a run as a `table`. Raises ValueError where there is none that can be used."""
    value = read_run(name, user)
    return {"table": Plan(tuple(map(Step.from_json, value["plan"]["steps"]))).table()}


def read_run(name: str, user: str | None = None) -> dict[str, Any]:
    """The manifest of a run. Raises ValueError where there is none that can be used."""
    try:
        return read_manifest(run_path(name, user))
    except OSError as error:
        raise no_such_run(name) from error


def run_path(name: str, user: str | None = None) -> Path:
    """Where a run is written down. Raises ValueError for what is no name of a run."""
    if not is_run_name(name):
        raise ValueError(f"{name[:40]!r} is no name of a run.")
    return manifest_path(name, user)


def no_such_run(name: str) -> ValueError:
    """The sentence about a run that is gone."""
    return ValueError(f"There is no run named {name!r} any more.")


def pictures_folder(name: str) -> Path | None:
    """The folder of a run's pictures; None where there is none, or a link that leads elsewhere."""
    folder = picture_path(picture_name(name, 0, "")).parent
    inside = folder.resolve().parent == folder.parent.resolve()
    return folder if inside and folder.is_dir() and not folder.is_symlink() else None


def _told(index: RunIndex, known: Known, user: str | None) -> dict[str, Any]:
    folder = pictures_folder(known.name)
    done, bytes_, shown, size = 0, 0, (), None
    if folder is not None:
        done, bytes_, shown, size = _pictures(index.runs, known, folder, folder.stat().st_mtime_ns)
    return {
        "name": known.name,
        "saved": known.saved,
        "of": known.count,
        "done": done,
        "pictures": shown,
        "size": size,
        "bytes": bytes_,
        "starred": len(read_stars(known.name, user) or ()),
        "running": is_in_progress(known.name, user),
        "prompt": known.prompt,
        "trouble": known.trouble,
    }


@lru_cache(maxsize=4096)
def _pictures(
    runs: Path, known: Known, folder: Path, time: int
) -> tuple[int, int, tuple[Mapping[str, str], ...], tuple[int, int] | None]:
    """How many iterations of a run have pictures, their bytes, some of them, and the last one's size.

    `time` is when the folder was changed last.
    """
    with os.scandir(folder) as entries:
        sizes = {each.name: each.stat(follow_symlinks=False).st_size for each in entries}
    keys = RunIndex(runs).keys(known.path)
    files = [(int(file[1]), file[2]) for file in map(PICTURE.fullmatch, sizes) if file]
    done = sorted(n for n, key in files if 0 < n <= len(keys) and keys[n - 1].startswith(key))
    picked = {round(n * (len(done) - 1) / (SHOWN - 1)) for n in range(SHOWN)} if done else ()
    shown = tuple(picture_name(known.name, done[at] - 1, keys[done[at] - 1]) for at in sorted(picked))
    return len(done), sum(sizes.values()), shown, _size(folder / shown[-1]["filename"]) if shown else None


def _size(path: Path) -> tuple[int, int] | None:
    try:
        with Image.open(path, formats=["PNG"]) as image:
            return image.size
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None
