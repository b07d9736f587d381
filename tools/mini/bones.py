"""What a pose is in the mini world: the bones of its shapes, a hint for the mini ControlNet."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from . import world

BONE, JOINT = 0.012, 0.022
"""Half the width of a bone and the radius of a joint, in units of the picture's shorter side."""


def bones(scene: world.Scene, height: int, width: int) -> Tensor:
    """What a pose is for a shape, `[3, H, W]` on black: a bone in a colour of its own from the centre to each
    corner that sticks out, a joint at its end. A circle has one bone, up; a ring its centre's joint alone."""
    side = min(height, width)
    ys, xs = (torch.arange(n) + 0.5 for n in (height, width))
    y, x = torch.meshgrid(ys / side, xs / side, indexing="ij")
    drawn = torch.zeros(3, height, width)
    for shape in scene.shapes:
        r = world.SIZES[shape.size]
        cx, cy = shape.x * width / side, shape.y * height / side
        ends = limbs(shape.kind)
        for turn, (ex, ey) in enumerate(ends):
            ex, ey = ex * r, ey * r
            dx, dy = x - cx, y - cy
            along = ((dx * ex + dy * ey) / (ex * ex + ey * ey)).clamp(0, 1)
            away = torch.minimum(
                ((dx - ex * along) ** 2 + (dy - ey * along) ** 2).sqrt() - BONE,
                ((dx - ex) ** 2 + (dy - ey) ** 2).sqrt() - JOINT,
            )
            drawn = torch.lerp(drawn, hue(turn / max(1, len(ends))), (0.5 - away * side).clamp(0, 1))
        centre = ((x - cx) ** 2 + (y - cy) ** 2).sqrt() - JOINT
        drawn = torch.lerp(drawn, torch.ones(3, 1, 1), (0.5 - centre * side).clamp(0, 1))
    return drawn


def limbs(kind: str) -> list[tuple[float, float]]:
    """Ends of a shape's bones, of radius 1 about its centre, y down."""
    if kind == "ring":
        return []
    if kind == "circle":
        return [(0.0, -1.0)]
    if kind == "cross":
        return [(0.0, -1.0), (1.0, 0.0), (0.0, 1.0), (-1.0, 0.0)]
    corners = world.outline(kind)
    return corners[::2] if kind == "star" else corners


def hue(turn: float) -> Tensor:
    """A colour `[3, 1, 1]` of the circle of hues; turn 0 is red."""
    waves = [math.cos(2 * math.pi * (turn - k / 3)) for k in range(3)]
    return (0.75 * torch.tensor(waves) + 0.5).clamp(0, 1)[:, None, None]
