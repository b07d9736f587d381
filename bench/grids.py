"""Grids: what a cell costs beside the same prompt queued by hand, how long ten thousand cells take to plan,
and how smoothly the viewer shows them.

The cost is the server's processor time, since wall time on a busy machine says little: the cells and all that
the grid does around them, its sheet included, against prompts whose picture ComfyUI's Save Image saves.
"""

from __future__ import annotations

import json
import os
import statistics
import tempfile
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
from PIL import Image
from playwright.sync_api import sync_playwright

from ..core.grids.viewer import viewer
from ..tools import browser as browsers
from ..tools.server import Server

ROUNDS = 2
CELLS = 8
SIDE = 100
FRAMES = 240
SCROLL = """async frames => {
  const frame = () => new Promise(requestAnimationFrame);
  const times = [], works = [];
  let most = 0, last = await frame();
  for (let n = 0; n < frames; n++) {
    table.scrollTo((table.scrollWidth / frames) * n, (table.scrollHeight / frames) * n);
    const began = await frame();
    table.getBoundingClientRect(); // lays out what this frame changed
    works.push(performance.now() - began);
    times.push(began - last);
    last = began;
    most = Math.max(most, document.querySelectorAll("#table > *").length);
  }
  return [times, works, most];
}"""


def graph(seed: int) -> dict[str, Any]:
    """Twenty steps of a mini model at 128 pixels; node 6 is its picture."""
    return {
        "1": {"class_type": "ISI_MiniCheckpoint", "inputs": {"kind": "base"}},
        "2": {"class_type": "CLIPTextEncode", "inputs": {"clip": ["1", 1], "text": "a large red circle"}},
        "3": {"class_type": "CLIPTextEncode", "inputs": {"clip": ["1", 1], "text": ""}},
        "4": {"class_type": "EmptyLatentImage", "inputs": {"width": 128, "height": 128, "batch_size": 1}},
        "5": {
            "class_type": "KSampler",
            "inputs": {
                "model": ["1", 0], "positive": ["2", 0], "negative": ["3", 0], "latent_image": ["4", 0],
                "seed": seed, "steps": 20, "cfg": 5.0, "sampler_name": "euler", "scheduler": "normal",
                "denoise": 1.0,
            },
        },
        "6": {"class_type": "VAEDecode", "inputs": {"samples": ["5", 0], "vae": ["1", 2]}},
    }  # fmt: skip


def post(server: Server, path: str, body: dict[str, Any]) -> dict[str, Any]:
    request = urllib.request.Request(
        server.url + path, json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=300) as answer:
        return json.load(answer)


def costs(server: Server, used: Callable[[], float], began: float) -> list[float]:
    """What each prompt in the queue costs in processor time, in its order."""
    left, found = None, []
    while left != 0:
        now = server.get("/prompt")["exec_info"]["queue_remaining"]
        for _ in range((left or now) - now):
            found.append(used() - began)
            began = used()
        left = now
        time.sleep(0.02)
    return found


def cell_cost(server: Server) -> None:
    """Processor time by hand and as a grid, in turn, with seeds of their own."""
    process = psutil.Process(server.process.pid)

    def used() -> float:
        times = process.cpu_times()
        return times.user + times.system

    hand, grid, around = [], [], []
    for number in range(ROUNDS + 1):
        began = used()
        for cell in range(CELLS):
            saved = {"class_type": "SaveImage", "inputs": {"images": ["6", 0], "filename_prefix": "hand"}}
            prompt = {**graph(10_000 + 100 * number + cell), "7": saved}
            post(server, "/prompt", {"prompt": prompt})
        hand += costs(server, used, began)[1:]  # the first may load the model
        began = used()
        axes = f"seeds = {100 * number} .. {100 * number + CELLS - 1}"
        node = {"class_type": "ISI_Grid", "inputs": {"image": ["6", 0], "axes": axes}}
        post(server, "/isi/grid", {"prompt": {**graph(0), "7": node}})
        planned = used() - began
        *made, sheet = costs(server, used, used())
        grid += made[1:]
        around.append(planned + sheet)
    by_hand, as_cell = statistics.median(hand), statistics.median(grid)
    print(f"by hand: {by_hand:.3f} s of processor time, as a cell: {as_cell:.3f} s ({len(grid)} of each)")
    print(
        f"a cell / by hand: {as_cell / by_hand:.3f}; once for the grid, plan and sheet: {min(around):.3f} s"
    )


def plan_cost(server: Server) -> None:
    """A dry run of ten thousand cells: wall time, twice."""
    node = {"class_type": "ISI_Grid", "inputs": {"image": ["6", 0]}}
    node["inputs"]["axes"] = f"seeds = 1 .. {SIDE}\nKSampler.cfg = 0.1, 0.2 .. {SIDE / 10}"
    for _ in range(2):
        began = time.perf_counter()
        told = post(server, "/isi/grid", {"prompt": {**graph(0), "7": node}, "dry": True})
        print(f"{told['cells']:,} cells planned in {time.perf_counter() - began:.1f} s")


def viewer_frames(folder: Path) -> None:
    """A table of 100 x 100 pictures of 512 pixels, scrolled through its diagonal at several sizes."""
    keys = [f"{n:032x}" for n in range(SIDE * SIDE)]
    (folder / "cells").mkdir(parents=True)
    for n, key in enumerate(keys):
        path = folder / "cells" / f"{key}.png"
        if n < SIDE:
            Image.effect_noise((512, 512), 20 + n).convert("RGB").save(path, compress_level=1)
        else:
            os.link(folder / "cells" / f"{keys[n % SIDE]}.png", path)
    axes = [{"title": name, "values": [str(n) for n in range(SIDE)]} for name in ("a", "b")]
    page_text = viewer({"version": 1, "name": "many", "axes": axes, "keys": keys})
    (folder / "index.html").write_text(page_text, "ascii")
    with sync_playwright() as playwright:
        executable = browsers.find(playwright)
        if executable is None:
            raise SystemExit(f"No browser. {browsers.how_to_get_one()}")
        chromium = browsers.launch(playwright, executable)
        page = chromium.new_page(viewport={"width": 1280, "height": 800})
        page.goto((folder / "index.html").as_uri())
        for size in (0, 192, 512):
            page.evaluate("size => zoom(size)", size)
            times, works, most = page.evaluate(SCROLL, FRAMES)
            real = page.evaluate("Number(byId('size').value)")
            frame, late = statistics.median(times), sorted(times)[-FRAMES // 10]
            work, most_work = statistics.median(works), sorted(works)[-FRAMES // 10]
            print(
                f"viewer, cells of {real} pixels: at most {most} elements, a frame every {frame:.1f} ms "
                f"(90 %: {late:.1f}), own work {work:.1f} ms (90 %: {most_work:.1f})"
            )
        chromium.close()


def main() -> None:
    with tempfile.TemporaryDirectory() as base:
        with Server(Path(base) / "comfyui") as server:
            plan_cost(server)
            cell_cost(server)
        viewer_frames(Path(base) / "viewer")


if __name__ == "__main__":
    main()
