"""Makes the README's pairs of pictures, before and after, from the shipped workflows as they run.

.venv/bin/python -m tools.make_pictures
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from PIL import Image, ImageDraw

from . import client, graphs
from .server import ROOT, Server

PICTURES = ROOT / "docs" / "pictures"
EXAMPLES = ROOT / "assets" / "examples"
HEIGHT, GAP, ARROW, LIGHT = 256, 20, 40, (136, 136, 136)
PAIRS = {
    "edit": "pix2pix_edit",
    "outpaint": "outpaint_16_9",
    "upscale": "x4_upscale",
    "fill": "fill_and_canvas",
}


def before(graph: graphs.Graph) -> Image.Image:
    """The picture that a workflow loads, as it is shown: without the mask in its alpha."""
    (_, node), *_ = graphs.nodes_of(graph, "LoadImage")
    with Image.open(EXAMPLES / node["inputs"]["image"]) as file:
        return file.convert("RGBA").convert("RGB")


def beside(left: Image.Image, right: Image.Image) -> Image.Image:
    """Both at one height, an arrow between; a small picture is shown as the pixels that it has."""
    small = left.height * 2 <= right.height
    scaled = [
        picture.resize((round(picture.width * HEIGHT / picture.height), HEIGHT), how)
        for picture, how in (
            (left, Image.Resampling.NEAREST if small else Image.Resampling.LANCZOS),
            (right, Image.Resampling.LANCZOS),
        )
    ]
    middle = scaled[0].width + GAP
    sheet = Image.new("RGB", (middle + ARROW + GAP + scaled[1].width, HEIGHT), "white")
    sheet.paste(scaled[0], (0, 0))
    sheet.paste(scaled[1], (middle + ARROW + GAP, 0))
    pen, y = ImageDraw.Draw(sheet), HEIGHT // 2
    pen.line((middle, y, middle + ARROW - 12, y), fill=LIGHT, width=6)
    pen.polygon(
        [(middle + ARROW - 16, y - 14), (middle + ARROW, y), (middle + ARROW - 16, y + 14)], fill=LIGHT
    )
    return sheet


def main() -> None:
    with tempfile.TemporaryDirectory() as base, Server(Path(base)) as server:
        for name, workflow in PAIRS.items():
            graph = graphs.load(workflow)
            found = graphs.pictures(client.execute(server.url, graph), server.base)
            with Image.open(list(found.values())[-1][-1]) as after:
                sheet = beside(before(graph), after.convert("RGB"))
            target = PICTURES / f"{name}.jpg"
            sheet.save(target, quality=88, optimize=True)
            print(target, f"{target.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
