"""What is written down of a run: `runs/NAME.json`, and its earlier versions under `runs/versions`.

A manifest says which iterations make up a run and what their steps were. An edit writes it anew; what it said
before stays as a version. Versions belong to a family: a named run's are those of its name, an unnamed run's
(whose name changes with each edit) are those of all unnamed runs that start alike.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from ...core.store.disk import hold, read_bounded, sweep, write_atomic
from ...core.store.index import Known, RunIndex
from ...core.store.manifests import LARGEST, VERSION, check_manifest, unreadable
from .home import home

MOST_VERSIONS = 20
MOST_BYTES = 64 << 20
"""Together, the versions of a family take no more than this; the newest stays."""


def manifest_path(name: str, user: str | None = None) -> Path:
    """Where the run of that (checked) name is written down."""
    return home(user) / "runs" / f"{name}.json"


def present_name(name: str, user: str | None = None) -> str:
    """What the run of that (checked) name is called now; the name itself where no run was renamed from it."""
    if manifest_path(name, user).exists():
        return name
    return run_index(user).now_called(name) or name


def answers_path(family: str, user: str | None = None) -> Path:
    """Where the runs of a family write down which candidates were chosen."""
    return home(user) / "chosen" / f"{family}.txt"


def run_index(user: str | None = None) -> RunIndex:
    """The index of the runs of a user."""
    return RunIndex(home(user) / "runs")


@contextmanager
def in_progress(name: str) -> Iterator[None]:
    """Says that the run of that name is being made, so that nobody removes or renames it meanwhile."""
    with ExitStack() as stack:
        with suppress(OSError):  # a disk that takes nothing
            sweep(_progress(name))  # what a killed process left
            stack.enter_context(hold(_progress(name)))
        yield


def is_in_progress(name: str, user: str | None = None) -> bool:
    """Whether this or another process is making the run of that name."""
    return sweep(_progress(name, user)) > 0


def _progress(name: str, user: str | None = None) -> Path:
    return home(user) / "runs" / "running" / name


def write_manifest(value: dict[str, Any], version: str, family: str) -> None:
    """Writes a run down under its name and as a version of its family. Raises OSError.

    `version` is what tells versions apart: the key of the last step that was planned.
    """
    folder = home() / "runs" / "versions" / family
    newest = max((stamp for stamp, _, _ in _stamped(folder)), default=0)
    stamp = max(time.time_ns(), newest + 1_000)  # also where the clock was set back
    index = run_index()
    more = {"formerly": index.formerly(value["name"]), "family": family, "saved": stamp / 1e9}
    value = {"version": VERSION, **value, **more}
    data = json.dumps(value).encode()
    write_atomic(manifest_path(value["name"]), data)
    path = folder / f"{version}.json"
    write_atomic(path, data)
    os.utime(path, ns=(stamp, stamp))
    for each in (manifest_path(value["name"]), path):
        index.note(each, value)
    _prune(folder, index)


def read_manifest(path: Path) -> dict[str, Any]:
    """A manifest whose name, keys and steps are what they should be. Raises OSError or ValueError."""
    return check_manifest(_read(path), path.stem)


def _read(path: Path) -> bytes:
    try:
        return read_bounded(path, LARGEST)
    except ValueError as error:
        raise unreadable(path.stem, str(error)) from error


def versions(value: Known, index: RunIndex) -> Iterator[Known]:
    """Earlier versions of a manifest, newest first; those that can't be read are left out."""
    for path in newest_first(index.runs / "versions" / value.family):
        with suppress(OSError, ValueError):
            found = index.read(path)
            if found.saved <= value.saved and not index.same_keys(found, value):
                yield found


def named_in_versions(names: Iterable[str], family: str) -> set[str]:
    """Those of some masks' names that a version of the family names; what can't be read names none."""
    found, left = set(), set(names)
    for path in newest_first(home() / "runs" / "versions" / family) if left else []:
        with suppress(OSError, ValueError):
            data = _read(path)
            found |= {name for name in left if name.encode() in data}
            left -= found
    return found


def find_key(key: str, name: str = "") -> tuple[dict[str, Any], int] | None:
    """The manifest that has the iteration `key`, and which one that is (from 0); None where none has it.

    A run that is named is looked at first, as it is now, then as it was; then all others, newest first.
    """
    runs = home() / "runs"
    named = [manifest_path(name), *newest_first(runs / "versions" / name)] if name else []
    rest = newest_first(runs, *(path for path in (runs / "versions").glob("*") if path.is_dir()))
    wanted = key.encode()
    for path in [*named, *rest]:
        with suppress(OSError, ValueError):
            data = _read(path)
            if wanted in data:
                value = check_manifest(data, path.stem)
                return value, value["keys"].index(key)
    return None


def _stamped(folder: Path) -> list[tuple[int, int, Path]]:
    """When each file of a folder was written, its size, and where it is."""
    found = []
    for path in folder.glob("*.json"):
        with suppress(OSError):
            stat = path.stat()
            found.append((stat.st_mtime_ns, stat.st_size, path))
    return found


def newest_first(*folders: Path) -> list[Path]:
    """The manifests in some folders."""
    return [path for _, _, path in sorted((f for folder in folders for f in _stamped(folder)), reverse=True)]


def _prune(folder: Path, index: RunIndex) -> None:
    total = 0
    for count, (_, size, path) in enumerate(sorted(_stamped(folder), reverse=True)):
        total += size
        if count and (count >= MOST_VERSIONS + 1 or total > MOST_BYTES):
            with suppress(OSError):
                path.unlink()
                index.forget(path)
