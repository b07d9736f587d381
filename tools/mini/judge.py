"""Reads a picture of the mini world back: shapes, colours, sizes, places, textures, background, light.

Programs, not models. Every pixel is given to its nearest colour of the world in CIE Lab, each colour under
several strengths of light and in its second tone; connected regions of one colour that is not the
background's are shapes, named by the template that covers them best. `read` takes pictures at any size.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from kornia.color import rgb_to_lab
from scipy import ndimage
from torch import Tensor

from . import world
from .world import COLOURS, LIGHTS, PLACES, SHAPES, SIZES

NAMES = tuple(COLOURS)
SMALLEST = 0.006  # share of the picture below which a region is dirt
CELLS = 32  # a side of the RGB cube in which colours are looked up
SEEN = 64  # side of the square on which a region meets the templates


@dataclass(frozen=True)
class Found:
    """One shape as read; `x` and `y` are fractions of the picture, `overlap` its template IoU."""

    kind: str
    colour: str
    size: str
    place: str
    texture: str
    x: float
    y: float
    overlap: float
    mask: Tensor


@dataclass(frozen=True)
class Reading:
    """What a picture shows, largest shape first."""

    shapes: tuple[Found, ...]
    background: str
    light: str
    colours: Tensor


@lru_cache(maxsize=1)
def palette() -> tuple[Tensor, Tensor]:
    """Lab of every colour that the world can draw `[K, 3]`, and the index of its name `[K]`."""
    tones, owner = [], []
    for index, name in enumerate(NAMES):
        colour = torch.tensor(COLOURS[name])
        for lit in (-1.0, -0.5, 0.0, 0.5, 1.0):
            for tone in (colour, world.second_tone(colour)):
                tones.append(world.shade(tone, torch.tensor(lit)))
                owner.append(index)
    return lab(torch.stack(tones).T[:, None, :])[:, 0].T, torch.tensor(owner)


def lab(picture: Tensor) -> Tensor:
    """CIE Lab of `[3, H, W]` in 0..1, lightness at half weight: light and shade move it most."""
    return rgb_to_lab(picture[None].clamp(0, 1))[0] * torch.tensor([0.5, 1.0, 1.0])[:, None, None]


@lru_cache(maxsize=1)
def nearest_names() -> Tensor:
    """The index in NAMES of the colour nearest to each cell of the RGB cube, `[CELLS, CELLS, CELLS]`."""
    tones, owner = palette()
    axis = (torch.arange(CELLS) + 0.5) / CELLS
    cube = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij")).flatten(1)
    return owner[torch.cdist(lab(cube[:, None])[:, 0].T, tones).argmin(1)].reshape(CELLS, CELLS, CELLS)


def name_pixels(picture: Tensor) -> Tensor:
    """The index in NAMES of each pixel's colour, `[H, W]`."""
    r, g, b = (picture.clamp(0, 1) * CELLS).long().clamp(max=CELLS - 1)
    return nearest_names()[r, g, b]


@lru_cache(maxsize=1)
def templates() -> Tensor:
    """The six shapes in their bounding boxes, `[6, SEEN, SEEN]` of booleans."""
    out = []
    axis = torch.linspace(-1.1, 1.1, 4 * SEEN)
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    for kind in SHAPES:
        out.append(boxed(world.shape_distance(kind, x, y) < 0)[0])
    return torch.stack(out)


def boxed(mask: Tensor) -> tuple[Tensor, tuple[int, int, int, int]]:
    """A mask's bounding box resampled to SEEN x SEEN, and the box (top, left, height, width)."""
    rows, columns = mask.any(1).nonzero()[:, 0], mask.any(0).nonzero()[:, 0]
    top, left = int(rows[0]), int(columns[0])
    height, width = int(rows[-1]) - top + 1, int(columns[-1]) - left + 1
    part = mask[top : top + height, left : left + width].float()[None, None]
    part = torch.nn.functional.interpolate(part, size=(SEEN, SEEN), mode="bilinear", antialias=True)
    return part[0, 0] > 0.5, (top, left, height, width)


def match(mask: Tensor) -> tuple[str, float]:
    """The shape whose template overlaps a mask best, and the intersection over union."""
    own, (_, _, height, width) = boxed(mask)
    every = templates()
    overlap = (every & own).flatten(1).sum(1) / (every | own).flatten(1).sum(1)
    if max(height, width) > 1.4 * min(height, width):
        overlap = overlap * 0.5  # no shape of the world is that long
    best = int(overlap.argmax())
    return SHAPES[best], float(overlap[best])


def slope(values: Tensor, mask: Tensor) -> tuple[float, float]:
    """The plane fitted to `values` inside a mask: its slope along x and y, per picture."""
    y, x = mask.nonzero().T.float()
    inside = values[mask]
    design = torch.stack((x / mask.shape[1], y / mask.shape[0], torch.ones_like(x)), 1)
    solution = torch.linalg.lstsq(design, inside[:, None]).solution[:, 0]
    return float(solution[0]), float(solution[1])


def light_side(picture: Tensor, masks: list[Tensor]) -> str:
    """The side that the light comes from: where the brightness of the given regions rises, by their area."""
    gray = picture.mean(0)
    total = torch.zeros(2)
    for mask in masks:
        total += torch.tensor(slope(gray, mask)) * mask.float().mean() ** 0.5
    return max(LIGHTS, key=lambda name: float(torch.dot(total, torch.tensor(LIGHTS[name]))))


def texture(picture: Tensor, mask: Tensor) -> str:
    """Plain, striped or dotted: what is left of the brightness after its plane, set against both patterns."""
    height, width = mask.shape
    side = min(height, width)
    inner = torch.from_numpy(ndimage.binary_erosion(mask.numpy(), iterations=max(1, side // 50)))
    if inner.sum() < 30:
        return "plain"
    gray = picture.mean(0)
    sx, sy = slope(gray, inner)
    y, x = (v.float() for v in inner.nonzero().T)
    rest = gray[inner] - sx * x / width - sy * y / height
    rest = rest - rest.mean()
    if float((rest**2).mean()) < 0.045**2:
        return "plain"
    x, y = (x + 0.5) / side, (y + 0.5) / side
    shifts = torch.linspace(0, 1, 9)[:-1].tolist()
    patterns = {
        "striped": [world.stripes(y + s * world.STRIPE_PERIOD, 1 / side) for s in shifts],
        "dotted": [
            world.dots(x + s * world.DOT_PERIOD, y + t * world.DOT_PERIOD, 1 / side)
            for s in shifts
            for t in shifts
        ],
    }
    return max(patterns, key=lambda name: max(_alike(rest, p) for p in patterns[name]))


def _alike(values: Tensor, pattern: Tensor) -> float:
    """How well a pattern explains values of mean 0, either way up."""
    pattern = pattern - pattern.mean()
    return abs(float(torch.dot(values, pattern))) / float(pattern.norm() + 1e-9)


def nearest_place(x: float, y: float) -> str:
    return min(PLACES, key=lambda name: (PLACES[name][0] - x) ** 2 + (PLACES[name][1] - y) ** 2)


def read(picture: Tensor) -> Reading:
    """Reads a picture `[H, W, 3]` in 0..1 (one of the host's)."""
    picture = picture[..., :3].movedim(-1, 0).float().cpu()
    height, width = picture.shape[1:]
    names = name_pixels(picture)
    edge = max(2, min(height, width) // 32)
    frame = torch.ones(height, width, dtype=torch.bool)
    frame[edge:-edge, edge:-edge] = False
    ground = int(names[frame].mode().values)
    shapes = []
    for index in range(len(NAMES)):
        if index == ground:
            continue
        shapes += [found for mask in regions(names == index) if (found := _shape(picture, mask, index))]
    shapes.sort(key=lambda s: -int(s.mask.sum()))
    lit = [s.mask for s in shapes if s.texture == "plain"] + [names == ground]
    return Reading(tuple(shapes), NAMES[ground], light_side(picture, lit), names)


def regions(mask: Tensor) -> list[Tensor]:
    """Connected parts of a mask that are large enough to be meant, thin seams along edges opened first."""
    reach = max(1, min(mask.shape) // 100)
    opened = ndimage.binary_opening(mask.numpy(), iterations=reach)
    labels, count = ndimage.label(opened)
    parts = [torch.from_numpy(labels == i) for i in range(1, count + 1)]
    return [p for p in parts if int(p.sum()) > SMALLEST * mask.numel()]


def _shape(picture: Tensor, mask: Tensor, colour: int) -> Found | None:
    height, width = mask.shape
    kind, overlap = match(mask)
    _, (top, left, h, w) = boxed(mask)
    side = min(height, width)
    radius = max(h, w) / 2 / side
    middle = (SIZES["small"] + SIZES["large"]) / 2
    x, y = (left + w / 2) / width, (top + h / 2) / height
    size = "small" if radius < middle else "large"
    return Found(kind, NAMES[colour], size, nearest_place(x, y), texture(picture, mask), x, y, overlap, mask)
