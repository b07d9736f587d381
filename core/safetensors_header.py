"""Reads and checks the header of a safetensors file, and nothing else of it.

Format (https://github.com/huggingface/safetensors#format): 8 bytes of little-endian length N, N bytes of
JSON `{name: {"dtype", "shape", "data_offsets": [begin, end]}, "__metadata__": {...}}`, then the tensors,
back to back. No byte after the JSON is read, so a 20 GB file takes as long as a small one.
"""

from __future__ import annotations

import json
from math import prod
from typing import Any, BinaryIO

from .header import Header, TensorInfo

LENGTH = 8
MAX_HEADER = 100_000_000
"""The reference implementation's limit, in bytes."""

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
    entries = _parse(_read_exactly(file, length))
    metadata = entries.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise HeaderError("has a broken header: its metadata are not text")
    tensors = {}
    spans = []
    for name, entry in entries.items():
        tensors[name], begin, end = _tensor(name, entry)
        spans.append((begin, end, name))
    end = _check_spans(spans)
    return Header(tensors, metadata, max(0, LENGTH + length + end - size))


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


def _parse(text: bytes) -> dict[str, Any]:
    try:
        entries = json.loads(text, object_pairs_hook=_unique)
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise HeaderError(f"is not a safetensors file: its header is not JSON ({error})") from error
    if not isinstance(entries, dict):
        raise HeaderError("is not a safetensors file: its header is not a JSON object")
    return entries


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object, refusing what `dict` would silently drop."""
    value = dict(pairs)
    if len(value) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise HeaderError(f"has a broken header: it names {twice!r} twice")
    return value


def _tensor(name: str, entry: Any) -> tuple[TensorInfo, int, int]:
    """A tensor's entry, and the span of its bytes."""
    try:
        dtype, shape, (begin, end) = entry["dtype"], tuple(entry["shape"]), entry["data_offsets"]
        if not isinstance(dtype, str) or any(type(n) is not int or n < 0 for n in (*shape, begin, end)):
            raise TypeError
    except (KeyError, TypeError, ValueError) as error:
        raise HeaderError(
            f"has a broken header: the entry of {name!r} lacks a dtype, shape or offsets"
        ) from error
    bits = BITS.get(dtype)
    # A dtype newer than this list is left to the loader.
    if begin > end or (bits is not None and prod(shape) * bits != (end - begin) * 8):
        raise HeaderError(
            f"has a broken header: {name!r} is {dtype} {list(shape)} but takes bytes {begin} to {end}"
        )
    return TensorInfo(dtype, shape), begin, end


def _check_spans(spans: list[tuple[int, int, str]]) -> int:
    """Where the last tensor ends. Raises HeaderError unless tensors lie back to back from 0."""
    spans.sort()
    reached = 0
    for begin, end, name in spans:
        if begin != reached:
            what = "overlaps the tensor before it" if begin < reached else "leaves a gap before it"
            raise HeaderError(f"has a broken header: {name!r} {what}")
        reached = end
    return reached
