"""Masks of key frames carried through a clip, with progress, and an end where the user interrupts."""

from __future__ import annotations

from collections.abc import Sequence

import comfy.model_management
import comfy.utils
import torch
from torch import Tensor

from ...core.frames.track import tracked


def track_clip(frames: Tensor, masks: Tensor, keys: Sequence[int]) -> Tensor:
    """Masks `[O * N, H, W]`, for each object one a frame of `frames` `[N, H, W, C]`, from `masks`
    `[O * K, H, W]`: for each object one in each of the frames `keys` (from 0)."""
    count, objects = len(frames), len(masks) // len(keys)
    made = torch.zeros(objects, count, *frames.shape[1:3])
    bar, done = comfy.utils.ProgressBar(objects * count), 0
    for out, given in zip(made, masks.unflatten(0, (objects, len(keys))), strict=True):
        for index, mask in tracked(frames, given, keys):
            comfy.model_management.throw_exception_if_processing_interrupted()
            out[index] = mask
            done += 1
            bar.update_absolute(done)
    return made.flatten(0, 1)
