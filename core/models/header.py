"""The header of a weights file as a value, whichever format it came from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property


@dataclass(frozen=True)
class Header:
    """Names, shapes and metadata of a weights file; none of its values.

    `shapes` by name, in torch's order; `dtypes` by name, as the format calls them. `missing` counts the
    bytes that the file lacks: 0 unless it was cut short. `container` is safetensors, GGUF or pickle.
    """

    shapes: Mapping[str, tuple[int, ...]]
    dtypes: Mapping[str, str]
    metadata: Mapping[str, str] = field(default_factory=dict)
    missing: int = 0
    container: str = "safetensors"

    @cached_property
    def text(self) -> str:
        """All names, a line each: finding a piece of a name in here is faster than in each name."""
        return "\n".join(["", *self.shapes, ""])

    @cached_property
    def storages(self) -> frozenset[str]:
        """The dtypes that occur."""
        return frozenset(self.dtypes.values())
