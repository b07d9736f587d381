"""Draws assets/icon.png (400 x 400) and assets/banner.png (21:9), which the registry shows.

    .venv/bin/python -m tools.make_art

The banner is what the pack does: a picture that changes step by step, and remembers.
"""

from __future__ import annotations

import colorsys
import math
from pathlib import Path

from PIL import Image, ImageDraw

ASSETS = Path(__file__).resolve().parents[1] / "assets"
NIGHT, PANEL = (17, 19, 28), (32, 36, 52)
LETTERS = ((255, 94, 98), (255, 189, 74), (74, 196, 214))
OVERSAMPLING = 4


def draw_letters(draw: ImageDraw.ImageDraw, x: float, y: float, height: float) -> float:
    """The three letters with the top left corner at (x, y); returns their width."""
    stroke = height * 0.2
    gap = height * 0.16

    def bar(left: float, colour: tuple[int, int, int]) -> None:
        draw.rounded_rectangle((left, y, left + stroke, y + height), stroke / 2, fill=colour)

    bowl = (height + stroke) / 2  # two rings, one above the other, that share a stroke
    bar(x, LETTERS[0])
    s = x + stroke + gap
    upper = (s, y, s + bowl, y + bowl)
    lower = (s, y + height - bowl, s + bowl, y + height)
    draw.arc(upper, 88, 340, fill=LETTERS[1], width=round(stroke))
    draw.arc(lower, -92, 160, fill=LETTERS[1], width=round(stroke))
    for box, angle in ((upper, 340), (lower, 160)):  # round ends
        radius = (bowl - stroke) / 2
        cx = (box[0] + box[2]) / 2 + radius * math.cos(math.radians(angle))
        cy = (box[1] + box[3]) / 2 + radius * math.sin(math.radians(angle))
        draw.circle((cx, cy), stroke / 2, fill=LETTERS[1])
    end = s + bowl + gap
    bar(end, LETTERS[2])
    return end + stroke - x


def superellipse(cx: float, cy: float, radius: float, power: float) -> list[tuple[float, float]]:
    """The curve |x|^power + |y|^power = radius^power: a diamond at 1, a circle at 2, nearly a square at 8."""
    points = []
    for i in range(360):
        c, s = math.cos(math.radians(i)), math.sin(math.radians(i))
        x = math.copysign(abs(c) ** (2 / power), c)
        y = math.copysign(abs(s) ** (2 / power), s)
        points.append((cx + radius * x, cy + radius * y))
    return points


def hue(turn: float, value: float = 1.0, saturation: float = 0.68) -> tuple[int, ...]:
    return tuple(round(255 * part) for part in colorsys.hsv_to_rgb(turn % 1, saturation, value))


def draw_iterations(draw: ImageDraw.ImageDraw, x: float, y: float, size: float, count: int) -> None:
    """A strip of `count` frames: the shape changes, and the outlines of what it was stay visible."""
    pitch = size * 1.14
    for i in range(count):
        left = x + i * pitch
        turn = 0.02 + 0.55 * i / (count - 1)
        box = (left, y, left + size, y + size)
        draw.rounded_rectangle(box, size * 0.09, fill=PANEL)
        cx, cy = left + size / 2, y + size / 2
        for j in range(max(0, i - 3), i + 1):
            power = 1.15 * (7 / 1.15) ** (j / (count - 1))
            radius = size * (0.27 + 0.037 * (i - j))
            curve = superellipse(cx, cy, radius, power)
            earlier = 0.02 + 0.55 * j / (count - 1)
            if j == i:
                draw.polygon(curve, fill=hue(turn))
            else:
                draw.line([*curve, *curve[:2]], fill=hue(earlier, 0.75), width=round(size * 0.012))


def canvas(width: int, height: int) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    image = Image.new("RGBA", (width * OVERSAMPLING, height * OVERSAMPLING), (0, 0, 0, 0))
    return image, ImageDraw.Draw(image)


def save(image: Image.Image, name: str) -> None:
    size = (image.width // OVERSAMPLING, image.height // OVERSAMPLING)
    image.resize(size, Image.Resampling.LANCZOS).save(ASSETS / name, optimize=True)


def main() -> None:
    image, draw = canvas(400, 400)
    edge = image.width
    draw.rounded_rectangle((0, 0, edge - 1, edge - 1), edge * 0.2, fill=NIGHT)
    height = edge * 0.42
    width = draw_letters(ImageDraw.Draw(Image.new("RGB", (1, 1))), 0, 0, height)
    draw_letters(draw, (edge - width) / 2, (edge - height) / 2, height)
    save(image, "icon.png")

    image, draw = canvas(1680, 720)
    draw.rectangle((0, 0, *image.size), fill=NIGHT)
    height = image.height * 0.2
    width = draw_letters(ImageDraw.Draw(Image.new("RGB", (1, 1))), 0, 0, height)
    draw_letters(draw, (image.width - width) / 2, image.height * 0.2, height)
    size = image.width * 0.135
    draw_iterations(draw, (image.width - size * (1.14 * 5 + 1)) / 2, image.height * 0.52, size, 6)
    save(image.convert("RGB"), "banner.png")


if __name__ == "__main__":
    main()
