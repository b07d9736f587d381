"""Packages that not every ComfyUI has: imported where they are used, asked for by name where they lack."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def needed_by(what: str) -> Iterator[None]:
    """Round an import: raises ValueError saying that `what` needs the package, where it is not installed."""
    try:
        yield
    except ImportError as error:
        name = (error.name or "").partition(".")[0]
        raise ValueError(
            f"{what} needs the Python package {name}, which this ComfyUI lacks: run `python -m pip install "
            f"{name}` with ComfyUI's own Python and start ComfyUI again."
        ) from error
