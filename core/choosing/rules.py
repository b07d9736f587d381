"""How good a candidate is, for each rule that a run chooses by. Higher is better; a batch counts as one."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor
from torch.nn import functional

Rule = Literal["by hand", "first", "sharpest", "least change", "most change", "best score"]
RULES: tuple[Rule, ...] = get_args(Rule)
VERSION = 1
"""Raise it when a rule would choose otherwise than before: choices of runs on disk are made anew then."""

_LUMA = (0.2126, 0.7152, 0.0722)  # ITU-R BT.709
_LAPLACIAN = ((0.0, 1.0, 0.0), (1.0, -4.0, 1.0), (0.0, 1.0, 0.0))


def sharpness(pictures: Tensor) -> float:
    """The variance of the Laplacian of brightness, on average over `pictures` `[B, H, W, 3 or 4]` in 0..1.

    LAPV of Pech-Pacheco et al., "Diatom autofocusing in brightfield microscopy: a comparative study" (ICPR
    2000), with 4 neighbours and BT.709 luma; the pictures' edges are repeated. Noise is sharp, too.
    """
    grey = (pictures[..., :3].cpu().double() * torch.tensor(_LUMA, dtype=torch.float64)).sum(-1)
    padded = functional.pad(grey.unsqueeze(1), (1, 1, 1, 1), mode="replicate")
    kernel = torch.tensor(_LAPLACIAN, dtype=torch.float64).view(1, 1, 3, 3)
    edges = functional.conv2d(padded, kernel)
    return edges.flatten(1).var(1, correction=0).mean().item()


def distance(start: Tensor, pictures: Tensor) -> float:
    """The root mean square difference of each picture from where it started, on average over the batch.

    Both are `[B or 1, H, W, C]` of one size, in 0..1.
    """
    squares = (pictures.cpu().double() - start.cpu().double()) ** 2
    return squares.flatten(1).mean(1).sqrt().mean().item()


def score(rule: Rule, start: Tensor | None, pictures: Tensor) -> float:
    """How good a candidate is by a rule that looks at pictures alone; 0 where it has nothing to tell them by.

    `start` is what the picture is where sampling changes nothing; None in a text-to-image step, which has
    changed nothing, so that the first candidate is as good as any.
    """
    if rule == "sharpest":
        return sharpness(pictures)
    if rule == "first" or start is None:
        return 0.0
    return distance(start, pictures) * (1 if rule == "most change" else -1)
