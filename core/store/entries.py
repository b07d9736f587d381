"""A finished iteration as one file that proves itself: a safetensors file whose header has the proof.

The header's note has a digest of each tensor, and a checksum over the iteration's key, the facts, and every
tensor's name, type, shape and digest. So the header alone tells whether a file is what its name says, and a
tensor is held to its digest when it is read. Tensors of equal bits are written once.

Files may come from anyone: a header has at most 1 MiB, and its sizes must add up to the file's before
anything is allocated. Nothing is mapped: Windows could not replace the file as long as it is.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from io import BufferedReader
from typing import Any

import torch
from torch import Tensor, uint8

VERSION = 2
LENGTH = 8
LONGEST_HEADER = 1 << 20
DTYPES = {"F64": torch.float64, "F32": torch.float32, "BF16": torch.bfloat16, "F16": torch.float16}
NAMES = {dtype: name for name, dtype in DTYPES.items()}

# What an iteration may have: which ranks, and like which other one it is shaped.
PICTURE, LATENT = (4,), (3, 4, 5)
TENSORS = {
    "picture": (PICTURE, ""),
    "latent": (LATENT, ""),
    "next_picture": (PICTURE, "picture"),
    "next_latent": (LATENT, "latent"),
    "init": ((*PICTURE, *LATENT), ""),
    "reference": (PICTURE, ""),
    "unseen": ((3,), ""),
}
NEEDED, OF_A_FRAME = {"picture", "latent"}, {"picture", "unseen"}


@dataclass(frozen=True)
class Entry:
    """What one finished iteration left: named tensors, and facts as a JSON value."""

    tensors: Mapping[str, Tensor]
    facts: Mapping[str, Any] = field(default_factory=dict)


class DamagedEntry(Exception):
    """An entry that could be found but not trusted; the message continues a sentence that names it."""


@dataclass(frozen=True)
class Head:
    """What the header of a file says. `tensors`: name to type, shape, first byte and digest."""

    facts: Mapping[str, Any]
    tensors: Mapping[str, tuple[torch.dtype, tuple[int, ...], int, str]]


def encode(key: str, entry: Entry) -> list[bytes | memoryview]:
    """The parts of the file of an entry, in order. Raises DamagedEntry for what `read` would not take."""
    _check_shapes({name: (t.dtype, tuple(t.shape)) for name, t in entry.tensors.items()})
    header: dict[str, Any] = {}
    digests: dict[str, str] = {}
    same: dict[str, str] = {}
    data: list[bytes | memoryview] = []
    seen: dict[tuple, str] = {}
    end = 0
    # The widest type first, so that each tensor begins where its type may.
    for name, tensor in sorted(entry.tensors.items(), key=lambda item: (-item[1].element_size(), item[0])):
        place = (tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.dtype)
        if place in seen:
            same[name] = seen[place]
            continue
        plain = tensor.detach().cpu().contiguous()
        _check_finite(name, plain)
        buffer = _bytes(plain)
        digest = hashlib.blake2b(buffer, digest_size=16).hexdigest()
        first = seen.setdefault((digest, tensor.shape, tensor.dtype), name)
        seen[place] = first
        if first != name:
            same[name] = first
            continue
        digests[name] = digest
        offsets = [end, end + plain.nbytes]
        header[name] = {"dtype": NAMES[plain.dtype], "shape": list(plain.shape), "data_offsets": offsets}
        data.append(buffer)
        end += plain.nbytes
    note = {"version": VERSION, "facts": dict(entry.facts), "digests": digests, "same": same}
    note["checksum"] = _checksum(key, note, header)
    header["__metadata__"] = {"isi": json.dumps(note)}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % LENGTH)
    return [len(text).to_bytes(LENGTH, "little"), text, *data]


def read_head(file: BufferedReader, key: str, most: int) -> Head:
    """The header of an open file, proven to be that of the entry `key` with at most `most` bytes.

    Raises DamagedEntry.
    """
    size, header, start = _read_header(file, most)
    try:
        note = json.loads(header.pop("__metadata__")["isi"])
        version = note["version"]
        if version != VERSION:
            raise DamagedEntry(f"is of version {str(version)[:20]}, and this ISI reads {VERSION}")
        proof = _checksum(key, note, header)
        if note["checksum"] != proof:
            raise DamagedEntry("is not what was written under this key")
        laid = _lay_out(header, start, size)
        tensors = {name: (*laid[name], str(note["digests"][name])) for name in laid}
        tensors |= {name: tensors[other] for name, other in note["same"].items()}
        facts = note["facts"]
        if not isinstance(facts, dict):
            raise DamagedEntry("has no facts")
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise DamagedEntry(f"has a header that can't be used ({type(error).__name__})") from error
    _check_shapes({name: (dtype, shape) for name, (dtype, shape, _, _) in tensors.items()})
    return Head(facts, tensors)


def read_entry(file: BufferedReader, head: Head, names: Iterable[str] | None = None) -> Entry:
    """The tensors of an open file, or those of `names`. Raises DamagedEntry where one is not as proven."""
    tensors: dict[str, Tensor] = {}
    read: dict[int, Tensor] = {}
    for name in head.tensors if names is None else names:
        dtype, shape, begin, digest = head.tensors[name]
        if begin not in read:
            tensor = _read_tensor(file, dtype, shape, begin)
            if hashlib.blake2b(_bytes(tensor), digest_size=16).hexdigest() != digest:
                raise DamagedEntry(f"has another {name} than was written")
            _check_finite(name, tensor)
            read[begin] = tensor
        tensors[name] = read[begin]
    return Entry(tensors, head.facts)


def read_first_version(file: BufferedReader, most: int) -> Entry:
    """An entry of version 1, whose checksum did not hold its key. Raises DamagedEntry."""
    size, header, start = _read_header(file, most)
    try:
        note = json.loads(header.pop("__metadata__")["isi"])
        facts, proof = note["facts"], note["checksum"]
        laid = _lay_out(header, start, size)
        digest = hashlib.blake2b(json.dumps(facts, sort_keys=True).encode(), digest_size=16)
        tensors = {name: _read_tensor(file, *place) for name, place in sorted(laid.items())}
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise DamagedEntry(f"has a header that can't be used ({type(error).__name__})") from error
    _check_shapes({name: (t.dtype, tuple(t.shape)) for name, t in tensors.items()})
    for name, tensor in tensors.items():
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(_bytes(tensor))
        _check_finite(name, tensor)
    if digest.hexdigest() != proof or not isinstance(facts, dict):
        raise DamagedEntry("is not what was written")
    return Entry(tensors, facts)


def read_tensors(file: BufferedReader, most: int) -> dict[str, Tensor]:
    """The floats of any open safetensors file of at most `most` bytes. Raises DamagedEntry."""
    size, header, start = _read_header(file, most)
    header.pop("__metadata__", None)
    try:
        laid = _lay_out(header, start, size)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DamagedEntry(f"has a header that can't be used ({type(error).__name__})") from error
    return {name: _read_tensor(file, *place) for name, place in laid.items()}


def _read_header(file: BufferedReader, most: int) -> tuple[int, dict[str, Any], int]:
    """The size of a file, the JSON object of its header, and where its tensors begin."""
    state = os.fstat(file.fileno())
    if not stat.S_ISREG(state.st_mode) or state.st_size > most:
        raise DamagedEntry(f"has {state.st_size:,} bytes, and at most {most:,} are read")
    length = int.from_bytes(file.read(LENGTH), "little")
    if length > min(LONGEST_HEADER, state.st_size - LENGTH):
        raise DamagedEntry("is cut short, or no safetensors file")
    try:
        header = json.loads(file.read(length))
    except (ValueError, RecursionError) as error:
        raise DamagedEntry("has a header that is no JSON") from error
    if not isinstance(header, dict):
        raise DamagedEntry("has a header that is no JSON object")
    return state.st_size, header, LENGTH + length


def _lay_out(
    header: Mapping[str, Any], start: int, size: int
) -> dict[str, tuple[torch.dtype, tuple[int, ...], int]]:
    """Type, shape and first byte of each tensor; all together they are the rest of the file."""
    laid = {}
    end = start
    for name, told in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
        dtype, shape = DTYPES[told["dtype"]], tuple(told["shape"])
        if not 1 <= len(shape) <= 5 or any(type(side) is not int or side < 1 for side in shape):
            raise DamagedEntry(f"has a {name[:40]!r} of a strange shape")
        bytes_of = math.prod(shape) * dtype.itemsize
        if told["data_offsets"] != [end - start, end - start + bytes_of]:
            raise DamagedEntry("has tensors that do not fit together")
        laid[name] = (dtype, shape, end)
        end += bytes_of
    if end != size:
        raise DamagedEntry(f"has {size:,} bytes, and its header tells of {end:,}")
    return laid


def _read_tensor(file: BufferedReader, dtype: torch.dtype, shape: tuple[int, ...], begin: int) -> Tensor:
    try:
        tensor = torch.empty(shape, dtype=dtype)
    except RuntimeError as error:
        raise MemoryError(f"no memory for {shape}") from error
    file.seek(begin)
    if file.readinto(_bytes(tensor)) != tensor.nbytes:
        raise DamagedEntry("is cut short")
    return tensor


def _check_shapes(tensors: Mapping[str, tuple[torch.dtype, tuple[int, ...]]]) -> None:
    if missing := (OF_A_FRAME if "unseen" in tensors else NEEDED) - tensors.keys():
        raise DamagedEntry(f"has no {min(missing)}")
    for name, (dtype, shape) in tensors.items():
        ranks, like = TENSORS.get(name, ((), ""))
        if dtype not in NAMES or len(shape) not in ranks or min(shape, default=0) < 1:
            raise DamagedEntry(f"has a {name[:40]!r} of {str(dtype)[6:]} {list(shape)}")
        if ranks == PICTURE and shape[3] > 4:
            raise DamagedEntry(f"has a {name} with {shape[3]} channels")
        if like and shape != tensors[like][1]:
            raise DamagedEntry(f"has a {name} of another shape than its {like}")


def _check_finite(name: str, tensor: Tensor) -> None:
    if not torch.isfinite(tensor).all():
        raise DamagedEntry(f"has NaN or infinity in its {name}")


def _checksum(key: str, note: Mapping[str, Any], header: Mapping[str, Any]) -> str:
    """BLAKE2b over the key and all that the header says; the digests stand for the tensors' bytes."""
    said = [VERSION, key, note["facts"], note["digests"], note["same"]]
    said.append({name: [told["dtype"], told["shape"]] for name, told in header.items()})
    return hashlib.blake2b(json.dumps(said, sort_keys=True).encode(), digest_size=16).hexdigest()


def _bytes(tensor: Tensor) -> memoryview:
    return tensor.view(-1).view(uint8).numpy().data
