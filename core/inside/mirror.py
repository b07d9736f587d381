"""Turns of a picture, and what is left the same by them."""

from __future__ import annotations

import torch
from torch import Tensor

TURNS = ("left-right", "up-down", "half turn", "quarter turn")


def turned(x: Tensor, turn: str) -> Tensor:
    """`x` `[..., H, W]` flipped or turned; a quarter turn needs H = W."""
    if turn == "left-right":
        return x.flip(-1)
    if turn == "up-down":
        return x.flip(-2)
    return torch.rot90(x, 2 if turn == "half turn" else 1, (-2, -1))


def order(turn: str) -> int:
    """How many times a turn is made until all is where it was."""
    return 4 if turn == "quarter turn" else 2


def symmetric(x: Tensor, turn: str) -> Tensor:
    """The mean of `x` under all repetitions of a turn, which that turn leaves the same, bit for bit."""
    views = [x]
    for _ in range(order(turn) - 1):
        views.append(turned(views[-1], turn))
    # Sums of two opposite views first: the same pairs for every view, so that floats round alike.
    half = len(views) // 2
    pairs = [a + b for a, b in zip(views[:half], views[half:], strict=True)]
    return sum(pairs[1:], pairs[0]) / len(views)
