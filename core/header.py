"""The header of a weights file as a value, whichever format it came from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple


class TensorInfo(NamedTuple):
    """What a header says of a tensor: `dtype` in the format's own name, `shape` in torch's order."""

    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Header:
    """Names, shapes and metadata of a weights file; none of its values.

    `missing` counts the bytes that the file lacks: 0 unless it was cut short. `container` is safetensors,
    GGUF or pickle.
    """

    tensors: Mapping[str, TensorInfo]
    metadata: Mapping[str, str] = field(default_factory=dict)
    missing: int = 0
    container: str = "safetensors"

    @cached_property
    def text(self) -> str:
        """All names, a line each: finding a piece of a name in here is faster than in each name."""
        return "\n".join(["", *self.tensors, ""])

    @cached_property
    def dtypes(self) -> frozenset[str]:
        """The dtypes that occur."""
        return frozenset(info.dtype for info in self.tensors.values())

    def shape(self, name: str) -> tuple[int, ...] | None:
        """The shape of a tensor, or None where the file has no such tensor."""
        info = self.tensors.get(name)
        return info.shape if info else None
