"""Reads the header of a GGUF file: names and shapes of its tensors, and its text metadata.

Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. Little-endian, versions 2 and 3. GGUF
counts dimensions from the innermost, so shapes are turned round here; where a tensor was reshaped for
quantisation, `comfy.gguf.orig_shape.NAME` holds its own shape, in torch's order.

A file may come from anyone: other arrays (a tokenizer's words) are passed over, and what is walked or kept is
bounded, in time (1 s) and memory (100 MB).
"""

from __future__ import annotations

import struct
from typing import Any, BinaryIO

from .header import Header
from .safetensors_header import HeaderError, short

MAGIC = b"GGUF"
ORIGINAL_SHAPE = "comfy.gguf.orig_shape."
MOST_DIMENSIONS = 8
"""ggml itself has 4."""
MOST_ITEMS = 1_000_000
"""Words, values and tensors that are walked. The largest vocabularies have 700,000 words and pairs."""
MOST_VALUES = MOST_TENSORS = 50_000
MOST_NAME = 65_535
MOST_TEXT = 10_000_000
"""Bytes of names and text that are kept."""

# Numbers of the value types of the metadata, as struct formats.
SCALARS = {
    0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d",
}  # fmt: skip
TEXT, ARRAY = 8, 9

# Names of the ggml types that are not quantised; the others are packed in blocks.
TYPES = {0: "F32", 1: "F16", 24: "I8", 25: "I16", 26: "I32", 27: "I64", 28: "F64", 30: "BF16"}


def read_gguf_header(file: BinaryIO) -> Header:
    """The header of an open GGUF file, positioned at its start; best a buffered one. Raises HeaderError."""
    return _Reader(file).header()


class _Reader:
    """Walks a header once, from front to back, and counts what it walks and keeps."""

    def __init__(self, file: BinaryIO):
        self.file = file
        self.items, self.kept = MOST_ITEMS, MOST_TEXT
        self.end = file.seek(0, 2)
        file.seek(0)

    def header(self) -> Header:
        if self.file.read(len(MAGIC)) != MAGIC:
            raise HeaderError("is not a GGUF file")
        version = self.scalar("<I")
        if version not in (2, 3):
            raise HeaderError(f"is a GGUF file of version {version}; versions 2 and 3 are known")
        tensor_count, value_count = self.count(MOST_TENSORS), self.count(MOST_VALUES)
        metadata, originals = {}, {}
        for _ in range(value_count):
            key = self.text(MOST_NAME)
            kind = self.scalar("<I")
            if kind == TEXT:
                metadata[key] = self.text(MOST_TEXT)
            elif kind == ARRAY and key.startswith(ORIGINAL_SHAPE):
                originals[key.removeprefix(ORIGINAL_SHAPE)] = self.shape()
            else:
                self.skip(kind)
        shapes, dtypes = {}, {}
        for _ in range(tensor_count):
            name = self.text(MOST_NAME)
            rank = self.scalar("<I")
            if rank > MOST_DIMENSIONS:
                raise HeaderError(f"has a broken GGUF header: {short(name)} has {rank} dimensions")
            shape = struct.unpack(f"<{rank}Q", self.bytes(8 * rank))[::-1]
            kind, _offset = struct.unpack("<IQ", self.bytes(12))
            if name in shapes:
                raise HeaderError(f"has a broken GGUF header: it names {short(name)} twice")
            shapes[name] = originals.get(name, shape)
            dtypes[name] = TYPES.get(kind, f"GGML_{kind}")
        return Header(shapes, dtypes, metadata, container="GGUF")

    def shape(self) -> tuple[int, ...]:
        """The array of numbers that says what shape a tensor had."""
        inner = self.scalar("<I")
        count = self.count(MOST_ITEMS)
        if inner not in SCALARS or SCALARS[inner] in ("<f", "<d", "<?") or count > MOST_DIMENSIONS:
            raise HeaderError("has a broken GGUF header: an original shape is no list of whole numbers")
        shape = tuple(self.scalar(SCALARS[inner]) for _ in range(count))
        if min(shape, default=0) < 0:
            raise HeaderError("has a broken GGUF header: an original shape is below 0")
        return shape

    def skip(self, kind: int) -> None:
        """Passes over a value."""
        if kind == TEXT:
            self.pass_over(self.scalar("<Q"))
        elif kind != ARRAY:
            self.pass_over(self.width(kind))
        else:
            inner = self.scalar("<I")
            if inner == ARRAY:
                raise HeaderError("has a broken GGUF header: it has arrays in arrays")
            if inner != TEXT:
                self.pass_over(self.width(inner) * self.scalar("<Q"))
                return
            for _ in range(self.count(MOST_ITEMS)):
                self.pass_over(self.scalar("<Q"))

    def width(self, kind: int) -> int:
        """Bytes of a number of this type."""
        if kind not in SCALARS:
            raise HeaderError(f"has a broken GGUF header: there is no value type {kind}")
        return struct.calcsize(SCALARS[kind])

    def bytes(self, count: int) -> bytes:
        data = self.file.read(count)
        if len(data) < count:
            raise HeaderError("is cut short inside its GGUF header; download it again")
        return data

    def pass_over(self, count: int) -> None:
        """Moves on without reading."""
        if count > self.end - self.file.tell():
            raise HeaderError("is cut short inside its GGUF header; download it again")
        self.file.seek(count, 1)

    def scalar(self, form: str) -> Any:
        return struct.unpack(form, self.bytes(struct.calcsize(form)))[0]

    def count(self, most: int) -> int:
        """How many items follow; each is paid for."""
        count = self.scalar("<Q")
        self.items -= count
        if count > most or self.items < 0:
            raise HeaderError(f"has a broken GGUF header: it announces {count} items")
        return count

    def text(self, most: int) -> str:
        """A text that is kept."""
        length = self.scalar("<Q")
        self.kept -= length
        if length > most or self.kept < 0:
            raise HeaderError(f"has a broken GGUF header: it announces a text of {length} bytes")
        return self.bytes(length).decode("utf-8", "replace")
