"""Reads the names and shapes in a pickled checkpoint (.ckpt, .pt, .bin) without unpickling it.

A pickle is a program: unpickled, it can run code or ask for any amount of memory. Here its operations are
only read (`pickletools`) and followed on paper, as far as lists of weights need: calls make notes, never
objects. Whatever torch's weights_only loader would refuse is refused here too. Bounded in time (1 s) and
memory (100 MB).
"""

from __future__ import annotations

import io
import pickletools
import struct
import zipfile
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, BinaryIO

import torch

from .header import Header
from .safetensors_header import HeaderError

ZIP = b"PK\x03\x04"
END_OF_ZIP, LONGEST_COMMENT = 22, 65_535
MOST_PICKLE = 10_000_000
"""Bytes of pickle: a checkpoint with 10,000 tensors has some 2 million."""
MOST_FOLDER = 5_000_000
"""Bytes of a zip's list of files."""
MOST_OPERATIONS = 500_000
"""A tensor takes some 40."""
MOST_DIMENSIONS = 64
LEGACY_MAGIC = 0x1950A86A20F9469CFC6C

# What weights are made of, as weights_only has it; the host may have allowed more.
_PLAIN = {
    "collections.OrderedDict", "collections.defaultdict", "collections.Counter", "_codecs.encode",
    "torch.Size", "torch.device", "torch.serialization._get_layout", "torch._tensor._rebuild_from_type_v2",
    "torch.nn.parameter.Parameter", "torch.nn.parameter.UninitializedParameter",
}  # fmt: skip
_PLAIN |= {
    f"{room}.{name}"
    for room in ("builtins", "__builtin__")
    for name in ("set", "frozenset", "complex", "bytearray", "dict", "list", "int", "float", "slice")
}
_DTYPES = {name: value for name, value in vars(torch).items() if isinstance(value, torch.dtype)}


class Refused(Exception):
    """What is no list of weights; the message says why."""


@dataclass(frozen=True)
class _Named:
    """A class or function by its name."""

    name: str


@dataclass(frozen=True)
class _Storage:
    """Where a tensor's values lie."""

    dtype: str


@dataclass(frozen=True)
class _Tensor:
    """What is known of a tensor."""

    dtype: str
    shape: tuple[int, ...]


_BROKEN = (
    Refused, zipfile.BadZipFile, zlib.error, struct.error, ValueError, LookupError, RuntimeError, OSError,
    EOFError, OverflowError,
)  # fmt: skip


class _Unknown:
    """A value that no list of weights depends on."""


_MARK, _UNKNOWN = object(), _Unknown()


def read_pickle(file: BinaryIO) -> Header:
    """The header of an open pickled state dict. Raises HeaderError for what weights_only refuses."""
    start = file.read(len(ZIP))
    if not start:
        raise HeaderError("is empty (0 bytes); download it again")
    file.seek(0)
    try:
        loaded = _zipped(file) if start == ZIP else _legacy(file)
    except _BROKEN as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise HeaderError(
            "is a pickle that torch's weights_only loader refuses, because it holds more than weights or is "
            f"broken; get a safetensors version of it ({reason})"
        ) from error
    found = {name: value for name, value in state_dict(loaded).items() if isinstance(value, _Tensor)}
    if not found:
        raise HeaderError("is a pickle without weights in it")
    shapes = {name: tensor.shape for name, tensor in found.items()}
    return Header(shapes, {name: tensor.dtype for name, tensor in found.items()}, container="pickle")


def state_dict(loaded: Any) -> dict[str, Any]:
    """The weights in what torch.load returned: itself, or its `state_dict`."""
    if not isinstance(loaded, dict):
        return {}
    inner = loaded.get("state_dict", loaded)
    return inner if isinstance(inner, dict) else {}


def _zipped(file: BinaryIO) -> Any:
    """The one pickle in a file of torch 1.6 and newer."""
    size = file.seek(0, 2)
    file.seek(max(0, size - END_OF_ZIP - LONGEST_COMMENT))
    tail = file.read()
    at = tail.rfind(b"PK\x05\x06")
    # zipfile reads as much of the list of files as this says, before it looks at any of it.
    listed = int.from_bytes(tail[at + 12 : at + 16], "little") if at >= 0 else 0
    wide = tail.rfind(b"PK\x06\x06")
    if wide >= 0:
        listed = max(
            listed if listed < 2**32 - 1 else 0, int.from_bytes(tail[wide + 40 : wide + 48], "little")
        )
    if listed > MOST_FOLDER:
        raise Refused(f"its list of files takes {listed:,} bytes")
    with zipfile.ZipFile(file) as archive:
        name = next((name for name in archive.namelist() if name.endswith("/data.pkl")), None)
        if name is None:
            raise Refused("there is no data.pkl in it")
        # Others (LZMA) can ask for gigabytes before they give a byte, and torch reads none of them.
        if archive.getinfo(name).compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise Refused("it is compressed in a way that torch can't read")
        with archive.open(name) as inside:
            data = inside.read(MOST_PICKLE + 1)
    return _Paper(data).run()


def _legacy(file: BinaryIO) -> Any:
    """The fourth of the pickles that older versions wrote: after a magic number, a version, a system."""
    paper = _Paper(file.read(MOST_PICKLE + 1))
    if paper.run() != LEGACY_MAGIC:
        raise Refused("torch.save did not write it")
    for _version_and_system in range(2):
        paper.run()
    return paper.run()


class _Paper:
    """Follows pickles that lie one after the other in `data`."""

    def __init__(self, data: bytes):
        if len(data) > MOST_PICKLE:
            raise Refused(f"its list of weights takes over {MOST_PICKLE:,} bytes")
        self.data = io.BytesIO(data)
        self.left = MOST_OPERATIONS
        allowed = getattr(torch.serialization, "get_safe_globals", list)()
        self.allowed = _PLAIN | {_name_of(one) for one in allowed}

    def run(self) -> Any:
        """What the next pickle would make, noted down. Raises Refused, or ValueError where it is broken."""
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        for operation, argument, _ in pickletools.genops(self.data):
            self.left -= 1
            if self.left < 0:
                raise Refused(f"it has over {MOST_OPERATIONS:,} operations")
            name = operation.name
            if name == "STOP":
                return self.stack.pop()
            self.do(name, argument)
        raise Refused("it does not end")

    def do(self, name: str, argument: Any) -> None:
        stack, memo = self.stack, self.memo
        if name in _VALUES:
            stack.append(argument)
        elif name in ("BINPUT", "LONG_BINPUT", "PUT"):
            memo[argument] = stack[-1]
        elif name in ("BINGET", "LONG_BINGET", "GET"):
            stack.append(memo[argument])
        elif name == "MARK":
            stack.append(_MARK)
        elif name == "TUPLE":
            stack.append(tuple(self.marked()))
        elif name in _TUPLES:
            count = _TUPLES[name]
            items = [stack.pop() for _ in range(count)][::-1]
            stack.append(tuple(items))
        elif name in _NEW:
            stack.append(_NEW[name]())
        elif name in _CONSTANTS:
            stack.append(_CONSTANTS[name])
        elif name == "GLOBAL":
            stack.append(self.named(argument.replace(" ", ".", 1)))
        elif name == "BINPERSID":
            stack.append(_storage(stack.pop()))
        elif name in ("REDUCE", "NEWOBJ"):
            given = stack.pop()
            stack.append(_called(stack.pop(), given))
        elif name == "BUILD":
            stack.pop()
        elif name in ("SETITEM", "SETITEMS"):
            items = self.marked() if name == "SETITEMS" else [stack.pop(), stack.pop()][::-1]
            _set(stack[-1], zip(items[::2], items[1::2], strict=True))
        elif name in ("APPEND", "APPENDS"):
            items = self.marked() if name == "APPENDS" else [stack.pop()]
            if isinstance(stack[-1], list):
                stack[-1].extend(items)
        elif name in ("DICT", "LIST", "FROZENSET", "ADDITEMS"):
            items = self.marked()
            if name == "DICT":
                stack.append({})
                _set(stack[-1], zip(items[::2], items[1::2], strict=True))
            elif name == "LIST":
                stack.append(items)
            elif name == "FROZENSET":
                stack.append(_UNKNOWN)
        elif name == "POP":
            stack.pop()
        elif name == "DUP":
            stack.append(stack[-1])
        elif name == "MEMOIZE":
            memo[len(memo)] = stack[-1]
        elif name == "STACK_GLOBAL":
            inner, room = stack.pop(), stack.pop()
            if not isinstance(inner, str) or not isinstance(room, str):
                raise Refused("it names something without a name")
            stack.append(self.named(f"{room}.{inner}"))
        elif name not in ("PROTO", "FRAME"):
            raise Refused(f"it uses {name}")

    def marked(self) -> list[Any]:
        """Takes what lies above the last mark."""
        items = []
        while (item := self.stack.pop()) is not _MARK:
            items.append(item)
        return items[::-1]

    def named(self, name: str) -> _Named:
        room, _, inner = name.rpartition(".")
        known = room == "torch" and (inner in _DTYPES or inner.endswith("Storage"))
        known = known or (room == "torch._utils" and inner.startswith("_rebuild_"))
        known = known or (room == "torch.storage" and inner in ("UntypedStorage", "TypedStorage"))
        if not known and name not in self.allowed:
            raise Refused(f"it wants {name[:100]}")
        return _Named(name)


_VALUES = {
    "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT", "STRING",
    "BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8", "UNICODE",
    "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8",
}  # fmt: skip
_TUPLES = {"EMPTY_TUPLE": 0, "TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_NEW = {"EMPTY_LIST": list, "EMPTY_DICT": dict, "EMPTY_SET": _Unknown}
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}


def _name_of(allowed: Any) -> str:
    """The name of what `torch.serialization.add_safe_globals` was given: a class, or a class and a name."""
    if isinstance(allowed, tuple):
        return str(allowed[1])
    return f"{allowed.__module__}.{getattr(allowed, '__qualname__', '')}"


def _set(target: Any, pairs: Iterable[tuple[Any, Any]]) -> None:
    if isinstance(target, dict):
        # Other keys are not names; hashing one could follow a tuple without end.
        target.update((key, value) for key, value in pairs if isinstance(key, str))


def _storage(given: Any) -> Any:
    """A storage from ("storage", class, key, device, length)."""
    if isinstance(given, tuple) and len(given) >= 5 and isinstance(given[1], _Named):
        kind = given[1].name.rpartition(".")[2].removesuffix("Storage")
        return _Storage(_STORAGES.get(kind, kind.lower()))
    raise Refused("it keeps something else than weights beside it")


_STORAGES = {
    "Float": "float32", "Double": "float64", "Half": "float16", "BFloat16": "bfloat16", "Long": "int64",
    "Int": "int32", "Short": "int16", "Char": "int8", "Byte": "uint8", "Bool": "bool",
    "ComplexFloat": "complex64", "ComplexDouble": "complex128",
}  # fmt: skip


def _called(what: Any, given: Any) -> Any:
    """What a call would make. Raises Refused for a call of anything but a name."""
    if not isinstance(what, _Named) or not isinstance(given, tuple):
        raise Refused("it calls what it made itself")
    if what.name in ("collections.OrderedDict", "builtins.dict", "__builtin__.dict"):
        return {}
    if what.name == "torch.Size":
        return given[0] if given else ()
    if what.name.startswith("torch._utils._rebuild_tensor"):
        return _tensor(given)
    if what.name.startswith(("torch._utils._rebuild_parameter", "torch.nn.parameter.Parameter")):
        return given[0] if given else _UNKNOWN
    if what.name == "torch._tensor._rebuild_from_type_v2" and len(given) > 2:
        return _called(given[0], given[2])
    return _UNKNOWN


def _tensor(given: tuple[Any, ...]) -> _Tensor:
    """A tensor from (storage, offset, shape, ...); the third version names its dtype apart."""
    if len(given) < 3 or not isinstance(given[0], _Storage):
        raise Refused("a tensor in it has no values")
    shape = given[2]
    if (
        not isinstance(shape, (tuple, list))
        or len(shape) > MOST_DIMENSIONS
        or not all(type(side) is int and 0 <= side < 2**63 for side in shape)
    ):
        raise Refused("a tensor in it has no shape")
    named = [one.name.rpartition(".")[2] for one in given[3:] if isinstance(one, _Named)]
    dtype = next(
        (str(_DTYPES[name]).removeprefix("torch.") for name in named if name in _DTYPES), given[0].dtype
    )
    return _Tensor(dtype, tuple(shape))
