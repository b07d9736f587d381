"""Regions of a picture by ratios, as Regional Prompter writes them, and masks that add up to 1."""

from __future__ import annotations

import torch
from torch import Tensor

MOST_REGIONS = 64


def read_ratios(text: str) -> list[tuple[float, list[float]]]:
    """The rows of "1,2,1;1,1": (height, widths of its columns) each, as shares that add up to 1.

    Without `;` all numbers are columns of one row. With it the first number of a row is its height, the
    others are its columns, and a row of one number is one column. Raises ValueError.
    """
    rows = [part for part in text.split(";") if part.strip()]
    try:
        numbers = [[float(one) for one in row.split(",") if one.strip()] for row in rows]
    except ValueError:
        numbers = []
    if not numbers or not all(row and all(0 < one < 1e6 for one in row) for row in numbers):
        raise ValueError(
            f"The ratios {text[:40]!r} can't be read: write numbers over 0 with commas, such as 1,2 for two "
            "columns, or 1,2,1;1,1 for rows whose first number is their height."
        )
    if len(numbers) == 1:
        numbers = [[1.0, *numbers[0]]]
    total = sum(row[0] for row in numbers)
    found = [(row[0] / total, [one / sum(row[1:]) for one in row[1:]] or [1.0]) for row in numbers]
    if sum(len(columns) for _, columns in found) > MOST_REGIONS:
        raise ValueError(f"The ratios make over {MOST_REGIONS} regions: write fewer.")
    return found


def ratio_masks(text: str, height: int, width: int, feather: float) -> Tensor:
    """Masks `[N, height, width]` of the regions of `text`, row by row; they add up to 1 at every pixel.

    Neighbours blend over `feather` (0..1) of the shorter side, half of it on either side of their border.
    Raises ValueError.
    """
    reach = feather * min(height, width)
    rows = read_ratios(text)
    found = []
    for across, (_, columns) in zip(_shares([h for h, _ in rows], height, reach), rows, strict=True):
        found += [across[:, None] * down[None, :] for down in _shares(columns, width, reach)]
    return torch.stack(found)


def _shares(shares: list[float], length: int, reach: float) -> list[Tensor]:
    """How much each share of a side has of each of its `length` pixels: differences of ramps, so that the sum
    is 1."""
    at = torch.arange(length, dtype=torch.float64) + 0.5
    border, ramps = 0.0, [torch.ones(length, dtype=torch.float64)]
    for share in shares[:-1]:
        border += share * length
        ramps.append(((at - border) / reach + 0.5).clamp(0, 1) if reach else (at > border).to(at))
    ramps.append(torch.zeros(length, dtype=torch.float64))
    return [(before - after).float() for before, after in zip(ramps, ramps[1:], strict=False)]


def shared_masks(masks: Tensor) -> Tensor:
    """Masks `[N, H, W]` divided by their sum; where none is over 0 all count alike."""
    masks = masks.clamp(0, 1)
    total = masks.sum(0, keepdim=True)
    return torch.where(total > 0, masks / total.clamp(min=1e-9), torch.ones_like(masks) / len(masks))


def region_picture(masks: Tensor) -> Tensor:
    """A picture `[1, H, W, 3]` of masks `[N, H, W]` that add up to 1: each region in a colour of its own.

    Hues go round by the golden angle, so that neighbours of any number are far from each other.
    """
    thirds = torch.tensor([0, 2 / 3, 1 / 3], dtype=torch.float64)
    turns = torch.arange(len(masks), dtype=torch.float64)[:, None] * 0.381966 + thirds
    colours = (0.55 + 0.35 * torch.cos(2 * torch.pi * turns)).to(masks)
    return torch.einsum("nhw,nc->hwc", masks, colours)[None]
