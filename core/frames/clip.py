"""A clip: frames with a mask each, looked at one by one, so that nothing as long as the clip is made."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..pictures.masks import as_mask


@dataclass(frozen=True)
class Clip:
    """`frames` `[N, H, W, C]` and `masks` `[n, H, W]`: one for all frames, or for each object one a frame."""

    frames: Tensor
    masks: Tensor

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.frames.shape[1], self.frames.shape[2]

    def __len__(self) -> int:
        return len(self.frames)

    def frame(self, index: int) -> Tensor:
        """`[H, W, C]`."""
        return self.frames[index]

    def mask(self, index: int) -> Tensor:
        """What is to be replaced in a frame `[H, W]` in 0..1: the masks of all objects together."""
        if len(self.masks) == 1:
            return self.masks[0]
        return self.masks[index :: len(self.frames)].amax(0)

    def hidden(self, index: int) -> Tensor:
        """Where the mask of a frame is not 0: `[H, W]` bool."""
        return self.mask(index) > 0


FRAMES = ("each alone", "clean plate", "one after another")
"""How the pictures of a batch are worked on: at once, by what others show, or each from the one before."""


def check_clip(clip: Clip) -> None:
    """Raises ValueError for a clip in which no frame can say what another one hides."""
    if len(clip) == 1:
        raise ValueError(
            "A clean plate is made of what other frames show, and a single one came: connect a batch of "
            "frames (a list of them has to be one batch of one size), or choose each alone."
        )
    if all(bool(clip.hidden(index).all()) for index in range(len(clip))):
        raise ValueError(
            "The masks cover every frame wholly, so that nothing is known of what is behind them: connect "
            "masks of the object alone."
        )


def clip_of(frames: Tensor, masks: Tensor) -> Clip:
    """The clip of these, with masks that are checked and in 0..1.

    Raises:
        ValueError: for masks of another size, with NaN, or of another number than one, or one a frame for
            each object.
    """
    if masks.ndim == 2:
        masks = masks[None]
    count, size = len(frames), frames.shape[1:3]
    if not masks.numel() or (masks.shape[1:] != size and not masks.any()):
        return Clip(frames, torch.zeros(1, *size))
    if len(masks) > 1 and len(masks) % count:
        raise ValueError(
            f"There are {len(masks)} masks for {count} frames: connect one for all, or for each object one "
            "a frame (ISI Track Masks makes them of a few key frames)."
        )
    as_mask(masks[:1], *size)  # says what is wrong with their size
    if not all(bool(((one >= 0) & (one <= 1)).all()) for one in masks):  # NaN is in no range
        masks = as_mask(masks, *size)
    return Clip(frames, masks)
