"""Reads the header of a GGUF file: names and shapes of its tensors, and its text metadata.

Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. Little-endian, versions 2 and 3. GGUF
counts dimensions from the innermost, so shapes are turned round here; where a tensor was reshaped for
quantisation, `comfy.gguf.orig_shape.NAME` holds its own shape, in torch's order.
"""

from __future__ import annotations

import struct
from typing import Any, BinaryIO

from .header import Header
from .safetensors_header import HeaderError

MAGIC = b"GGUF"
ORIGINAL_SHAPE = "comfy.gguf.orig_shape."
LIMIT = 100_000_000
"""Longest text, array or list of tensors that is believed."""

# Numbers of the value types of the metadata, as struct formats.
SCALARS = {
    0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d",
}  # fmt: skip
TEXT, ARRAY = 8, 9

# Names of the ggml types that are not quantised; the others are packed in blocks.
TYPES = {0: "F32", 1: "F16", 24: "I8", 25: "I16", 26: "I32", 27: "I64", 28: "F64", 30: "BF16"}


def read_gguf_header(file: BinaryIO) -> Header:
    """The header of an open GGUF file, positioned at its start. Raises HeaderError."""
    if file.read(len(MAGIC)) != MAGIC:
        raise HeaderError("is not a GGUF file")
    version = _scalar(file, "<I")
    if version not in (2, 3):
        raise HeaderError(f"is a GGUF file of version {version}; versions 2 and 3 are known")
    tensor_count, value_count = _count(file), _count(file)
    values = {_text(file): _value(file, _scalar(file, "<I")) for _ in range(value_count)}
    shapes, dtypes = {}, {}
    for _ in range(tensor_count):
        name = _text(file)
        shape = tuple(_scalar(file, "<Q") for _ in range(_scalar(file, "<I")))[::-1]
        kind, _offset = _scalar(file, "<I"), _scalar(file, "<Q")
        shapes[name] = tuple(values.get(ORIGINAL_SHAPE + name, shape))
        dtypes[name] = TYPES.get(kind, f"GGML_{kind}")
    metadata = {key: value for key, value in values.items() if isinstance(value, str)}
    return Header(shapes, dtypes, metadata, container="GGUF")


def _bytes(file: BinaryIO, count: int) -> bytes:
    data = file.read(count)
    if len(data) < count:
        raise HeaderError("is cut short inside its GGUF header; download it again")
    return data


def _scalar(file: BinaryIO, form: str) -> Any:
    return struct.unpack(form, _bytes(file, struct.calcsize(form)))[0]


def _count(file: BinaryIO) -> int:
    count = _scalar(file, "<Q")
    if count > LIMIT:
        raise HeaderError(f"has a broken GGUF header: it announces {count} items")
    return count


def _text(file: BinaryIO) -> str:
    return _bytes(file, _count(file)).decode("utf-8", "replace")


def _value(file: BinaryIO, kind: int) -> Any:
    if kind == TEXT:
        return _text(file)
    if kind == ARRAY:
        inner = _scalar(file, "<I")
        return [_value(file, inner) for _ in range(_count(file))]
    if kind not in SCALARS:
        raise HeaderError(f"has a broken GGUF header: there is no value type {kind}")
    return _scalar(file, SCALARS[kind])
