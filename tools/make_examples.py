"""Renders the input pictures of the shipped workflows, scenes of the mini world, to assets/examples/.

.venv/bin/python -m tools.make_examples
"""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from .mini.world import Scene, Shape, render

EXAMPLES = Path(__file__).resolve().parents[1] / "assets" / "examples"
SCENES = {
    "circle": Scene((Shape("circle", "red", "large", "centre"),), "white", light="left"),
}


def main() -> None:
    EXAMPLES.mkdir(parents=True, exist_ok=True)
    for name, scene in SCENES.items():
        pixels = (render(scene).picture * 255).round().byte()
        Image.fromarray(pixels.permute(1, 2, 0).numpy()).save(EXAMPLES / f"{name}.png", optimize=True)


if __name__ == "__main__":
    main()
