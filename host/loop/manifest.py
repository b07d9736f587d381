"""What is written down of a run: `runs/NAME.json`, and its earlier versions under `runs/versions`.

A manifest says which iterations make up a run and what their steps were. An edit writes it anew; what it said
before stays as a version. Versions belong to a family: a named run's are those of its name, an unnamed run's
(whose name changes with each edit) are those of all unnamed runs that start alike.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from ...core.loop.store import write_atomic
from .home import home

VERSION = 2
MOST_VERSIONS = 20
MOST_BYTES = 64 << 20
"""Together, the versions of a family take no more than this; the newest stays."""
KEY = re.compile(r"[0-9a-f]{32}")
FAMILY = re.compile(r"@[0-9a-f]{16}")
"""An unnamed family, by the root of its keys; no run can have such a name."""


def manifest_path(name: str, user: str | None = None) -> Path:
    """Where the run of that (checked) name is written down."""
    return home(user) / "runs" / f"{name}.json"


def write_manifest(value: dict[str, Any], version: str, family: str) -> None:
    """Writes a run down under its name and as a version of its family. Raises OSError.

    `version` is what tells versions apart: the key of the last step that was planned.
    """
    folder = home() / "runs" / "versions" / family
    newest = max((stamp for stamp, _, _ in _stamped(folder)), default=0)
    stamp = max(time.time_ns(), newest + 1_000)  # also where the clock was set back
    value = {"version": VERSION, **value, "family": family, "saved": stamp / 1e9}
    data = json.dumps(value).encode()
    write_atomic(manifest_path(value["name"]), data)
    path = folder / f"{version}.json"
    write_atomic(path, data)
    os.utime(path, ns=(stamp, stamp))
    _prune(folder)


def read_manifest(path: Path) -> dict[str, Any]:
    """A manifest whose name, keys and steps are what they should be. Raises OSError or ValueError."""
    return check_manifest(path.read_bytes(), path.stem)


def check_manifest(data: bytes, name: str) -> dict[str, Any]:
    """The manifest that `data` is. Raises ValueError, one sentence, for one that can't be believed."""
    try:
        value = json.loads(data)
        version = value["version"]
        if isinstance(version, int) and version > VERSION:
            raise ValueError("it was made by a newer ISI, so update this one")
        keys, steps = value["keys"], value["plan"]["steps"]
        if not (isinstance(keys, list) and isinstance(steps, list) and 0 < len(keys) <= len(steps)):
            raise ValueError("its keys and steps do not fit together")
        if not all(isinstance(key, str) and KEY.fullmatch(key) for key in keys):
            raise ValueError("its keys are no keys")
        if not all(isinstance(step[text], str) for step in steps for text in ("label", "prompt")):
            raise ValueError("its steps have no prompts")
    except KeyError as error:
        raise _unreadable(name, f"it has no {error}") from error
    except (TypeError, RecursionError) as error:
        raise _unreadable(name, "it has values of a wrong type") from error
    except ValueError as error:
        broken = isinstance(error, json.JSONDecodeError | UnicodeDecodeError)
        raise _unreadable(name, "it is cut short or no JSON" if broken else str(error)) from error
    value["name"] = value["name"] if isinstance(value.get("name"), str) else name
    value["saved"] = value["saved"] if isinstance(value.get("saved"), float) else 0.0
    return value


def versions(value: dict[str, Any], user: str | None = None) -> Iterator[dict[str, Any]]:
    """Earlier versions of a manifest, newest first; those that can't be read are left out."""
    family = value.get("family")
    if not isinstance(family, str) or not (family == value["name"] or FAMILY.fullmatch(family)):
        return
    folder = home(user) / "runs" / "versions" / family
    for path in newest_first(folder):
        with suppress(OSError, ValueError):
            found = read_manifest(path)
            if found["keys"] != value["keys"] and found["saved"] <= value["saved"]:
                yield found


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
            data = path.read_bytes()
            if wanted in data:
                value = check_manifest(data, path.stem)
                return value, value["keys"].index(key)
    return None


def _unreadable(name: str, why: str) -> ValueError:
    return ValueError(f"What is written down of the run {name!r} can't be used ({why}): queue the run again.")


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


def _prune(folder: Path) -> None:
    total = 0
    for count, (_, size, path) in enumerate(sorted(_stamped(folder), reverse=True)):
        total += size
        if count and (count >= MOST_VERSIONS + 1 or total > MOST_BYTES):
            with suppress(OSError):
                path.unlink()
