"""The mini world: pictures of one to three shapes, described exactly and drawn at any size.

A `Scene` is a small value. From it come the picture, its caption in several phrasings, the depth map, the
shapes' masks and the matte, and its twin after an edit or under another light. Positions and radii are in
units of the picture's shorter side, so that a scene looks alike at every size.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from random import Random

import torch
from torch import Tensor

COLOURS = {
    "red": (0.86, 0.12, 0.12),
    "green": (0.12, 0.62, 0.18),
    "blue": (0.14, 0.26, 0.90),
    "yellow": (0.96, 0.86, 0.12),
    "purple": (0.54, 0.14, 0.68),
    "orange": (0.96, 0.50, 0.06),
    "white": (0.94, 0.94, 0.94),
    "black": (0.08, 0.08, 0.08),
}
SHAPES = ("circle", "square", "triangle", "ring", "star", "cross")
TEXTURES = ("plain", "striped", "dotted")
SIZES = {"small": 0.15, "large": 0.26}
PLACES = {
    "centre": (0.5, 0.5), "left": (0.3, 0.5), "right": (0.7, 0.5), "top": (0.5, 0.3), "bottom": (0.5, 0.7),
}  # fmt: skip
LIGHTS = {"left": (-1.0, 0.0), "right": (1.0, 0.0), "top": (0.0, -1.0), "bottom": (0.0, 1.0)}
STRIPE_PERIOD, DOT_PERIOD, DOT_RADIUS = 0.12, 0.13, 0.04
JITTER = 0.05


@dataclass(frozen=True)
class Shape:
    """One shape; `x` and `y` are fractions of the picture's width and height."""

    kind: str
    colour: str
    size: str
    place: str
    texture: str = "plain"
    x: float = 0.5
    y: float = 0.5


@dataclass(frozen=True)
class Scene:
    """Shapes from far to near on a background, lit from one side."""

    shapes: tuple[Shape, ...]
    background: str
    light: str = "left"
    gradient: bool = False


@dataclass(frozen=True)
class Layers:
    """What a scene draws: `picture` `[3, H, W]`, `depth` `[H, W]` (near = 1), `masks` `[N, H, W]` of what is
    seen of each shape, `matte` `[H, W]` of all of them; all in 0..1."""

    picture: Tensor
    depth: Tensor
    masks: Tensor
    matte: Tensor


def sample_shape(rng: Random, taken: tuple[Shape, ...], background: str, textured: float = 0.2) -> Shape:
    """A shape whose kind, colour and place differ from those taken, and whose colour is not
    the background's."""
    kind = rng.choice([k for k in SHAPES if all(k != s.kind for s in taken)])
    colours = [c for c in COLOURS if c != background and all(c != s.colour for s in taken)]
    place = rng.choice([p for p in PLACES if all(p != s.place for s in taken)])
    texture = rng.choice(TEXTURES[1:]) if rng.random() < textured else "plain"
    x, y = (v + rng.uniform(-JITTER, JITTER) for v in PLACES[place])
    return Shape(kind, rng.choice(colours), rng.choice(list(SIZES)), place, texture, x, y)


def sample_scene(rng: Random, shapes: int = 1, textured: float = 0.2, gradient: float = 0.2) -> Scene:
    """A random scene of `shapes` shapes; `textured` and `gradient` are chances."""
    background = rng.choice(list(COLOURS))
    drawn: tuple[Shape, ...] = ()
    for _ in range(shapes):
        drawn += (sample_shape(rng, drawn, background, textured),)
    return Scene(drawn, background, rng.choice(list(LIGHTS)), rng.random() < gradient)


def held_out(scene: Scene) -> bool:
    """Whether a shape of the scene has a combination of kind, colour and background (one in twelve) that
    training leaves out, so that what a model makes of unseen combinations can be measured."""
    names = list(COLOURS)
    ground = names.index(scene.background)
    return any(
        (SHAPES.index(s.kind) + 3 * names.index(s.colour) + 5 * ground) % 12 == 0 for s in scene.shapes
    )


def outline(kind: str) -> list[tuple[float, float]]:
    """Corners of a polygonal shape of radius 1 about its centre, y down."""
    if kind == "square":
        return [(-0.86, -0.86), (0.86, -0.86), (0.86, 0.86), (-0.86, 0.86)]
    if kind == "triangle":
        return [(0.0, -1.0), (0.95, 0.75), (-0.95, 0.75)]
    if kind == "star":
        turns = [(math.pi * i / 5, 1.05 if i % 2 == 0 else 0.45) for i in range(10)]
        return [(r * math.sin(a), -r * math.cos(a)) for a, r in turns]
    a, b = 1.0, 0.36
    return [(-b, -a), (b, -a), (b, -b), (a, -b), (a, b), (b, b), (b, a), (-b, a), (-b, b), (-a, b), (-a, -b),
            (-b, -b)]  # fmt: skip


def polygon_distance(x: Tensor, y: Tensor, corners: list[tuple[float, float]]) -> Tensor:
    """Signed distance to a polygon, negative inside (even-odd rule; I. Quilez, "2D distance functions")."""
    nearest = torch.full_like(x, math.inf)
    inside = torch.zeros_like(x, dtype=torch.bool)
    for (ax, ay), (bx, by) in zip(corners, corners[1:] + corners[:1], strict=True):
        ex, ey, wx, wy = bx - ax, by - ay, x - ax, y - ay
        h = ((wx * ex + wy * ey) / (ex * ex + ey * ey)).clamp(0, 1)
        nearest = torch.minimum(nearest, (wx - ex * h) ** 2 + (wy - ey * h) ** 2)
        if ay != by:
            inside ^= ((y >= ay) != (y >= by)) & (wx < wy * ex / ey)
    return torch.where(inside, -nearest.sqrt(), nearest.sqrt())


def shape_distance(kind: str, x: Tensor, y: Tensor) -> Tensor:
    """Signed distance to the shape of radius 1 at the origin, negative inside."""
    if kind == "circle":
        return (x * x + y * y).sqrt() - 1
    if kind == "ring":
        return ((x * x + y * y).sqrt() - 0.78).abs() - 0.22
    return polygon_distance(x, y, outline(kind))


def second_tone(colour: Tensor) -> Tensor:
    """The colour that stripes and dots are drawn in: halfway to white, or grey on white and black."""
    if colour.min() > 0.9:
        return colour * 0.72
    return colour + (0.95 - colour) * (0.22 if colour.max() < 0.1 else 0.55)


def shade(colour: Tensor, lit: Tensor) -> Tensor:
    """`colour` `[3, H, W]` under light of strength -1 (far side) to 1 (near side)."""
    return colour * (0.82 + 0.20 * lit) + 0.06 * lit


def stripes(dy: Tensor, pixel: float) -> Tensor:
    """Where level stripes cover, 0..1."""
    return _edge(STRIPE_PERIOD / 4 - (dy % STRIPE_PERIOD - STRIPE_PERIOD / 2).abs(), -pixel)


def dots(dx: Tensor, dy: Tensor, pixel: float) -> Tensor:
    """Where a square grid of dots covers, 0..1."""
    u, v = (((d + DOT_PERIOD / 2) % DOT_PERIOD) - DOT_PERIOD / 2 for d in (dx, dy))
    return _edge(DOT_RADIUS - (u * u + v * v).sqrt(), -pixel)


def _edge(distance: Tensor, pixel: float) -> Tensor:
    """1 inside, 0 outside, a ramp of one pixel between; `distance` is negative inside for pixel > 0."""
    return (0.5 - distance / pixel).clamp(0, 1)


def render(scene: Scene, height: int = 128, width: int = 128) -> Layers:
    """Draws a scene."""
    side = min(height, width)
    pixel = 1 / side
    ys = (torch.arange(height) + 0.5) / side
    xs = (torch.arange(width) + 0.5) / side
    y, x = torch.meshgrid(ys, xs, indexing="ij")
    lx, ly = LIGHTS[scene.light]
    u, v = x * side / width * 2 - 1, y * side / height * 2 - 1
    picture = shade(_colour(scene.background), 0.5 * (lx * u + ly * v))
    if scene.gradient:
        picture = picture * (1 - 0.28 * ((u * u + v * v) / 2).clamp(max=1))
    depth = torch.zeros(height, width)
    covers: list[Tensor] = []
    for order, shape in enumerate(scene.shapes):
        r = SIZES[shape.size]
        dx, dy = x - shape.x * width / side, y - shape.y * height / side
        cover = _edge(r * shape_distance(shape.kind, dx / r, dy / r), pixel)
        tone = _colour(shape.colour)
        if shape.texture != "plain":
            covered = stripes(dy, pixel) if shape.texture == "striped" else dots(dx, dy, pixel)
            tone = torch.lerp(tone, second_tone(tone), covered)
        lit = ((lx * dx + ly * dy) / r).clamp(-1, 1)
        picture = torch.lerp(picture, shade(tone, lit), cover)
        depth = torch.lerp(depth, torch.tensor(0.4 + 0.6 * (order + 1) / len(scene.shapes)), cover)
        covers = [c * (1 - cover) for c in covers] + [cover]
    masks = torch.stack(covers) if covers else torch.zeros(0, height, width)
    return Layers(picture.clamp(0, 1), depth, masks, masks.sum(0).clamp(max=1))


def _colour(name: str) -> Tensor:
    return torch.tensor(COLOURS[name])[:, None, None]


def recolour(scene: Scene, index: int, colour: str) -> tuple[str, Scene]:
    """The instruction and the scene with one shape in another colour."""
    shape = scene.shapes[index]
    return f"make the {shape.kind} {colour}", _with(scene, index, replace(shape, colour=colour))


def move(scene: Scene, index: int, place: str) -> tuple[str, Scene]:
    """The instruction and the scene with one shape at another place, keeping its offset from the anchor."""
    shape = scene.shapes[index]
    old, new = PLACES[shape.place], PLACES[place]
    moved = replace(shape, place=place, x=shape.x - old[0] + new[0], y=shape.y - old[1] + new[1])
    return f"move the {shape.kind} to the {place}", _with(scene, index, moved)


def resize(scene: Scene, index: int, size: str) -> tuple[str, Scene]:
    """The instruction and the scene with one shape in the other size."""
    shape = scene.shapes[index]
    return f"make the {shape.kind} {size}", _with(scene, index, replace(shape, size=size))


def repaint(scene: Scene, colour: str) -> tuple[str, Scene]:
    """The instruction and the scene on another background."""
    return f"make the background {colour}", replace(scene, background=colour)


def relight(scene: Scene, light: str) -> tuple[str, Scene]:
    """The caption and the scene lit from another side."""
    return f"light from the {light}", replace(scene, light=light)


def sample_edit(rng: Random, scene: Scene) -> tuple[str, Scene]:
    """A random edit of the scene that changes one attribute."""
    index = rng.randrange(len(scene.shapes))
    used = {scene.background, *(s.colour for s in scene.shapes)}
    colour = rng.choice([c for c in COLOURS if c not in used])
    kind = rng.random()
    if kind < 0.4:
        return recolour(scene, index, colour)
    if kind < 0.7:
        return repaint(scene, colour)
    if kind < 0.85:
        taken = {s.place for s in scene.shapes}
        return move(scene, index, rng.choice([p for p in PLACES if p not in taken]))
    return resize(scene, index, "small" if scene.shapes[index].size == "large" else "large")


def _with(scene: Scene, index: int, shape: Shape) -> Scene:
    shapes = scene.shapes[:index] + (shape,) + scene.shapes[index + 1 :]
    return replace(scene, shapes=shapes)
