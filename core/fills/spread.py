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
BLUR = 2
"""Pixels to each side over which single pixels near the rim are averaged, by a plane through them."""
REACH = 16
"""Pixels over which a decoder mixes what it made with what it was given: about two cells of its latent."""
FINE = 20 / 255
"""The most that single pixels of the rim are corrected beyond their surroundings."""


def spread(difference: Tensor, known: Tensor) -> Tensor:
    """A smooth surface `[B, H, W, C]`: `difference` where `known` `[H, W]` (bool), and going on from there.

    The known side shows a step of the new one only as far as a decoder mixes the two, and half of it at the
    rim. So the difference is turned about its value at the rim, which leaves it without a kink and comes to
    the whole step REACH pixels on. From there cells give their means to a spline in tension (W. H. F. Smith
    and P. Wessel, "Gridding with continuous curvature splines in tension", Geophysics 55, 1990), which turns
    at once into a membrane (Laplace's equation).

    Zero everywhere if no cell is known.
    """
    height, width = known.shape
    cell = max(CELL, math.ceil(max(height, width) / GRID))
    usual = _usual(difference, known, cell)
    if usual is None:
        return torch.zeros_like(difference)
    trend = _planes(difference, usual)
    turned, far = _turned(trend, usual)
    # A cell of the latent that is known in part is made anew as a whole: the step lies at the last whole one.
    latent = _pixels(_cells(difference, usual, CELL)[1], CELL, known)
    whole_step = _turned(trend, latent, all_of_it=True)[0] if latent.any() else turned
    ring = torch.lerp(whole_step, turned, _falling(far, REACH))
    told = usual | (far <= 2 * REACH) & ~known
    cells, whole = _cells(torch.where(usual[..., None], difference, ring), told, cell)
    surface = _spline(cells.cpu().double().numpy(), whole.cpu().numpy(), cell / TENSION)
    enlarged = _enlarged(torch.from_numpy(surface).to(difference), cell)
    smooth = enlarged[..., :height, :width].movedim(1, -1)
    grain = push_pull((difference - trend).clamp(-FINE, FINE), usual)
    made = torch.lerp(smooth, ring, _falling(far, 2 * REACH)) + grain
    return torch.where(known[..., None], difference, made)


def _falling(far: Tensor, reach: int) -> Tensor:
    """1 at the distance 0 and 0 from `reach` on, `[H, W, 1]`."""
    return ((1 + torch.cos(math.pi * (far / reach).clamp(max=1))) / 2)[..., None]


def _usual(difference: Tensor, known: Tensor, cell: int) -> Tensor | None:
    """The known pixels `[H, W]` of cells that differ as most do; None if there is no known cell."""
    cells, whole = _cells(difference, known, cell)
    if not whole.any():
        return None
    middle = cells[:, :, whole].median(2).values[..., None, None]
    usual = known & _pixels((cells - middle).abs().amax((0, 1)) <= MOST, cell, known)
    return usual if usual.any() else None


def _pixels(cells: Tensor, cell: int, like: Tensor) -> Tensor:
    """`cells` `[h, w]` at the pixels, as large as `like` `[H, W]`."""
    large = cells.repeat_interleave(cell, 0).repeat_interleave(cell, 1)
    return large[: like.shape[0], : like.shape[1]]


def _planes(values: Tensor, known: Tensor) -> Tensor:
    """`values` `[B, H, W, C]`, each that of the plane through the known ones within BLUR pixels; 0 elsewhere.

    A mean would lag behind a slope at the rim, where pixels are known on one side only. H. Knutsson and C.-F.
    Westin, "Normalized and differential convolution", CVPR 1993.
    """
    side = 2 * BLUR + 1
    x = (torch.arange(side, device=values.device) - BLUR).expand(side, side).float()
    base = torch.stack([torch.ones_like(x), x, x.T])[:, None]
    weight = known[None, None].float()
    moments = functional.conv2d(weight, (base[:, None] * base[None]).flatten(0, 1), padding=BLUR)[0]
    n, sx, sy, _, xx, xy, _, _, yy = moments
    xx, yy = xx + 1e-3, yy + 1e-3  # of a single row no slope across it is known
    parts = torch.stack([xx * yy - xy**2, sy * xy - sx * yy, sx * xy - sy * xx])
    parts = torch.where(known, parts / (torch.stack([n, sx, sy]) * parts).sum(0).clamp(min=1e-6), 0)
    made = torch.empty_like(values)
    for picture, out in zip(values, made, strict=True):
        for channel in range(values.shape[-1]):
            shown = picture[None, None, ..., channel].float() * weight
            out[..., channel] = (functional.conv2d(shown, base, padding=BLUR)[0] * parts).sum(0)
    return made


def _turned(values: Tensor, known: Tensor, all_of_it: bool = False) -> tuple[Tensor, Tensor]:
    """`values` `[B, H, W, C]` turned about their value at the rim, and the distance `[H, W]` from there.

    A pixel at p, whose nearest known one is r, gets 2 v(r) - v(2 r - p), from at most REACH pixels inwards;
    everywhere from there with `all_of_it`. It gets v(r) where that is not known.
    """
    nearest: Any = ndimage.distance_transform_edt(~known.cpu().numpy(), return_indices=True)
    far, index = (torch.from_numpy(part).to(values.device) for part in nearest)
    y, x = index.long()
    rows = torch.arange(known.shape[0], device=values.device)[:, None]
    columns = torch.arange(known.shape[1], device=values.device)[None]
    share = (REACH if all_of_it else far.clamp(max=REACH)) / far.clamp(min=1)
    back_y = (y + (y - rows) * share).round().long().clamp(0, known.shape[0] - 1)
    back_x = (x + (x - columns) * share).round().long().clamp(0, known.shape[1] - 1)
    rim = values[:, y, x]
    inner = torch.where(known[back_y, back_x][..., None], values[:, back_y, back_x], rim)
    return 2 * rim - inner, far.to(values)


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
