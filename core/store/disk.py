"""Files that are whole or not there: written beside their place, flushed, renamed; read within bounds."""

from __future__ import annotations

import os
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows: a file that is open can't be removed there, which is lock enough
    fcntl = None

PART = ".part"
TRIES = 3
WAITS = (0.02, 0.05, 0.1, 0.2, 0.4)
"""Seconds between attempts to rename a file that something else (a virus scanner) holds open."""
ABANDONED = 24 * 3600.0
"""Seconds after which an unfinished file is left over, on disks that can't lock."""


def write_atomic(path: Path, *data: bytes | memoryview, parts: Path | None = None) -> None:
    """Writes a file so that a crash leaves the old one or the new one, never a part. Raises OSError.

    The unfinished file lies in `parts`, on the same disk; by default in the folder of `path`. Who is killed
    while writing leaves it behind for `sweep`.
    """
    for left in reversed(range(TRIES)):
        try:
            return _write(path, data, parts or path.parent)
        except FileNotFoundError:  # the folder was removed, or our file swept before it was locked
            if not left:
                raise


def sweep(folder: Path) -> int:
    """Removes unfinished files in `folder` that nobody writes any more; the bytes of those that stay."""
    kept = 0
    with suppress(OSError), os.scandir(folder) as found:
        for each in found:
            if each.name.startswith(".") and each.name.endswith(PART):
                with suppress(OSError):
                    size = each.stat(follow_symlinks=False).st_size
                    kept += 0 if _remove_abandoned(each.path) else size
    return kept


@contextmanager
def hold(folder: Path) -> Iterator[None]:
    """Says to every process that what `folder` stands for is in use, until the block or this process ends: as
    long as that is so, `sweep` keeps a byte in it. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    handle, mark = tempfile.mkstemp(prefix=".", suffix=PART, dir=folder)
    try:
        with os.fdopen(handle, "wb", buffering=0) as file:
            _lock(handle)
            file.write(b".")
            yield
    finally:
        with suppress(OSError):
            os.unlink(mark)
        with suppress(OSError):
            folder.rmdir()


def read_bounded(path: Path, most: int) -> bytes:
    """A regular file's content. Raises OSError, and ValueError where it is larger than `most` bytes."""
    with path.open("rb") as file:
        state = os.fstat(file.fileno())
        if not stat.S_ISREG(state.st_mode) or state.st_size > most:
            raise ValueError(f"it has {state.st_size:,} bytes, and at most {most:,} are read")
        return file.read(most)


def _write(path: Path, data: tuple[bytes | memoryview, ...], parts: Path) -> None:
    for folder in {path.parent, parts}:
        if not folder.is_dir():
            folder.mkdir(parents=True, exist_ok=True)
            _flush(folder.parent)
    handle, temporary = tempfile.mkstemp(prefix=".", suffix=PART, dir=parts)
    try:
        with os.fdopen(handle, "wb") as file:
            _lock(handle)
            for each in data:
                file.write(each)
            file.flush()
            os.fsync(handle)
            if fcntl:  # under the lock
                _rename(temporary, path)
        if not fcntl:
            _rename(temporary, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise
    _flush(path.parent)


def _rename(temporary: str, path: Path) -> None:
    for wait in WAITS:
        try:
            return os.replace(temporary, path)
        except PermissionError:
            time.sleep(wait)
    os.replace(temporary, path)


def _flush(folder: Path) -> None:
    """Makes a folder's list of names last through a loss of power, where a system can."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _lock(handle: int) -> bool | None:
    """Holds an open file until it is closed or its process is gone.

    False where another process does, None where there are no locks.
    """
    try:
        if fcntl:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
    except BlockingIOError:
        return False
    except OSError:
        pass
    return None


def _remove_abandoned(path: str) -> bool:
    if fcntl:
        with open(path, "r+b") as file:
            free = _lock(file.fileno())
            if free is None:
                free = abs(time.time() - os.fstat(file.fileno()).st_mtime) > ABANDONED
            if free:
                os.unlink(path)
            return free
    os.unlink(path)  # fails as long as it is open
    return True
