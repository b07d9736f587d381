"""Reads and checks the header of a safetensors file, and nothing else of it.

Format (https://github.com/huggingface/safetensors#format): 8 bytes of little-endian length N, N bytes of
JSON `{name: {"dtype", "shape", "data_offsets": [begin, end]}, "__metadata__": {...}}`, then the tensors,
back to back. No byte after the JSON is read, so a 20 GB file takes as long as a small one. A file may come
from anyone: what is built from its header is bounded before it is built, in time (1 s) and memory (100 MB).
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from itertools import chain
from math import prod
from typing import Any, BinaryIO

from .header import Header

LENGTH = 8
MAX_HEADER = 100_000_000
"""The reference implementation's limit, in bytes."""
MOST_TEXT = 10_000_000
"""Bytes of header that are read. Whole checkpoints have less than a million, training notes some millions."""
MOST_MARKS = 600_000
"""Brackets, commas and colons that are believed: a tensor has 14, so this is room for 42,000 of them."""
MOST_DIMENSIONS = 64
"""torch's limit."""

BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8, "I16": 16, "U16": 16, "F16": 16,
    "BF16": 16, "I32": 32, "U32": 32, "F32": 32, "I64": 64, "U64": 64, "F64": 64, "C64": 64, "F4": 4,
    "F6_E2M3": 6, "F6_E3M2": 6, "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8,
}  # fmt: skip

# First bytes of what people have instead of a safetensors file, and what to tell them.
STRANGERS = (
    (b"PK\x03\x04", "is a pickle (.ckpt, .pt) under another name; convert it to safetensors"),
    (b"\x80\x02", "is a pickle (.ckpt, .pt) under another name; convert it to safetensors"),
    (b"GGUF", "is a GGUF file under another name; rename it to .gguf"),
    (b"version ", "is a Git LFS pointer, not the model itself; download the file again"),
    (b"<!", "is a web page, not a model; the download went wrong, perhaps for want of a login"),
    (b"<html", "is a web page, not a model; the download went wrong, perhaps for want of a login"),
)


class HeaderError(ValueError):
    """A file whose header can't be used; the message continues a sentence that begins with its name."""


def short(name: str) -> str:
    """A name from a file, quoted and no longer than a line."""
    return repr(name if len(name) <= 80 else f"{name[:79]}…")


def read_header(file: BinaryIO, size: int) -> Header:
    """The header of an open, unbuffered safetensors file of `size` bytes, positioned at its start.

    A file that ends before its tensors do is read all the same, and says so in `Header.missing`.
    Raises HeaderError for anything else that is wrong.
    """
    if size == 0:
        raise HeaderError("is empty (0 bytes); download it again")
    start = file.read(LENGTH)
    length = int.from_bytes(start, "little")
    if LENGTH + length > size:
        # Only now: these bytes are a sound length too (\x80\x02 is 640).
        for magic, what in STRANGERS:
            if start.startswith(magic):
                raise HeaderError(what)
    if len(start) < LENGTH:
        raise HeaderError(f"is not a safetensors file: it has {size} bytes, too few for a header")
    if length > MAX_HEADER:
        raise HeaderError(
            f"is not a safetensors file: its first 8 bytes ask for a header of {length} bytes, "
            f"and the format allows {MAX_HEADER}"
        )
    if LENGTH + length > size:
        raise HeaderError(
            f"is cut short inside its header: the header takes {length} bytes and the file has {size}; "
            "download it again"
        )
    if length > MOST_TEXT:
        raise HeaderError(
            f"has a header of {length:,} bytes, and ISI reads {MOST_TEXT:,}: "
            "save it again without its metadata"
        )
    entries = _parse(_read_exactly(file, length))
    metadata = entries.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise HeaderError("has a broken header: its metadata are not text")
    shapes, dtypes, end = _tensors(entries) if entries else ({}, {}, 0)
    return Header(shapes, dtypes, metadata, max(0, LENGTH + length + end - size))


def _read_exactly(file: BinaryIO, count: int) -> bytes:
    """`count` bytes: an unbuffered read may return fewer at a time."""
    pieces = []
    while count:
        piece = file.read(count)
        if not piece:
            raise HeaderError("is cut short inside its header; download it again")
        pieces.append(piece)
        count -= len(piece)
    return b"".join(pieces)


def _parse(raw: bytes) -> dict[str, Any]:
    """The JSON object, once its text is known to make no more than the memory that a header may take."""
    if _marks(raw) > MOST_MARKS and _marks(_outside_strings(raw)) > MOST_MARKS:
        raise HeaderError(f"has a broken header: it lists more than {MOST_MARKS // 14:,} tensors")
    try:
        text = raw.decode()
        entries = json.loads(text)
        if not isinstance(entries, dict):
            raise HeaderError("is not a safetensors file: its header is not a JSON object")
        # A key that stands twice leaves more colons in the text than keys in the dict. Only then is the
        # text read again, by the slow way that sees each key.
        metadata = entries.get("__metadata__")
        tensors = len(entries) - (metadata is not None)
        keys = 4 * tensors + (1 + len(metadata) if isinstance(metadata, dict) else 0)
        if text.count('":') != keys:
            json.loads(text, object_pairs_hook=_unique)
    except HeaderError:
        raise
    except (ValueError, RecursionError) as error:  # UTF-8, JSON, numbers of thousands of digits
        reason = str(error).partition(":")[0][:100]
        raise HeaderError(f"is not a safetensors file: its header is not JSON ({reason})") from error
    return entries


def _marks(raw: bytes) -> int:
    """How many values the text can have: each needs a bracket, a comma or a colon."""
    return sum(map(raw.count, (b"[", b"{", b",", b":")))


def _outside_strings(raw: bytes) -> bytes:
    """The text without its strings (training notes are JSON in JSON); as it is where they are too many."""
    plain = raw.replace(b"\\\\", b"").replace(b'\\"', b"")
    return b"".join(plain.split(b'"')[::2]) if plain.count(b'"') <= MOST_MARKS else raw


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object, refusing what `dict` would silently drop."""
    value = dict(pairs)
    if len(value) < len(pairs):
        seen: set[str] = set()
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))
        raise HeaderError(f"has a broken header: it names {short(twice)} twice")
    return value


def _tensors(entries: dict[str, Any]) -> tuple[dict[str, tuple[int, ...]], dict[str, str], int]:
    """Shapes and dtypes by name, and where the last tensor ends.

    Raises HeaderError unless each has a dtype, a shape and as many bytes as those ask for, and all lie
    back to back from 0. Column by column, which is several times faster than entry by entry.
    """
    try:
        dtypes = [entry["dtype"] for entry in entries.values()]
        shapes = [tuple(entry["shape"]) for entry in entries.values()]
        # strict: two offsets each, no more and no less
        begins, ends = zip(*(entry["data_offsets"] for entry in entries.values()), strict=True)
    except (KeyError, TypeError, ValueError) as error:
        raise HeaderError("has a broken header: a tensor lacks a dtype, a shape or two offsets") from error
    numbers = [*chain.from_iterable(shapes), *begins, *ends]
    if (
        not (set(map(type, dtypes)) <= {str} and set(map(type, numbers)) <= {int})
        or min(numbers, default=0) < 0
    ):
        raise HeaderError("has a broken header: a dtype is no text, or a shape or offset no number from 0 up")
    if max(map(len, shapes), default=0) > MOST_DIMENSIONS or max(numbers, default=0) >= 2**63:
        raise HeaderError(
            f"has a broken header: a tensor has more than {MOST_DIMENSIONS} dimensions, "
            "or a number is 2^63 or more"
        )
    for name, dtype, shape, begin, end in zip(entries, dtypes, shapes, begins, ends, strict=True):
        # A dtype newer than the list is left to the loader.
        if end < begin or (dtype in BITS and prod(shape) * BITS[dtype] != (end - begin) * 8):
            raise HeaderError(
                f"has a broken header: {short(name)} is {dtype[:20]} {list(shape)} "
                f"but takes bytes {begin} to {end}"
            )
    return (
        dict(zip(entries, shapes, strict=True)),
        dict(zip(entries, dtypes, strict=True)),
        _end(begins, ends, entries),
    )


def _end(begins: tuple[int, ...], ends: tuple[int, ...], names: Iterable[str]) -> int:
    """Where the last tensor ends. Raises HeaderError unless tensors lie back to back from 0."""
    if begins == (0, *ends[:-1]):  # in order already, as most writers leave them
        return ends[-1]
    reached = 0
    for begin, end, name in sorted(zip(begins, ends, names, strict=True)):
        if begin != reached:
            what = "overlaps the tensor before it" if begin < reached else "leaves a gap before it"
            raise HeaderError(f"has a broken header: {short(name)} {what}")
        reached = end
    return reached
