"""When a loop has come to rest: nothing changes any more, so that further steps are spent in vain."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Settle:
    """Stop when the change stays under `threshold` (RMS on the 0..1 scale) for `patience` steps (1..)."""

    threshold: float = 0.01
    patience: int = 2


def change(before: Tensor, after: Tensor) -> float:
    """RMS difference of two pictures `[B, H, W, C]`; of a batch, that of the picture that changed most.

    Infinite for pictures of different shapes: a loop that still grows has not settled.
    """
    if before.shape != after.shape:
        return math.inf
    squares = (after.float() - before.to(after.device).float()) ** 2
    return squares.flatten(1).mean(1).max().sqrt().item()


def settled(settle: Settle, changes: Sequence[float]) -> bool:
    """Whether to stop now, given the change that each step made so far. NaN never settles."""
    last = changes[-settle.patience :]
    return len(last) == settle.patience and all(c < settle.threshold for c in last)
