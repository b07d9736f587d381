"""Reads the names and shapes in a pickled checkpoint (.ckpt, .pt, .bin) through torch's weights_only loader.

A pickle can run code when it is loaded; torch's restricted unpickler accepts weights and nothing else, and
the `meta` device keeps their values on disk.
"""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import torch

from .header import Header
from .safetensors_header import HeaderError

ZIP = b"PK\x03\x04"


def read_pickle_header(path: Path) -> Header:
    """The header of a pickled state dict. Raises HeaderError for what weights_only refuses."""
    with path.open("rb") as file:
        start = file.read(len(ZIP))
    if not start:
        raise HeaderError("is empty (0 bytes); download it again")
    try:
        # Only the zip layout (torch >= 1.6) can be mapped.
        loaded = torch.load(path, map_location="meta", weights_only=True, mmap=start == ZIP)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError, AttributeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise HeaderError(
            "is a pickle that torch's weights_only loader refuses, because it holds more than weights or is "
            f"broken; get a safetensors version of it ({reason})"
        ) from error
    tensors = {name: value for name, value in state_dict(loaded).items() if isinstance(value, torch.Tensor)}
    if not tensors:
        raise HeaderError("is a pickle without weights in it")
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    dtypes = {name: str(tensor.dtype).removeprefix("torch.") for name, tensor in tensors.items()}
    return Header(shapes, dtypes, container="pickle")


def state_dict(loaded: Any) -> dict[str, Any]:
    """The weights in what torch.load returned: itself, or its `state_dict`."""
    if not isinstance(loaded, dict):
        return {}
    inner = loaded.get("state_dict", loaded)
    return inner if isinstance(inner, dict) else {}
