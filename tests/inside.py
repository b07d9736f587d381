"""Which files a reader touches, by Python's own audit events: the reader need not know that it is watched."""

from __future__ import annotations

import os
import sys
import sysconfig
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

TOUCHING = {
    "open": 1, "os.remove": 1, "os.rename": 2, "os.mkdir": 1, "os.rmdir": 1, "os.utime": 1, "os.truncate": 1,
    "os.link": 2, "os.symlink": 2, "os.listdir": 1, "os.scandir": 1, "os.chmod": 1, "shutil.rmtree": 1,
}  # fmt: skip
"""Events that name a file, and how many of their first values are paths."""

CODE = (".py", ".pyc", ".so", ".pyd", ".dll", ".dylib")
_roots: list[str] = []
_outside: list[str] = []
_hooked: list[bool] = []
_unwatched: list[int] = []


def _look(event: str, given: tuple) -> None:
    if not _roots or event not in TOUCHING or threading.get_ident() in _unwatched:
        return
    for path in given[: TOUCHING[event]]:
        if not isinstance(path, str | bytes | os.PathLike):
            continue  # the handle of what was opened before
        where = os.path.realpath(os.fsdecode(path))
        if where.startswith(("/dev/", "/proc/", "/sys/")) or _is_import(event, where):
            continue
        if not any(where == root or where.startswith(root + os.sep) for root in _roots):
            _outside.append(f"{event} {where[:200]}")


def _is_import(event: str, where: str) -> bool:
    """What Python looks at when a function imports a module: folders of its path, and code."""
    if event in ("os.listdir", "os.scandir"):
        return where in {os.path.realpath(path) for path in sys.path} or where.startswith(_LIBRARIES)
    return event == "open" and where.endswith(CODE)


_LIBRARIES = tuple(os.path.realpath(sysconfig.get_paths()[name]) for name in ("stdlib", "purelib", "platlib"))


@contextmanager
def kept_inside(*roots: Path, others_only: bool = False) -> Iterator[list[str]]:
    """Gives the list of what is touched outside of `roots` and is no code, as it grows; with `others_only` by
    other threads than the one that calls this.
    """
    if not _hooked:
        sys.addaudithook(_look)  # which can't be taken out again
        _hooked.append(True)
    _outside.clear()
    _roots[:] = [os.path.realpath(root) for root in roots]
    _unwatched[:] = [threading.get_ident()] if others_only else []
    try:
        yield _outside
    finally:
        _roots.clear()
