"""Plain values that a pack's modules hold: settings that no widget shows and another node may change.

Only what can be read whole counts (numbers, texts, tensors, and containers and instances of these). Objects
of other kinds, such as loaded models in a cache, are left out: they are made from what the graph names.
"""

from __future__ import annotations

import hashlib
import os
import re
import types
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from ...core.loop.plan import content_hash

DEPTH = 6
VOLATILE = re.compile(r"[0-9a-f]{8}-?([0-9a-f]{4}-?){3}[0-9a-f]{12}", re.IGNORECASE)
"""A random id: another one in each process, and no setting."""
EPOCH = (1.6e9, 1e10)
"""Seconds since 1970 between 2020 and 2286: a time of day, no setting."""
SKIPPED = {"NODE_CLASS_MAPPINGS", "NODE_DISPLAY_NAME_MAPPINGS", "WEB_DIRECTORY", "RELATIVE_PYTHON_MODULE"}
"""What the host is told, and where it notes the folder that a pack lies in."""


def plain(module: types.ModuleType, pack: Path) -> str:
    """A hash of all plain values of a module, its functions' defaults and its classes' attributes."""
    reader = _Reader(str(pack), module.__name__)
    for name in sorted(vars(module)):
        if name.startswith("__") or name in SKIPPED:
            continue
        reader.read(name, vars(module)[name], DEPTH)
    return reader.digest.hexdigest()


class _Reader:
    def __init__(self, root: str, module: str):
        self.root, self.module = root, module
        self.digest = hashlib.blake2b(digest_size=16)
        # By identity, and kept alive: what is only made here must not lend its identity to what comes next.
        self.seen: dict[int, Any] = {}

    def say(self, name: str, value: str) -> None:
        self.digest.update(f"{name}\0{value}\1".encode("utf-8", "surrogatepass"))

    def read(self, name: str, value: Any, depth: int) -> None:
        """Adds `value` to the hash if it is plain, and what is plain in it."""
        if value is None or isinstance(value, bool | complex | bytes):
            self.say(name, repr(value))
        elif isinstance(value, int | float):
            if not EPOCH[0] < value < EPOCH[1]:
                self.say(name, repr(value))
        elif isinstance(value, str | os.PathLike):
            text = os.fspath(value)
            if isinstance(text, str) and not VOLATILE.fullmatch(text):
                self.say(
                    name, text.replace(self.root, "<pack>") if not os.path.isabs(text) else self._path(text)
                )
        elif isinstance(value, Tensor):
            if not value.is_meta:
                self.say(name, content_hash(value))
        elif isinstance(value, np.ndarray | np.generic):
            self.say(name, f"{value.dtype}{value.shape}{hashlib.blake2b(value.tobytes()).hexdigest()}")
        elif depth and id(value) not in self.seen:
            self.seen[id(value)] = value
            self._read_inside(name, value, depth - 1)

    def _read_inside(self, name: str, value: Any, depth: int) -> None:
        if isinstance(value, dict):
            for key in sorted((key for key in value if isinstance(key, str | int | float)), key=str):
                self.read(f"{name}.{key}", value[key], depth)
        elif isinstance(value, list | tuple):
            for index, item in enumerate(value):
                self.read(f"{name}[{index}]", item, depth)
        elif isinstance(value, set | frozenset):
            if all(isinstance(item, str | int | float) for item in value):
                self.say(name, repr(sorted(map(repr, value))))
        elif isinstance(value, types.FunctionType):
            if value.__module__ == self.module:
                self.read(f"{name}()", [value.__defaults__, value.__kwdefaults__, _cells(value)], depth)
                self.read(f"{name}()", vars(value), depth)
        elif isinstance(value, classmethod | staticmethod):
            self.read(name, value.__func__, depth)
        elif isinstance(value, type):
            if value.__module__ == self.module:
                for key in sorted(vars(value)):
                    if not key.startswith("__") and key not in SKIPPED:
                        self.read(f"{name}.{key}", vars(value)[key], depth)
        elif type(value).__module__ == self.module or isinstance(value, types.SimpleNamespace):
            self.read(name, getattr(value, "__dict__", None), depth)
            for key in getattr(type(value), "__slots__", ()):
                if isinstance(key, str) and not key.startswith("__"):
                    self.read(f"{name}.{key}", getattr(value, key, None), depth)

    def _path(self, text: str) -> str:
        """An absolute path counts by what it is called: the same pack may lie elsewhere."""
        inside = text.startswith(self.root)
        return "<pack>" + text[len(self.root) :].replace("\\", "/") if inside else os.path.basename(text)


def _cells(function: types.FunctionType) -> list:
    found = []
    for cell in function.__closure__ or ():
        try:
            found.append(cell.cell_contents)
        except ValueError:  # a name that is not bound yet
            found.append(None)
    return found
