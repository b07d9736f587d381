"""A content-addressed store of finished iterations on disk.

One file an entry, named by its key (`core/store/entries.py`). Several processes may share a store: entries
are immutable, and a file that another process has removed is a miss. When the store is over its limit the
least recently used entries go first.
"""

from __future__ import annotations

import logging
import os
import re
import stat
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from io import BufferedReader
from pathlib import Path
from typing import Any

from .disk import sweep, write_atomic
from .entries import (
    DamagedEntry,
    Entry,
    Head,
    encode,
    read_entry,
    read_first_version,
    read_head,
)  # fmt: skip

log = logging.getLogger("isi.store")

KEY = re.compile(r"[0-9a-f]{32}")
SUFFIX = ".safetensors"
PARTS, CLOCK = "parts", "clock"
DEFAULT_LIMIT = 2 << 30
UNSEEN = 0.1
"""The store is listed anew when this share of its limit was written: others may write and remove too."""

_used: dict[Path, tuple[int, int]] = {}
"""What stores hold as far as this process knows, and how much it wrote since it last looked: bytes."""
_lock = threading.Lock()


class Store:
    """Entries under `root`, at most `limit` bytes of them (0 keeps nothing)."""

    def __init__(self, root: Path, limit: int):
        self.root = root
        self.limit = limit
        self._said = False

    def has(self, key: str) -> bool:
        """Whether an entry is there (it may still prove damaged)."""
        try:
            return stat.S_ISREG(os.lstat(self._path(key)).st_mode)
        except OSError:
            return False

    def size(self, key: str) -> int:
        """The bytes of an entry; 0 where there is none."""
        try:
            state = os.lstat(self._path(key))
        except OSError:
            return 0
        return state.st_size if stat.S_ISREG(state.st_mode) else 0

    def get(self, key: str, names: Iterable[str] | None = None, first_version: bool = False) -> Entry | None:
        """The entry, or None where there is none; with `names`, only these tensors are read.

        Raises DamagedEntry, having removed what is not whole. `first_version` takes files of ISI 0.1 too,
        which do not prove their key: to look at, never to go on from.
        """
        try:
            with self._open(key) as file:
                if file is None:
                    return None
                entry = self._read(file, key, names, first_version)
        except (OSError, MemoryError) as error:
            log.warning("%s%s can't be read now: %s", key, SUFFIX, error)
            return None
        with suppress(OSError):
            self._stamp(self._path(key))
        return entry

    def facts(self, key: str) -> Mapping[str, Any] | None:
        """The facts of an entry, from its header alone; None where there is none. Raises DamagedEntry."""
        with suppress(OSError), self._open(key) as file:
            return None if file is None else self._head(file, key).facts

    def put(self, key: str, entry: Entry) -> bool:
        """Writes an entry for good; False (said once in the log) where it can't be kept."""
        if self.limit <= 0:
            return False
        try:
            data = encode(key, entry)
            size = sum(map(len, data))
            if size > self.limit:
                raise OSError(f"an iteration takes {size:,} bytes, more than the store's {self.limit:,}")
            path = self._path(key)
            write_atomic(path, *data, parts=self.root / PARTS)
        except (OSError, DamagedEntry) as error:
            if not self._said:
                log.warning("The store at %s can't be written (%s): going on without it.", self.root, error)
            self._said = True
            return False
        with suppress(OSError):
            self._stamp(path)
        self._account(size)
        return True

    def sweep(self) -> None:
        """Removes what killed writers left."""
        sweep(self.root / PARTS)

    def remove(self, key: str) -> None:
        """Takes an entry out."""
        with suppress(OSError):
            self._path(key).unlink()

    def _path(self, key: str) -> Path:
        if not KEY.fullmatch(key):
            raise OSError(f"{key[:40]!r} is no key")  # a miss: names of files come from nothing else
        return self.root / key[:2] / (key + SUFFIX)

    @contextmanager
    def _open(self, key: str) -> Iterator[BufferedReader | None]:
        """The file of an entry, None where there is none. One that proves damaged in the end is removed."""
        if not self.has(key):
            # A folder or a link of that name is no entry: nothing outside the root is opened.
            yield None
            return
        try:
            file = self._path(key).open("rb")
        except OSError:
            yield None
            return
        try:
            with file:
                yield file
        except DamagedEntry as error:
            self.remove(key)
            raise DamagedEntry(f"{key}{SUFFIX} {error}") from error

    def _read(
        self, file: BufferedReader, key: str, names: Iterable[str] | None, first_version: bool
    ) -> Entry:
        try:
            return read_entry(file, self._head(file, key), names)
        except DamagedEntry:
            if not first_version:
                raise
        file.seek(0)
        return read_first_version(file, self._most())

    def _head(self, file: BufferedReader, key: str) -> Head:
        return read_head(file, key, self._most())

    def _most(self) -> int:
        """Bytes of the largest entry that `put` may have written."""
        return self.limit or DEFAULT_LIMIT

    def _stamp(self, path: Path) -> None:
        """Marks an entry as used last, also where the system's clock was set back: the store's never is."""
        clock, now = self.root / CLOCK, time.time_ns()
        try:
            now = max(now, clock.stat().st_mtime_ns + 1_000)
        except FileNotFoundError:
            clock.touch()
        os.utime(clock, ns=(now, now))
        os.utime(path, ns=(now, now))

    def _account(self, written: int) -> None:
        with _lock:
            used, unseen = _used.get(self.root, (0, self.limit))
            used, unseen = used + written, unseen + written
            if unseen >= UNSEEN * self.limit:
                used, unseen = sum(size for _, size, _ in self._entries()) + self._unfinished(), 0
            if used > self.limit:
                used, unseen = self._evict(), 0
            _used[self.root] = used, unseen

    def _unfinished(self) -> int:
        """Bytes of files that are being written; what killed writers left is removed."""
        return sweep(self.root / PARTS) + sum(sweep(folder) for folder in self.root.glob("[0-9a-f][0-9a-f]"))

    def _entries(self) -> list[tuple[int, int, Path]]:
        entries = []
        for path in self.root.glob(f"*/*{SUFFIX}"):
            with suppress(OSError):
                state = path.stat()
                entries.append((state.st_mtime_ns, state.st_size, path))
        return entries

    def _evict(self) -> int:
        """Removes the oldest entries until a tenth of the limit is free, so that not each step must."""
        entries = sorted(self._entries())
        used = sum(size for _, size, _ in entries)
        for _, size, path in entries[:-1]:
            if used <= 0.9 * self.limit:
                break
            with suppress(OSError):
                path.unlink()
            used -= size
        return used
