"""Working memory for pictures of features: on the device if there is room, else in RAM, else on disk."""

from __future__ import annotations

import math
import shutil
from pathlib import Path
from typing import Any

import comfy.model_management
import torch
from torch import Tensor

from ...core.loop.room import ask_devices


def know_devices() -> None:
    """Tells the core how much memory graphics cards have free, as the host counts it."""

    def free(device: torch.device) -> int:
        told: Any = comfy.model_management.get_free_memory(device)
        return int(told)

    ask_devices(free)


class Scratch:
    """Makes tensors of one dtype. `share` is how much of a place's free memory one tensor may take.

    `folder` holds the files of tensors that fit nowhere else; it must outlive them.
    """

    def __init__(self, device: torch.device, dtype: torch.dtype, folder: Path, share: float = 0.25):
        self.device, self.dtype, self.folder, self.share = device, dtype, folder, share
        self._files = 0

    def new(self, *shape: int) -> Tensor:
        """An uninitialised tensor. Raises ValueError where the disk has no room for it either."""
        cells = math.prod(shape)
        size = cells * torch.empty(0, dtype=self.dtype).element_size()
        for place in (self.device, torch.device("cpu")):
            free: Any = comfy.model_management.get_free_memory(place)
            if size < free * self.share:
                return torch.empty(shape, dtype=self.dtype, device=place)
        free = shutil.disk_usage(self.folder).free
        if size > free:
            raise ValueError(
                f"This picture needs {size / 1e9:.1f} GB of working memory; neither the device, nor RAM, nor "
                f"the disk of {self.folder} ({free / 1e9:.1f} GB free) has it. Use a smaller picture."
            )
        self._files += 1
        path = str(self.folder / f"{self._files}.features")
        return torch.from_file(path, shared=True, size=cells, dtype=self.dtype).view(shape)
