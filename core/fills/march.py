"""Marching fills: the hole is closed from its rim inwards, each pixel from the known ones round it.

Both algorithms visit pixels in the order of their distance T from the rim. The papers find T pixel by
pixel (fast marching); here T is the exact Euclidean distance, and all pixels of one layer (a distance
between k and k + 1) are filled together, which is the same order up to ties and needs no Python loop
over pixels.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from ..loop.lens import in_float32

RADIUS = 5
"""Neighbourhood B_epsilon of both papers' reference figures, in pixels."""
CHUNK = 8192
"""Pixels filled at once: bounds the working memory."""
SMOOTHING = 2.0
"""Standard deviation of the gradients' smoothing, in pixels."""
DAMPING = 0.85
VISCOSITY = 0.05
"""Isotropic share of the transport, in mean gradients of the rim."""

Array = NDArray[np.float32]


@in_float32
def march(pixels: Tensor, unknown: Tensor, rule: str) -> Tensor:
    """`pixels` `[B, H, W, C]` with the hole `unknown` `[H, W]` (bool) filled by "telea" or "navier-stokes".

    telea: I(p) = sum of w(p, q) [I(q) + grad I(q) (p - q)] / sum of w, with w = dir dst lev.
    A. Telea, "An image inpainting technique based on the fast marching method", 2004, equations 2 to 5.

    navier-stokes: colours travel along v = perpendicular gradient of I (I is the stream function) with a
    viscosity; here one upwind pass over the layers in place of time steps to the steady state.
    M. Bertalmio, A. Bertozzi, G. Sapiro, "Navier-Stokes, fluid dynamics, and image and video inpainting",
    2001.

    Differences of single pixels make extrapolation unstable, so gradients are smoothed where the picture is
    known and carried inwards with the colours, by the same weights, fading by DAMPING a layer. Colours stay
    within the range of the known ones near the hole.
    """
    where = unknown.nonzero()
    top, left = (where.amin(0) - RADIUS - 2).clamp(min=0).tolist()
    bottom, right = (where.amax(0) + RADIUS + 3).tolist()
    area = pixels[:, top:bottom, left:right]
    stack = area.movedim(0, 2).flatten(2)  # BHWC -> HW(BC): pictures of one hole are filled together
    hole = unknown[top:bottom, left:right].cpu().numpy()
    filled = _Front(stack.float().cpu().numpy(), hole, rule).run()
    out = pixels.clone()
    closed = torch.from_numpy(filled).to(pixels).unflatten(2, (area.shape[0], area.shape[3]))
    out[:, top:bottom, left:right] = closed.movedim(2, 0)
    return out


class _Front:
    """A hole while it is being closed. Arrays are flat over a frame that RADIUS + 1 unknown pixels widen."""

    def __init__(self, image: Array, hole: NDArray[np.bool_], rule: str):
        self.rule = rule
        margin = RADIUS + 1
        self.shape = hole.shape
        self.width = hole.shape[1] + 2 * margin
        around = ((margin, margin), (margin, margin))
        inside, outside = np.zeros(hole.shape), np.zeros(hole.shape)
        ndimage.distance_transform_edt(hole, distances=inside)
        ndimage.distance_transform_edt(~hole, distances=outside)
        distance = inside - outside
        self.T = np.pad(distance, around, mode="edge").astype(np.float32).ravel()
        self.known = np.pad(~hole, around).ravel()
        self.image = np.pad(image, (*around, (0, 0)), mode="edge").reshape(-1, image.shape[2])
        self.layer = np.pad(np.ceil(inside), around).astype(np.int32).ravel()
        wide = np.pad(distance, around, mode="edge")
        self.N = (
            np.stack([np.gradient(wide, axis=0), np.gradient(wide, axis=1)], -1)
            .astype(np.float32)
            .reshape(-1, 2)
        )
        self.gradient = np.pad(_gradient(image, ~hole), (*around, (0, 0), (0, 0))).reshape(
            -1, image.shape[2], 2
        )
        rim = self.known & (self.T > -(RADIUS + 1))
        self.low, self.high = self.image[rim].min(0), self.image[rim].max(0)
        self.viscosity = VISCOSITY * np.linalg.norm(self.gradient[rim].mean(1), axis=-1).mean() + 1e-6
        y, x = np.mgrid[-RADIUS : RADIUS + 1, -RADIUS : RADIUS + 1].reshape(2, -1)
        disc = (y**2 + x**2 > 0) & (y**2 + x**2 <= RADIUS**2)
        self.r = -np.stack([y[disc], x[disc]], -1).astype(np.float32)  # p - q
        self.length = np.linalg.norm(self.r, axis=-1)
        self.offset = y[disc] * self.width + x[disc]

    def run(self) -> Array:
        """The closed image `[H, W, K]`."""
        order = np.argsort(self.layer, kind="stable")
        bounds = np.searchsorted(self.layer[order], np.arange(1, self.layer.max() + 2))
        for first, last in zip(bounds[:-1], bounds[1:], strict=True):
            pixels = order[first:last]
            for start in range(0, len(pixels), CHUNK):
                part = pixels[start : start + CHUNK]
                self._close(part)
            self.known[pixels] = True
        rows = self.image.reshape(-1, self.width, self.image.shape[1])
        margin = RADIUS + 1
        return rows[margin : margin + self.shape[0], margin : margin + self.shape[1]]

    def _close(self, p: NDArray[np.intp]) -> None:
        """Colours and gradients of the pixels p `[n]` from the known ones of their neighbourhoods."""
        q = p[:, None] + self.offset
        weight = self._telea(p, q) if self.rule == "telea" else self._transport(q)
        weight = weight * self.known[q]
        weight /= weight.sum(1, keepdims=True)
        colour, gradient = self.image[q], self.gradient[q]
        if self.rule == "telea":
            colour = colour + np.einsum("nqkd,qd->nqk", gradient, self.r)
        self.image[p] = np.clip(np.einsum("nq,nqk->nk", weight, colour), self.low, self.high)
        self.gradient[p] = DAMPING * np.einsum("nq,nqkd->nkd", weight, gradient)

    def _telea(self, p: NDArray[np.intp], q: NDArray[np.intp]) -> Array:
        """dir: along the normal; dst: near by; lev: close to the same distance from the rim."""
        along = np.abs(np.einsum("nd,qd->nq", self.N[p], self.r)) / self.length
        level = 1 / (1 + np.abs(self.T[p][:, None] - self.T[q]))
        return np.maximum(along, 1e-6) / self.length**2 * level

    def _transport(self, q: NDArray[np.intp]) -> Array:
        """|v(q) . r| / |r|, v = (-dI/dx, dI/dy) in (y, x) order, plus viscosity; near by counts more."""
        mean = self.gradient[q].mean(2)
        flow = np.abs(-mean[..., 1] * self.r[:, 0] + mean[..., 0] * self.r[:, 1]) / self.length
        return (flow + self.viscosity) / self.length**2


def _gradient(image: Array, known: NDArray[np.bool_]) -> Array:
    """(dI/dy, dI/dx) `[H, W, K, 2]`: central differences between known pixels, smoothed over known ones."""
    out = np.zeros((*image.shape, 2), np.float32)
    for axis in (0, 1):
        sides = ndimage.correlate1d(known.astype(np.int8), [1, 0, 1], axis=axis, mode="constant")
        valid = (known & (sides == 2)).astype(np.float32)
        share = ndimage.gaussian_filter(valid, SMOOTHING)
        for channel in range(image.shape[2]):
            slope = ndimage.correlate1d(image[..., channel], [-0.5, 0, 0.5], axis=axis) * valid
            smooth = ndimage.gaussian_filter(slope, SMOOTHING)
            out[..., channel, axis] = np.where(known & (share > 0), smooth / np.maximum(share, 1e-12), 0)
    return out
