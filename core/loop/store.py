"""A content-addressed store of finished iterations on disk.

One safetensors file an entry, named by its key, written to a temp file, fsynced and renamed, and checked by
checksum on reading. Several processes may share a store: entries are immutable, and a file that another
process has removed is a miss. When the store is over its limit the least recently used entries go first.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, uint8

log = logging.getLogger("isi.store")

SUFFIX = ".safetensors"


@dataclass(frozen=True)
class Entry:
    """What one finished iteration left: named tensors, and facts as a JSON value."""

    tensors: Mapping[str, Tensor]
    facts: Mapping[str, Any] = field(default_factory=dict)


class DamagedEntry(Exception):
    """An entry that could be found but not trusted. It has been removed."""


class Store:
    """Entries under `root`, at most `limit` bytes of them (0 keeps nothing)."""

    def __init__(self, root: Path, limit: int):
        self.root = root
        self.limit = limit
        self._used: int | None = None
        self._writable = limit > 0

    def has(self, key: str) -> bool:
        """Whether an entry is there (it may still prove damaged)."""
        return self._path(key).is_file()

    def get(self, key: str) -> Entry | None:
        """The entry, or None where there is none. Raises DamagedEntry, having removed what is not whole."""
        path = self._path(key)
        try:
            data = path.read_bytes()
        except OSError:
            return None
        try:
            header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
            note = json.loads(header["__metadata__"]["isi"])
            tensors = load(data)
        except (SafetensorError, KeyError, ValueError) as error:
            self._remove(path)
            raise DamagedEntry(f"{path.name}: {error}") from error
        if note["checksum"] != checksum(tensors, note["facts"]):
            self._remove(path)
            raise DamagedEntry(f"{path.name}: its checksum does not match")
        with contextlib.suppress(OSError):
            os.utime(path)  # "oldest" means least recently used
        return Entry(tensors, note["facts"])

    def put(self, key: str, entry: Entry) -> bool:
        """Writes an entry for good; False (said once in the log) where the disk does not take it."""
        if not self._writable:
            return False
        note = {"checksum": checksum(entry.tensors, entry.facts), "facts": dict(entry.facts)}
        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in entry.tensors.items()}
        data = save(tensors, {"isi": json.dumps(note)})
        try:
            write_atomic(self._path(key), data)
        except OSError as error:
            self._writable = False
            log.warning("The store at %s can't be written (%s): going on without it.", self.root, error)
            return False
        self._account(len(data))
        return True

    def _path(self, key: str) -> Path:
        return self.root / key[:2] / (key + SUFFIX)

    def _remove(self, path: Path) -> None:
        with contextlib.suppress(OSError):
            path.unlink()

    def _account(self, written: int) -> None:
        if self._used is None:
            self._used = sum(size for _, size, _ in self._entries())
        else:
            self._used += written
        if self._used > self.limit:
            self._evict()

    def _entries(self) -> list[tuple[float, int, Path]]:
        entries = []
        for path in self.root.glob(f"*/*{SUFFIX}"):
            with contextlib.suppress(OSError):
                stat = path.stat()
                entries.append((stat.st_mtime, stat.st_size, path))
        return entries

    def _evict(self) -> None:
        """Removes the oldest entries until a tenth of the limit is free, so that not each step must."""
        entries = sorted(self._entries())
        used = sum(size for _, size, _ in entries)
        for _, size, path in entries[:-1]:
            if used <= 0.9 * self.limit:
                break
            self._remove(path)
            used -= size
        self._used = used


def checksum(tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> str:
    """BLAKE2b over names, dtypes, shapes and bytes of all tensors, and over the facts."""
    digest = hashlib.blake2b(digest_size=16)
    digest.update(json.dumps(facts, sort_keys=True).encode())
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.view(-1).view(uint8).numpy().data)
    return digest.hexdigest()


def write_atomic(path: Path, data: bytes) -> None:
    """Writes a file so that a crash leaves the old one or the new one, never a part. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=".", suffix=".part", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
