"""Spreading a difference: what is known along a rim goes on smoothly into what is not."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from scipy import ndimage, sparse
from scipy.sparse.linalg import splu
from torch import Tensor
from torch.nn import functional

from .pyramid import push_pull

CELL = 8
"""Pixels of a cell of the smooth surface, at least: a pixel of the latent, which noise hardly outlives."""
GRID = 96
"""The surface has at most about this many cells a side."""
TENSION = 8.0
"""Pixels over which the surface, leaving the rim at its own slope, turns into a membrane: few, since a slope
near the rim is mostly what new content sheds into its known neighbours."""
MOST = 40 / 255
"""A cell that differs by more from the others shows other things, not the same ones in other colours."""
BLUR, FADE = 2, 16
"""Pixels over which the rim's single pixels are averaged, and over which that fades out."""
FINE = 20 / 255
"""The most that single pixels of the rim are corrected beyond their cell."""


def spread(difference: Tensor, known: Tensor) -> Tensor:
    """A smooth surface `[B, H, W, C]`: `difference` where `known` `[H, W]` (bool), and going on from there.

    In two scales. Cells that are all known give their means to a spline in tension (W. H. F. Smith and
    P. Wessel, "Gridding with continuous curvature splines in tension", Geophysics 55, 1990): it leaves the
    rim without a kink and turns at once into a membrane (Laplace's equation), which never exceeds what it
    has at the rim. What the rim's pixels have beyond that goes on for some pixels more.

    Zero everywhere if no cell is known.
    """
    height, width = known.shape
    cell = max(CELL, math.ceil(max(height, width) / GRID))
    cells, whole = _cells(difference, known, cell)
    middle = cells[:, :, whole].median(2).values if whole.any() else None
    if middle is None:
        return torch.zeros_like(difference)
    usual = ((cells - middle[..., None, None]).abs().amax((0, 1)) <= MOST) & whole
    if not usual.any():
        return torch.zeros_like(difference)
    surface = _spline(cells.cpu().double().numpy(), usual.cpu().numpy(), cell / TENSION)
    enlarged = _enlarged(torch.from_numpy(surface).to(difference), cell)
    smooth = enlarged[..., :height, :width].movedim(1, -1)
    rest = (difference - smooth).clamp(-FINE, FINE)
    near = _blurred(rest, known)
    made = smooth + _reflected(near, known) + push_pull(rest - near, known)
    return torch.where(known[..., None], difference.clamp(smooth - FINE, smooth + FINE), made)


def _blurred(values: Tensor, known: Tensor) -> Tensor:
    """`values` `[B, H, W, C]`, each the mean of the known ones within BLUR pixels; 0 where not known."""
    weight = known[None, None].to(values)
    parts = (values.movedim(-1, 1) * weight, weight)
    mean, share = (functional.avg_pool2d(part, 2 * BLUR + 1, 1, BLUR) for part in parts)
    return (mean / share.clamp(min=1e-6) * weight).movedim(1, -1)


def _reflected(values: Tensor, known: Tensor) -> Tensor:
    """`values` `[B, H, W, C]` turned about their value at the rim: so they go on at their slope.

    A pixel at p, whose nearest known one is r, gets 2 v(r) - v(2 r - p), less and less
    over FADE pixels.
    """
    if bool(known.all()):
        return torch.zeros_like(values)
    nearest: Any = ndimage.distance_transform_edt(~known.cpu().numpy(), return_indices=True)
    distance, index = nearest
    far = torch.from_numpy(distance).to(values)
    y, x = torch.from_numpy(index).long().to(values.device)
    rows = torch.arange(known.shape[0], device=values.device)[:, None]
    columns = torch.arange(known.shape[1], device=values.device)[None]
    back_y = (2 * y - rows).clamp(0, known.shape[0] - 1)
    back_x = (2 * x - columns).clamp(0, known.shape[1] - 1)
    rim = values[:, y, x]
    inner = torch.where(known[back_y, back_x][..., None], values[:, back_y, back_x], rim)
    fade = ((1 + torch.cos(math.pi * (far / FADE).clamp(max=1))) / 2 * (far > 0))[..., None]
    return fade * (2 * rim - inner)


def _cells(difference: Tensor, known: Tensor, cell: int) -> tuple[Tensor, Tensor]:
    """Means `[B, C, h, w]` of cells, and which `[h, w]` are all known (beyond the frame nothing counts)."""
    room = (0, -known.shape[1] % cell, 0, -known.shape[0] % cell)
    weight = functional.pad(known[None, None].to(difference), room)
    inside = functional.pad(torch.ones_like(known)[None, None].to(difference), room)
    values = functional.pad(difference.movedim(-1, 1) * known.to(difference), room)
    share, frame = functional.avg_pool2d(weight, cell), functional.avg_pool2d(inside, cell)
    means = functional.avg_pool2d(values, cell) / share.clamp(min=1e-6)
    return means, ((share == frame) & (frame == 1))[0, 0]


def _spline(cells: np.ndarray, known: np.ndarray, tension: float) -> np.ndarray:
    """A smooth surface near the `known` `[h, w]` of `cells` `[B, C, h, w]`, which goes on where they are not.

    Minimises the squared distance to the known cells, the squared second differences, and, outside of the
    known, tension^2 times the squared first ones; what reaches beyond the grid has no say.
    """
    height, width = known.shape
    rows: list[Any] = [sparse.diags(known.ravel().astype(float)), *_differences(height, width, 2)]
    for one in _differences(height, width, 1):
        outside = (abs(one) @ (~known.ravel()).astype(float)) == 2  # between two cells that are not known
        rows.append(tension * sparse.diags(outside.astype(float)) @ one)
    if height > 1 and width > 1:
        rows.append(math.sqrt(2) * sparse.kron(_difference(height, 1), _difference(width, 1)))
    energy: Any = sparse.vstack(rows).tocsr()
    data = np.where(known, cells, 0).reshape(-1, height * width).T
    # A trace of tension everywhere: a single known cell has no slope.
    normal = energy.T @ energy + 1e-9 * sparse.identity(height * width)
    return splu(normal.tocsc()).solve(np.ascontiguousarray(data)).T.reshape(cells.shape)


def _difference(length: int, order: int) -> Any:
    """Differences of that order of neighbours along an axis: a sparse `[length - order, length]`."""
    out: Any = sparse.identity(length)
    for rows in range(length - 1, length - 1 - order, -1):
        out = (sparse.eye(rows, rows + 1, k=1) - sparse.eye(rows, rows + 1)) @ out
    return out


def _differences(height: int, width: int, order: int) -> list[Any]:
    """The same down and across a grid, where it is long enough."""
    out = []
    if height > order:
        out.append(sparse.kron(_difference(height, order), sparse.identity(width)))
    if width > order:
        out.append(sparse.kron(sparse.identity(height), _difference(width, order)))
    return out


def _enlarged(cells: Tensor, cell: int) -> Tensor:
    """`cells` `[B, C, h, w]` at the pixels, a linear surface staying linear to the edge; cubic between.

    With `antialias` the kernel is Keys' own (a = -1/2), which keeps a parabola; without, it is another one.
    """
    padded = cells
    for axis in (2, 3):
        count = padded.shape[axis]
        ends = []
        for end, inner in ((0, min(1, count - 1)), (count - 1, max(count - 2, 0))):
            first, second = padded.narrow(axis, end, 1), padded.narrow(axis, inner, 1)
            ends.append([first + step * (first - second) for step in (1, 2)])
        padded = torch.cat([ends[0][1], ends[0][0], padded, ends[1][0], ends[1][1]], axis)
    size = [side * cell for side in padded.shape[2:]]
    large = functional.interpolate(padded, size, mode="bicubic", antialias=True)
    return large[..., 2 * cell : -2 * cell, 2 * cell : -2 * cell]
