"""Where a picture that an edit model gave back lies on the one that it was given.

Such models move the whole picture a little, enlarge it, and tint it. The motion is a shift and a zoom about
the middle, found as Odobez and Bouthemy do ("Robust multiresolution estimation of parametric motion models",
1995): weighted least squares from coarse to fine, in which pixels that do not fit lose their weight, so that
the edit itself has no say. It begins where phase correlation (Kuglin and Hines, 1975) has its highest peaks.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

MOST_SHIFT = 1 / 8
"""Of the shorter side; a result that moved further is another picture."""
LIKELY_ZOOM, MOST_ZOOM = 0.02, 0.06
SIDE = 384
"""Pictures of a longer side are registered at this."""
TRIES = 3
"""Peaks of the phase correlation that are followed."""
NOISE, WRONG = 0.02, 0.1
"""How far (0..1 scale) edges are off that fit as well as can be, and those that do not fit."""
EDGE = 0.02
"""A gradient (a pixel) under this is none."""
SLOW = 8.0
"""What changes over so many pixels is tint or shading."""


@dataclass(frozen=True)
class Motion:
    """Where a point of the picture is in the edited one: `zoom` times as far from the middle, and shifted by
    `right` and `down` pixels."""

    zoom: float = 1.0
    right: float = 0.0
    down: float = 0.0

    def reach(self, height: int, width: int) -> float:
        """The most pixels that any point of a picture of this size moves."""
        grown = abs(self.zoom - 1)
        return max(abs(self.right) + grown * width / 2, abs(self.down) + grown * height / 2)


def scale_of(height: int, width: int) -> float:
    """At which part of its size a picture is registered."""
    return min(1.0, SIDE / max(height, width))


def moved_back(edited: Tensor, motion: Motion) -> tuple[Tensor, Tensor]:
    """`edited` `[H, W, C]` where the picture is (bicubic), and whether it is known there `[H, W]`."""
    height, width = edited.shape[:2]
    if motion == Motion():
        return edited, torch.ones(height, width, dtype=torch.bool, device=edited.device)
    values = torch.tensor([motion.zoom - 1, motion.right, motion.down], dtype=torch.float64)
    moved, known = warped(edited.movedim(-1, 0).float(), values, "bicubic")
    return moved.movedim(0, -1).to(edited), known


def scaled(planes: Tensor, scale: float) -> Tensor:
    """`[C, h, w]` at this scale, antialiased."""
    size = [max(16, round(side * scale)) for side in planes.shape[1:]]
    return functional.interpolate(planes[None], size, mode="bilinear", antialias=True)[0]


def relief(picture: Tensor, scale: float) -> Tensor:
    """Colours `[C, h, w]` of `picture` `[H, W, C]` at this scale without what changes slowly: a tint, however
    uneven, is flat. On the CPU: small, and in doubles then, which not every GPU has."""
    planes = picture[..., :3].movedim(-1, 0).float().cpu()
    planes = blurred(scaled(planes, scale) if scale < 1 else planes, 0.7)
    return planes - blurred(planes, SLOW)


def warped(planes: Tensor, motion: Tensor, mode: str = "bilinear") -> tuple[Tensor, Tensor]:
    """`planes` `[C, h, w]` read at where `motion` (zoom - 1, right, down) puts each pixel."""
    height, width = planes.shape[1:]
    zoom, right, down = motion.tolist()
    grid, inside = [], []
    for count, shift in ((width, right), (height, down)):
        at = torch.arange(count, dtype=torch.float64) - (count - 1) / 2
        at = at * (1 + zoom) + shift
        inside.append(at.abs() <= (count - 1) / 2 + 1e-6)
        grid.append((at / max((count - 1) / 2, 0.5)).float())
    y, x = torch.meshgrid(grid[1], grid[0], indexing="ij")
    at = torch.stack([x, y], -1)[None].to(planes.device)
    read = functional.grid_sample(planes[None], at, mode=mode, padding_mode="border", align_corners=True)
    return read[0], inside[1][:, None].to(planes.device) & inside[0].to(planes.device)


def starts(first: Tensor, second: Tensor) -> list[Tensor]:
    """Motions (zoom - 1, right, down) at the highest peaks of the phase correlation, over zooms."""
    height, width = first.shape[1:]
    window = torch.hann_window(height, periodic=False)[:, None] * torch.hann_window(width, periodic=False)
    window = window.to(first)
    base = torch.fft.rfft2(first * window).conj()
    reach = [round(side * MOST_SHIFT) for side in (height, width)]
    found = []
    for zoom in torch.linspace(-MOST_ZOOM, MOST_ZOOM, 13).tolist():
        moved, _ = warped(second, first.new_tensor([zoom, 0, 0], dtype=torch.float64))
        cross = (torch.fft.rfft2(moved * window) * base).sum(0)
        peaks = torch.fft.irfft2(cross / cross.abs().clamp_min(1e-9), s=(height, width))
        peaks = torch.roll(peaks, reach, (0, 1))[: 2 * reach[0] + 1, : 2 * reach[1] + 1]
        down, right = divmod(int(peaks.argmax()), peaks.shape[1])
        # Zoomed about the middle first, shifted then.
        shift = [(right - reach[1]) * (1 + zoom), (down - reach[0]) * (1 + zoom)]
        found.append((float(peaks.max()), first.new_tensor([zoom, *shift], dtype=torch.float64)))
    return [motion for _, motion in sorted(found, key=lambda one: -one[0])[:TRIES]]


def gradient(planes: Tensor) -> tuple[Tensor, Tensor]:
    """What `[C, h, w]` gains a pixel to the right, and down; beyond the frame it goes on."""
    wide = functional.pad(planes[None], (1, 1, 1, 1), mode="replicate")[0] / 2
    return wide[:, 1:-1, 2:] - wide[:, 1:-1, :-2], wide[:, 2:, 1:-1] - wide[:, :-2, 1:-1]


def refined(
    first: Tensor, second: Tensor, motion: Tensor, rounds: int, counted: Tensor | None = None
) -> tuple[Tensor, float]:
    """The motion near `motion` at which the two fit best, and the share of their edges that does not fit.

    `counted` `[2, h, w]` is 1 where a pixel of the first and of the second has a say (all by default).
    """
    own = gradient(first)
    for turn in range(rounds + 1):
        moved, known = warped(second if counted is None else torch.cat([second, counted[1:]]), motion)
        if counted is not None:
            known = known & (counted[0] > 0.5) & (moved[-1] > 0.99)
            moved = moved[:-1]
        others = gradient(moved)
        residual = moved - first
        edges = (own[0] ** 2 + own[1] ** 2 + others[0] ** 2 + others[1] ** 2).sum(0)
        if counted is not None:
            edges = edges * known
        scale = _noise(residual[:, known & (edges > EDGE**2)])
        squares = (residual / scale) ** 2
        if turn == rounds:
            break
        motion = stepped(motion, own, others, residual, known / (1 + squares) ** 2, scale)
    squares = (residual / WRONG) ** 2
    wrong = torch.where(known, squares / (1 + squares), 1.0).mean(0)
    return motion, float((wrong * edges).cpu().double().sum() / edges.cpu().double().sum().clamp_min(1e-9))


def stepped(
    motion: Tensor,
    own: tuple[Tensor, Tensor],
    others: tuple[Tensor, Tensor],
    residual: Tensor,
    weight: Tensor,
    scale: float,
) -> Tensor:
    """One Gauss-Newton step of a motion, weighted `[h, w]` or `[C, h, w]`: from the gradients of the picture
    and of the other as the motion has it, and what is left between them, all `[C, h, w]`. `scale` is how far
    (0..1 scale) a pixel is off that fits."""
    height, width = residual.shape[1:]
    x = torch.arange(width, device=residual.device) - (width - 1) / 2
    y = (torch.arange(height, device=residual.device) - (height - 1) / 2)[:, None]
    # The mean of both gradients: second order (Benhimane and Malis, 2004).
    across, down = ((one + other) / 2 for one, other in zip(own, others, strict=True))
    columns = torch.stack([across * x + down * y, across, down]).flatten(1).cpu().double()
    weighted = columns * weight.expand_as(residual).flatten()
    square = weighted @ columns.T
    against = weighted @ residual.flatten().cpu().double()
    # A zoom that nothing shows is none.
    prior = (scale / LIKELY_ZOOM) ** 2
    square[0, 0] += prior
    against[0] += motion[0] * prior
    square.diagonal().add_(1e-9 + 1e-6 * square.diagonal())
    return motion - torch.linalg.solve(square, against)


def gain_and_means(given: Tensor, wanted: Tensor, weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The gain that makes `given` `wanted`, both `[C, N]`, by `weight` `[1, N]`, and the means of both: least
    squares, `[C, 1]` each."""
    total = weight.sum().clamp_min(1e-9)
    mean, goal = ((weight * one).sum(1, keepdim=True) / total for one in (given, wanted))
    spread = (weight * (given - mean) ** 2).sum(1, keepdim=True) / total
    shared = (weight * (given - mean) * (wanted - goal)).sum(1, keepdim=True) / total
    # A flat colour has no contrast to match: its gain is 1.
    return (shared + 1e-4) / (spread + 1e-4), mean, goal


def _noise(values: Tensor) -> float:
    """A robust standard deviation of what differs at edges, within what a VAE does to them."""
    return min(max(NOISE, 1.4826 * float(values.abs().median())), WRONG) if values.numel() else NOISE


def blurred(planes: Tensor, sigma: float) -> Tensor:
    """`[C, h, w]` under a Gaussian of so many pixels; its frame goes on."""
    reach = max(1, round(3 * sigma))
    at = torch.arange(-reach, reach + 1, dtype=planes.dtype, device=planes.device)
    kernel = torch.exp(-(at**2) / (2 * sigma**2))
    kernel = kernel / kernel.sum()
    planes = functional.pad(planes[:, None], (reach,) * 4, mode="replicate")
    planes = functional.conv2d(planes, kernel[None, None, :, None])
    return functional.conv2d(planes, kernel[None, None, None])[:, 0]
