"""A run is removed, or gets another name: all that belongs to it, and nothing that another run needs."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...core.store.disk import write_atomic
from ...core.store.index import Known, RunIndex
from ...core.store.manifests import MOST_NAMES, check_manifest
from ..loop.gallery import check_run_name, open_store, picture_name, picture_path
from ..loop.home import home, other_users
from ..loop.manifest import answers_path, is_in_progress, manifest_path, run_index
from ..loop.stars import stars_path
from .listing import no_such_run, pictures_folder, read_run, run_path

PICTURE = re.compile(r"[0-9]{4,7}-[0-9a-f]{8}(-[0-9]{1,4})?\.png")
"""Files of a run that are ours; whatever else lies in its folder stays."""


@dataclass(frozen=True)
class Belongings:
    """What only one run has: files, the one that it is written down in last, and entries of the store."""

    files: list[Path]
    keys: set[str]
    shared: set[str]
    """Iterations of it that other runs have too."""


def room_of(name: str, user: str | None = None) -> dict[str, int]:
    """How many `bytes` it gives back to remove a run, and how many iterations are `shared`: they stay in the
    store, since other runs have them. Raises ValueError for a run that can't be removed now."""
    found = _belongings(name, user)
    store = open_store(user)
    files = sum(map(_bytes, found.files)) + sum(map(store.size, found.keys))
    return {"bytes": files, "shared": sum(map(store.has, found.shared))}


def remove_run(name: str, user: str | None = None) -> dict[str, int]:
    """Removes a run with its pictures, stars, earlier versions, and the iterations that no other run has.

    Returns how many `bytes` were given back. Raises ValueError where it is being made, and where a file can't
    be removed: then the run is still listed.
    """
    found = _belongings(name, user)
    store = open_store(user)
    freed, stuck = 0, ""
    for key in found.keys:
        size = store.size(key)
        store.remove(key)
        freed += size - store.size(key)
    for path in found.files[:-1]:
        freed, stuck = _removed(path, freed, stuck)
    if not stuck:
        freed, stuck = _removed(found.files[-1], freed, stuck)
    if stuck:
        raise ValueError(f"The run {name!r} can't be removed whole ({stuck}): try again.")
    for folder in {path.parent for path in found.files} - {
        home(user) / each for each in ("runs", "stars", "chosen")
    }:
        with suppress(OSError):
            folder.rmdir()
    run_index(user).forget(found.files[-1])
    return {"bytes": freed}


def rename_run(name: str, new: str, user: str | None = None) -> dict[str, str]:
    """Gives a run another name, its pictures, stars and earlier versions too. Whoever asks by the old name is
    told of it as long as no other run has that. Nothing is changed where ValueError is raised."""
    check_run_name(new)
    path, target = run_path(name, user), run_path(new, user)
    value = read_run(name, user)
    _check_free(name, user)
    folder, moved = pictures_folder(name), picture_path(picture_name(new, 0, "")).parent
    if os.path.lexists(target) or os.path.lexists(moved):
        raise ValueError(f"There is a run or a folder named {new!r} already: choose another name.")
    if _is_others(name, user):
        raise ValueError(f"Another user has a run named {name!r} too, in the same folder of pictures.")
    run_index(user).update(versions=True)
    own = [each for each in _versions(run_index(user), name, value["family"]) if not each.trouble]
    value = _renamed(value, name, new)
    runs = home(user) / "runs"
    old = [path]
    try:
        with ExitStack() as undo:
            if value["family"] == new:
                for each in own:
                    source = runs / each.path
                    version = check_manifest(source.read_bytes(), source.stem)
                    _write(runs / "versions" / new / source.name, _renamed(version, name, new), source, undo)
                    old.append(source)
            _write(target, value, path, undo)
            moves = [
                (path.with_suffix(".safetensors"), target.with_suffix(".safetensors")),
                (stars_path(name, user), stars_path(new, user)),
                (answers_path(name, user), answers_path(new, user)),
            ]
            for before, after in [*moves, *([(folder, moved)] if folder else [])]:
                if before.exists():
                    os.rename(before, after)
                    undo.callback(os.rename, after, before)
            undo.pop_all()
    except OSError as error:
        raise ValueError(f"The run can't be renamed ({error.strerror}): it keeps its name.") from error
    if value["family"] != new:  # those of all unnamed runs that start alike stay where they are
        for each in own:
            with suppress(OSError, ValueError):
                source = runs / each.path
                _write(source, _renamed(check_manifest(source.read_bytes(), source.stem), name, new), source)
    for each in old:
        each.unlink(missing_ok=True)
    with suppress(OSError):
        (runs / "versions" / name).rmdir()
    run_index(user).update()
    return {"name": new}


def _belongings(name: str, user: str | None) -> Belongings:
    path = run_path(name, user)
    if not path.is_file() and not path.is_symlink():
        raise no_such_run(name)
    _check_free(name, user)
    index = run_index(user)
    index.update(versions=True)
    family = name
    with suppress(OSError, ValueError):
        family = index.read(path).family
    versions = list(_versions(index, name, family))
    paths = [path.name, *(each.path for each in versions)]
    own = {key for each in paths for key in index.keys(each)}
    own |= {key for each in paths for one in index.asked(each)["asked"] for key in one["keys"]}
    elsewhere = index.keys_of_others(paths)
    folder = None if _is_others(name, user) else pictures_folder(name)
    files = [each for each in folder.iterdir() if PICTURE.fullmatch(each.name)] if folder else []
    files += [index.runs / each.path for each in versions]
    if family == name:
        files.append(answers_path(name, user))
    files += [stars_path(name, user), path.with_suffix(".safetensors"), path]
    return Belongings(files, own - elsewhere, own & elsewhere)


def _versions(index: RunIndex, name: str, family: str) -> Iterator[Known]:
    """The versions of a run, the present one among them. An unnamed run's lie among those of others."""
    for each in index.of_family(family):
        if family == name or each.name == name:
            yield each


def _check_free(name: str, user: str | None) -> None:
    if is_in_progress(name, user):
        raise ValueError(f"The run {name!r} is being made: wait until it has ended, or stop it.")


def _is_others(name: str, user: str | None) -> bool:
    """Whether another user of --multi-user has a run of that name: its pictures lie in the same folder."""
    return any(manifest_path(name, other).exists() for other in other_users(user))


def _renamed(value: dict[str, Any], name: str, new: str) -> dict[str, Any]:
    names = [each for each in (*value["formerly"], name) if each != new]
    family = new if value["family"] == name else value["family"]
    return {**value, "name": new, "family": family, "formerly": names[-MOST_NAMES:]}


def _write(path: Path, value: dict[str, Any], like: Path, undo: ExitStack | None = None) -> None:
    """Writes a manifest with the time of the file that it takes the place of."""
    state = like.stat()
    if undo is not None:
        undo.callback(path.unlink, missing_ok=True)
    write_atomic(path, json.dumps(value).encode())
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))


def _bytes(path: Path) -> int:
    try:
        return path.lstat().st_size
    except OSError:
        return 0


def _removed(path: Path, freed: int, stuck: str) -> tuple[int, str]:
    size = _bytes(path)
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        return freed, stuck or f"{path.name}: {error.strerror}"
    return freed + size, stuck
