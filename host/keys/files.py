"""Which files a graph's words name, and what is in them: the part of a key that a graph can't say.

A loader is known by the *name* of its file. Here the name becomes the content, so that a file that was
replaced under its name is another one, and a copy in another folder or on another machine is the same.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import platform
import re
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from io import FileIO
from pathlib import Path

import folder_paths

from ...core.language.prompts import LORA_NAME
from ...core.store.disk import write_atomic

WHOLE = 64 << 20
"""Files up to this many bytes are read whole."""
SPOT = 64
"""Bytes that are read at the beginning and in the middle of each tensor of a larger .safetensors file."""
BLOCKS, BLOCK = 256, 4096
"""Blocks at even distances that are read of other large files, besides their first and last MiB."""
LARGEST_HEADER = 100 << 20
LONGEST_NAME = 400
LARGEST_FOLDER = 5000
"""Files of a folder that a word names (a model in diffusers' layout); what has more is no model."""
MODEL_FOLDER = ("model_index.json", "config.json")
NOT_MODELS = {"custom_nodes"}
"""Folders of `folder_paths` that hold no models."""

OWN_LORA = Path(__file__).resolve().parents[2] / "assets" / "mini" / "mini-stripes.safetensors"
EMBEDDING = re.compile(r"embedding:([^\s<\[]+)")
Stamp = tuple[int, int, int, int]


def stamp(path: str) -> Stamp:
    """Size, times of the last change, and inode. Raises OSError."""
    stat = os.stat(path)
    return stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino


CHANGED: set[str] = set()
"""Files that changed since this process first met them: what is loaded may be the old content."""
_first: dict[str, Stamp] = {}


def meet(path: str) -> Stamp:
    """A file's stamp; the one that it had when this process first met it is remembered. Raises OSError."""
    path = os.path.abspath(path)
    now = stamp(path)
    if _first.setdefault(path, now) != now:
        CHANGED.add(path)
    return now


@dataclass
class Files:
    """Contents of files, remembered by their stamps in this process and, in `memo`, for the next one."""

    memo: Path | None = None
    _known: dict[str, tuple[Stamp, str]] = field(default_factory=dict)
    _lock: threading.RLock = field(default_factory=threading.RLock)
    _fresh: bool = False
    _index: dict[str, list[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._known = self._read()

    def refresh(self) -> None:
        """Looks again which model files there are: once a key, since a key asks for many names."""
        self._index = _index()

    def named(self, text: str) -> Iterator[str]:
        """Files and model folders that a widget's text names, in any way that loaders resolve names.

        A name inside any of `folder_paths`' folders (its ending may be left out), `FOLDER/NAME`, a picture of
        the input, output or temp folder, an absolute path, and each `embedding:NAME` and `<lora:NAME>` of a
        prompt.
        """
        for word in LORA_NAME.findall(text):
            yield from lora_files(word.strip())
        for word in EMBEDDING.findall(text):
            for name in sorted({word, word.strip(","), word.rstrip(").,;:!?]}>|")}):
                yield from self._index.get("embeddings/" + _plain(name), ())
        if not 0 < len(text) <= LONGEST_NAME or "\n" in text or "\0" in text:
            return
        yield from self._index.get(_plain(text), ())
        with suppress(OSError, ValueError):
            if os.path.isabs(text) and (os.path.isfile(text) or _is_model_folder(text)):
                yield text
        with suppress(Exception):  # the host's own rules for "picture.png [output]"
            path = folder_paths.get_annotated_filepath(text)
            if os.path.isfile(path):
                yield path

    def content(self, path: str) -> str:
        """A name for what is in a file or in all files of a folder. Raises OSError."""
        if os.path.isdir(path):
            digest = hashlib.blake2b(digest_size=16)
            for file in _below(path):
                digest.update(f"{os.path.relpath(file, path)}\0{self.content(file)}\1".encode())
            return digest.hexdigest()
        path = os.path.abspath(path)
        with self._lock:
            now = meet(path)
            known = self._known.get(path)
            if known and known[0] == now:
                return known[1]
            found = quick_hash(path)
            if known and known[1] == found and now[0] > WHOLE:
                # Written anew, and equal wherever we looked: only reading all of it can tell.
                found = whole_hash(path)
            self._known[path] = (now, found)
            self._fresh = True
            return found

    def save(self) -> None:
        """Writes down what was read, for the next process; a disk that does not take it costs time only."""
        with self._lock:
            if not self._fresh or self.memo is None:
                return
            self._fresh = False
            rows = {path: [list(at), found] for path, (at, found) in (self._read() | self._known).items()}
            with suppress(OSError):
                write_atomic(self.memo, json.dumps({"host": platform.node(), "files": rows}).encode())

    def _read(self) -> dict[str, tuple[Stamp, str]]:
        if self.memo is None:
            return {}
        try:
            value = json.loads(self.memo.read_bytes())
            if value["host"] != platform.node():  # other files may lie under the same paths there
                return {}
            return {
                path: ((at[0], at[1], at[2], at[3]), str(found))
                for path, (at, found) in value["files"].items()
            }
        except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError):
            return {}


def lora_files(name: str) -> list[str]:
    """The LoRAs that `name` may mean: with or without its ending; without its folder where that is needed.

    The mini model's own is found where no other has its name.
    """
    plain = _plain(name)
    listed = {_plain(known): known for known in folder_paths.get_filename_list("loras")}
    for known_as in (str, _stem, os.path.basename, lambda one: os.path.basename(_stem(one))):
        found = [known for one, known in listed.items() if known_as(one) == plain]
        if found:
            paths = (folder_paths.get_full_path("loras", known) for known in found)
            return [path for path in paths if path]
    return [str(OWN_LORA)] if plain in (OWN_LORA.name, OWN_LORA.stem) else []


def _stem(name: str) -> str:
    return os.path.splitext(name)[0]


def whole_hash(path: str) -> str:
    """A hash of every byte. Raises OSError."""
    digest = hashlib.blake2b(digest_size=16)
    with open(path, "rb", buffering=0) as file:
        while block := file.read(1 << 22):
            digest.update(block)
    return "whole:" + digest.hexdigest()


def quick_hash(path: str) -> str:
    """A hash of the whole file up to `WHOLE` bytes; of a larger one its header and a part of each tensor.

    A file that was trained on, merged or quantised differs all over each tensor that it changed.
    Raises OSError.
    """
    size = os.path.getsize(path)
    if size <= WHOLE:
        return whole_hash(path)
    digest = hashlib.blake2b(f"{size}".encode(), digest_size=16)
    with open(path, "rb", buffering=0) as file:
        if hasattr(os, "posix_fadvise"):  # no reading ahead: the spots are far from each other
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_RANDOM)
        for start, end in _tensor_spots(file, size) or _even_spots(size):
            file.seek(start)
            digest.update(file.read(end - start))
    return "quick:" + digest.hexdigest()


def _tensor_spots(file: FileIO, size: int) -> list[tuple[int, int]]:
    """The header of a .safetensors file and two spots of each tensor; nothing where it is no such file."""
    length = int.from_bytes(file.read(8), "little")
    if not 2 <= length <= min(size - 8, LARGEST_HEADER):
        return []
    try:
        header = json.loads(file.read(length))
        offsets = [entry["data_offsets"] for name, entry in header.items() if name != "__metadata__"]
        begin = 8 + length
        spots = [(0, begin)]
        for first, last in offsets:
            middle = (first + last) // 2
            spots += [(begin + at, begin + min(at + SPOT, last)) for at in (first, middle)]
        return spots
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return []


def _even_spots(size: int) -> list[tuple[int, int]]:
    ends = [(0, 1 << 20), (size - (1 << 20), size)]
    return ends + [(at, at + BLOCK) for at in range(0, size - BLOCK, size // BLOCKS)]


def _below(folder: str) -> list[str]:
    found: list[str] = []
    for at, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [os.path.join(at, name) for name in sorted(names) if not name.startswith(".")]
        if len(found) > LARGEST_FOLDER:
            return found[:LARGEST_FOLDER]
    return found


def _is_model_folder(path: str) -> bool:
    """Whether a folder holds a model in diffusers' or transformers' layout."""
    return any(os.path.isfile(os.path.join(path, name)) for name in MODEL_FOLDER)


def _plain(name: str) -> str:
    return name.replace("\\", "/").removeprefix("./")


def _index() -> dict[str, list[str]]:
    """Every model file by the names under which a loader may know it."""
    roots = tuple(
        (kind, tuple(paths))
        for kind, (paths, *_) in sorted(folder_paths.folder_names_and_paths.items())
        if kind not in NOT_MODELS
    )
    index, folders = _built(roots)
    if any(_changed_at(folder) != then for folder, then in folders.items()):
        _built.cache_clear()
        index, _ = _built(roots)
    return index


def _changed_at(folder: str) -> int:
    """When a folder's list of files changed; 0 where there is no folder (yet)."""
    try:
        return os.stat(folder).st_mtime_ns
    except OSError:
        return 0


@functools.lru_cache(maxsize=1)
def _built(roots: tuple) -> tuple[dict[str, list[str]], dict[str, int]]:
    """The index, and the folders that it was read from with the time of their last change."""
    index: dict[str, list[str]] = {}
    folders: dict[str, int] = {}

    def add(name: str, path: str) -> None:
        paths = index.setdefault(name, [])
        if path not in paths:
            paths.append(path)

    for kind, paths in roots:
        for root in paths:
            walked: set[str] = set()
            folders[root] = _changed_at(root)
            for at, inner, names in os.walk(root, followlinks=True):
                if (real := os.path.realpath(at)) in walked:
                    inner[:] = []  # a link that leads in a circle
                    continue
                walked.add(real)
                folders[real] = _changed_at(at)
                inner[:] = sorted(name for name in inner if not name.startswith("."))
                found = [os.path.join(at, name) for name in sorted(names)]
                if at != root and any(name in names for name in MODEL_FOLDER):
                    found.append(at)
                for path in found:
                    local = _plain(os.path.relpath(path, root))
                    stem = os.path.splitext(local)[0]
                    for known in (local, stem, f"{kind}/{local}", f"{kind}/{stem}"):
                        add(known, path)
                    if kind == "vae_approx":
                        add(stem.split("_")[0], path)  # a pair of files with one name
    return index, folders
