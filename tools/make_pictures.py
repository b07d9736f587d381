"""Makes the README's pictures from the shipped workflows as they run: pairs, before and after, and a loop.

.venv/bin/python -m tools.make_pictures
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

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

LOOP, SMALL, LINE = "isi_iterate", 80, 34
HOLD, FADE, FADES = 900, 60, 7
"""Milliseconds that an iteration stands, and that each picture between it and the next one does."""


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


def steps(folder: Path) -> list[tuple[str, Image.Image]]:
    """The iterations of the run in `folder`, each with its words."""
    made = []
    for path in sorted(folder.glob("*.png")):
        with Image.open(path) as picture:
            words = json.loads(picture.info["isi"])["step"]["prompt"].rpartition(", ")[2]
            made.append((words, picture.convert("RGB").resize((HEIGHT, HEIGHT), Image.Resampling.LANCZOS)))
    return made


def moving(made: list[tuple[str, Image.Image]]) -> tuple[list[Image.Image], list[int]]:
    """Frames of a loop as it runs, and how long each stands: picture, words, and the strip that grows."""
    frames, times = [], []
    for number, (words, picture) in enumerate(made):
        following = made[(number + 1) % len(made)][1]
        for part in range(FADES + 1):
            shown = Image.blend(picture, following, part / (FADES + 1))
            frames.append(frame(shown, words if part * 2 <= FADES else "", made[: number + 1]))
            times.append(FADE if part else HOLD)
    return frames, times


def frame(shown: Image.Image, words: str, strip: list[tuple[str, Image.Image]]) -> Image.Image:
    """One picture, what is said of it, and those that are finished, the last one marked."""
    columns = 2
    sheet = Image.new("RGB", (HEIGHT + GAP + columns * (SMALL + 6), HEIGHT + LINE), "white")
    sheet.paste(shown, (0, 0))
    pen = ImageDraw.Draw(sheet)
    pen.text(
        (HEIGHT // 2, HEIGHT + LINE // 2),
        words,
        fill=(40, 40, 40),
        font=ImageFont.load_default(20),
        anchor="mm",
    )
    for place, (_, picture) in enumerate(strip):
        x, y = HEIGHT + GAP + place % columns * (SMALL + 6), place // columns * (SMALL + 6)
        sheet.paste(picture.resize((SMALL, SMALL), Image.Resampling.LANCZOS), (x, y))
        if place == len(strip) - 1:
            pen.rectangle((x, y, x + SMALL - 1, y + SMALL - 1), outline=(38, 132, 255), width=3)
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
        client.execute(server.url, graphs.load(LOOP))
        (folder,) = (server.base / "output" / "isi").glob("*")
        first, *rest = (moved := moving(steps(folder)))[0]
        target = PICTURES / "loop.webp"
        first.save(target, save_all=True, append_images=rest, duration=moved[1], loop=0, quality=80, method=6)
        print(target, f"{target.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
