"""Draws the training logs: `python tools/mini/curves.py [--work .mini] [--out assets/mini/curves.png]`."""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path

from PIL import Image, ImageDraw

ROOT = Path(__file__).resolve().parents[2]
WIDTH, HEIGHT, MARGIN = 320, 180, 24


def panel(name: str, points: list[tuple[float, float]]) -> Image.Image:
    """Loss over steps, logarithmic upwards."""
    image = Image.new("RGB", (WIDTH, HEIGHT), "white")
    pen = ImageDraw.Draw(image)
    steps, losses = zip(*points, strict=True)
    low, high = math.log(min(losses)), math.log(max(losses)) + 1e-9
    right, bottom = WIDTH - MARGIN, HEIGHT - MARGIN
    line = [
        (
            MARGIN + (right - MARGIN) * step / steps[-1],
            bottom - (bottom - MARGIN) * (math.log(loss) - low) / (high - low),
        )
        for step, loss in points
    ]
    pen.rectangle((MARGIN, MARGIN, right, bottom), outline="lightgray")
    pen.line(line, fill=(40, 90, 200), width=2)
    pen.text((MARGIN, 6), f"{name}: loss {losses[0]:.3g} to {losses[-1]:.3g}", fill="black")
    pen.text((MARGIN, bottom + 6), f"{steps[-1]:.0f} steps", fill="black")
    return image


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=ROOT / ".mini")
    parser.add_argument("--out", type=Path, default=ROOT / "assets" / "mini" / "curves.png")
    args = parser.parse_args()
    panels = []
    for log in sorted(args.work.glob("*.jsonl")):
        rows = [json.loads(line) for line in log.read_text("utf-8").splitlines()]
        panels.append(panel(log.stem, [(row["step"], row["loss"]) for row in rows]))
    sheet = Image.new("RGB", (WIDTH * 3, HEIGHT * math.ceil(len(panels) / 3)), "white")
    for i, image in enumerate(panels):
        sheet.paste(image, (WIDTH * (i % 3), HEIGHT * (i // 3)))
    sheet.save(args.out)


if __name__ == "__main__":
    main()
