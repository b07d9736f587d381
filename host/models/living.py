"""Models that stay loaded while something else is used for a moment."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import comfy.model_management


@contextmanager
def living_models() -> Iterator[list[Any]]:
    """Gives the models in use, for `load_models_gpu` to load again.

    Meanwhile the host lists none whose patcher is gone: what is listed is loaded again with any other model,
    and a dead one fails there.
    """
    listed = comfy.model_management.current_loaded_models
    dead = [one for one in listed if one.model is None]
    listed[:] = [one for one in listed if one.model is not None]
    try:
        yield comfy.model_management.loaded_models(only_currently_used=True)
    finally:
        listed.extend(dead)
