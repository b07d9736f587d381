"""Names and shapes of real models (tools/make_header_vectors.py), and files made of them without weights."""

import json
import lzma
import struct
from functools import cache
from pathlib import Path

VECTORS = Path(__file__).parents[2] / "vectors" / "headers.json.xz"
SIZES = {"F16": 2, "F32": 4, "BF16": 2, "F8_E4M3": 1, "U8": 1, "I64": 8}


@cache
def vectors() -> dict[str, dict[str, list[int]]]:
    return json.loads(lzma.decompress(VECTORS.read_bytes()))


def safetensors_start(shapes, dtype="F16", metadata=None, dtypes=None) -> tuple[bytes, int]:
    """The start of a safetensors file, up to its first tensor, and the size that the whole would have.

    `dtypes` names tensors of another dtype.
    """
    entries, at = {}, 0
    for name, shape in shapes.items():
        own = (dtypes or {}).get(name, dtype)
        size = SIZES[own]
        for side in shape:
            size *= side
        entries[name] = {"dtype": own, "shape": list(shape), "data_offsets": [at, at + size]}
        at += size
    if metadata:
        entries["__metadata__"] = metadata
    text = json.dumps(entries).encode()
    return struct.pack("<Q", len(text)) + text, 8 + len(text) + at


def gguf_start(shapes, original=None, values=None) -> bytes:
    """The start of a GGUF file (version 3): text values, original shapes, tensors of type Q8_0."""

    def text(value):
        data = value.encode()
        return struct.pack("<Q", len(data)) + data

    original, values = original or {}, values or {}
    out = b"GGUF" + struct.pack("<IQQ", 3, len(shapes), len(original) + len(values))
    for name, value in values.items():
        out += text(name) + struct.pack("<I", 8) + text(value)
    for name, shape in original.items():
        out += text(f"comfy.gguf.orig_shape.{name}")
        out += struct.pack("<IIQ", 9, 5, len(shape)) + struct.pack(f"<{len(shape)}i", *shape)
    for name, shape in shapes.items():
        out += text(name) + struct.pack("<I", len(shape)) + struct.pack(f"<{len(shape)}Q", *reversed(shape))
        out += struct.pack("<IQ", 8, 0)
    return out
