"""Zones: the parts of a picture within which colour never jumps.

Two neighbours whose colours differ by at most alpha in CIE Lab are one zone, and so on from neighbour to
neighbour: the quasi-flat zones of P. Soille, "Constrained connectivity for hierarchical image partitioning
and simplification" (IEEE TPAMI 30, 2008). A slow gradient is one zone, an edge ends it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import ndimage, sparse
from scipy.sparse import csgraph
from torch import Tensor

# The least jump in Lab that parts two zones (a just noticeable difference is 2.3), and the same in deviations
# of noise.
ALPHA, DEVIATIONS = 3.0, 3.0
# So many alphas are an edge for certain: two pixels beside one don't join, so that no zone leaks through the
# blurred tip of a shape.
EDGE = 2.0
# What is smaller than this share of the picture, or all beside edges, is no zone: a ramp, a speck.
LEAST_SHARE = 0.0006
# From this deviation of noise in lightness on, zones are looked for in a median of 3 x 3.
NOISY = 0.5
# The median of |x| of normal noise, in deviations.
MAD = 0.6745
NEIGHBOURS = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if dy or dx]


@dataclass(frozen=True)
class Zones:
    """`labels` `[H, W]` from 0 to N - 1. Of each zone: `area` in pixels, mean `lab` and `rgb` `[N, 3]` away
    from edges, `share` of the picture's border that it has; `contact` `[N, N]` is how many pixel sides two
    zones share."""

    labels: np.ndarray
    area: np.ndarray
    lab: np.ndarray
    rgb: np.ndarray
    share: np.ndarray
    contact: sparse.csr_matrix


def zones_of(picture: Tensor) -> Zones:
    """The zones of `picture` `[H, W, 3]` in 0..1."""
    from kornia.color import rgb_to_lab  # not with every ComfyUI

    planes = picture.detach().float().cpu().clamp(0, 1).movedim(-1, 0)
    rgb, lab = (p.movedim(0, -1).contiguous().numpy() for p in (planes, rgb_to_lab(planes[None])[0]))
    noise = _noise(lab[..., 0])
    smooth = ndimage.median_filter(lab, size=(3, 3, 1)) if noise > NOISY else lab
    labels, edge = _flat(smooth, max(ALPHA, DEVIATIONS * noise))
    labels = _absorbed(labels, smooth, edge)
    return _measured(labels, edge, lab, rgb)


def _noise(lightness: np.ndarray) -> float:
    """The deviation of noise (J. Immerkaer, "Fast Noise Variance Estimation", 1996, by the median)."""
    mask = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
    return float(np.median(np.abs(ndimage.convolve(lightness, mask)))) / (6 * MAD)


def _sides(field: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Pairs of neighbours as two views each: left and right, above and below."""
    yield field[:, :-1], field[:, 1:]
    yield field[:-1], field[1:]


def _flat(lab: np.ndarray, alpha: float) -> tuple[np.ndarray, np.ndarray]:
    """The labels of the quasi-flat zones, and which pixels have an edge beside them."""
    number = np.arange(lab[..., 0].size).reshape(lab.shape[:2])
    edge = np.zeros(number.shape, bool)
    jumps = [((a - b) ** 2).sum(-1) for a, b in _sides(lab)]
    for (a, b), jump in zip(_sides(edge), jumps, strict=True):
        a |= jump > (EDGE * alpha) ** 2
        b |= jump > (EDGE * alpha) ** 2
    rows, columns = [], []
    for (a, b), (i, j), jump in zip(_sides(edge), _sides(number), jumps, strict=True):
        joined = (jump <= alpha**2) & ~(a & b)
        rows.append(i[joined])
        columns.append(j[joined])
    pairs = np.concatenate(rows), np.concatenate(columns)
    graph = sparse.coo_matrix((np.ones(len(pairs[0]), np.uint8), pairs), shape=(number.size,) * 2)
    return csgraph.connected_components(graph, directed=False)[1].reshape(number.shape), edge


def _means(labels: np.ndarray, colours: np.ndarray, edge: np.ndarray) -> np.ndarray:
    """The mean colour `[N, 3]` of each zone's pixels that have no edge beside them."""
    core, count = labels[~edge], int(labels.max()) + 1
    sums = [np.bincount(core, colours[~edge][:, channel], count) for channel in range(3)]
    return np.stack(sums, -1) / np.bincount(core, minlength=count).clip(1)[:, None]


def _absorbed(labels: np.ndarray, lab: np.ndarray, edge: np.ndarray) -> np.ndarray:
    """What is no zone goes to those round it, from the rim inwards, each pixel to the nearest in colour."""
    least = max(4, round(LEAST_SHARE * labels.size))
    kept = (np.bincount(labels.ravel()) >= least) & (np.bincount(labels.ravel(), ~edge.ravel()) > 0)
    if not kept.any():
        return np.zeros_like(labels)
    means = _means(labels, lab, edge)
    padded = np.pad(np.where(kept[labels], labels, -1), 1, constant_values=-1)
    rows, columns = np.nonzero(padded[1:-1, 1:-1] < 0)
    while len(rows):
        near = np.stack([padded[rows + 1 + dy, columns + 1 + dx] for dy, dx in NEIGHBOURS])
        away = ((means[near] - lab[rows, columns]) ** 2).sum(-1)
        chosen = np.where(near < 0, np.inf, away).argmin(0)
        found = near[chosen, np.arange(len(rows))]
        padded[rows + 1, columns + 1] = found
        rows, columns = rows[found < 0], columns[found < 0]
    return np.unique(padded[1:-1, 1:-1], return_inverse=True)[1].reshape(labels.shape)


def _measured(labels: np.ndarray, edge: np.ndarray, lab: np.ndarray, rgb: np.ndarray) -> Zones:
    count = int(labels.max()) + 1
    border = np.concatenate([labels[0], labels[-1], labels[1:-1, 0], labels[1:-1, -1]])
    pairs = np.concatenate([np.stack([a.ravel(), b.ravel()]) for a, b in _sides(labels)], 1)
    i, j = pairs[:, pairs[0] != pairs[1]]
    one = sparse.coo_matrix((np.ones(len(i)), (i, j)), shape=(count, count)).tocsr()
    return Zones(
        labels, np.bincount(labels.ravel()), _means(labels, lab, edge), _means(labels, rgb, edge),
        np.bincount(border, minlength=count) / len(border), (one + one.T).tocsr(),
    )  # fmt: skip
