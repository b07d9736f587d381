"""Makes docs/pictures/: the widgets as the real page shows them.

.venv/bin/python -m tools.make_screenshots            what the README shows
.venv/bin/python -m tools.make_screenshots --all DIR  every scene, both renderers, light and dark
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

from . import browser, graphs
from .browser import SLOWEST, FrontEnd
from .server import ROOT, Server

PICTURES = ROOT / "docs" / "pictures"
QUALITY = 88
MARGIN = 24
QUIET = {"Comfy.Minimap.Visible": False, "Comfy.NodeBadge.NodeSourceBadgeMode": "None"}
PLACE = """([places, margin]) => {
  const boxes = Object.entries(places).map(([type, [x, y, width, height]]) => {
    const node = app.rootGraph.nodes.find(node => node.type === type);
    node.pos = [x, y];
    node.setSize([width, Math.max(height, node.computeSize()[1])]);
    return node;
  });
  for (const node of app.rootGraph.nodes) if (!boxes.includes(node)) node.pos = [-4000, -4000];
  app.canvas.deselectAll?.();
  app.canvas.ds.scale = 1;
  app.canvas.ds.offset = [120, 130];
  app.canvas.setDirty(true, true);
}"""
BOX = """([types, margin]) => {
  const nodes = app.rootGraph.nodes.filter(node => types.includes(node.type));
  const left = Math.min(...nodes.map(node => node.pos[0]));
  const top = Math.min(...nodes.map(node => node.pos[1])) - 30;
  const right = Math.max(...nodes.map(node => node.pos[0] + node.size[0]));
  const bottom = Math.max(...nodes.map(node => node.pos[1] + node.size[1]));
  const [x, y] = app.canvasPosToClientPos([left, top]), [x2, y2] = app.canvasPosToClientPos([right, bottom]);
  return { x: x - margin, y: y - margin, width: x2 - x + 2 * margin, height: y2 - y + 2 * margin };
}"""


@dataclass(frozen=True)
class Scene:
    """A graph, those of its nodes that are seen (x, y, width, least height), and what comes before."""

    graph: Callable[[], graphs.Graph]
    places: dict[str, tuple[int, int, int, int]]
    act: Callable[[FrontEnd], Any] = lambda page: None
    whole: str = ""


def loop() -> graphs.Graph:
    graph = graphs.load("isi_iterate")
    graphs.set_inputs(graph, "ISI_Iterate", run_name="screenshot")
    graphs.set_inputs(graph, "ISI_Script", steps=8)
    return graph


def queue(page: FrontEnd) -> None:
    """Runs the graph and waits for its end."""
    page.evaluate(
        "() => { window.ended = null; for (const kind of ['execution_success', 'execution_error'])"
        " app.api.addEventListener(kind, () => { window.ended = kind; }); }"
    )
    page.page.locator("[data-testid=queue-button]").click()
    page.page.wait_for_function("window.ended", timeout=3 * SLOWEST)
    page.page.wait_for_function(
        "[...document.querySelectorAll('.isi-cell img')].every(each => each.naturalWidth)", timeout=SLOWEST
    )


def compare(page: FrontEnd) -> None:
    queue(page)
    page.page.locator(".isi-cell").nth(1).click()
    page.page.locator("dialog.isi-viewer select").select_option("previous")
    page.page.wait_for_function(
        "[...document.querySelectorAll('.isi-viewer-picture')].every(each => each.naturalWidth)"
    )


SCRIPTS = {
    "first light": "{on a white background} a large red circle; a large yellow circle; a large green circle",
    "four corners": "{on a black background} a blue square; a green square; a yellow square; a red square",
    "a star wanders": "{on a blue background} a large yellow star; a large red star *3",
}


def all_runs(page: FrontEnd) -> None:
    """Makes a few runs, and opens the sidebar tab that has them."""
    for name, script in SCRIPTS.items():
        page.evaluate(
            "values => { for (const node of app.rootGraph.nodes) for (const widget of node.widgets ?? [])"
            " if (widget.name in values) widget.value = values[widget.name]; }",
            {"run_name": name, "script": script},
        )
        queue(page)
    page.evaluate("() => app.extensionManager.command.execute('Workspace.ToggleSidebarTab.isi-runs')")
    page.page.wait_for_function(
        "document.querySelectorAll('.isi-runs-row').length >= 3"
        " && [...document.querySelectorAll('.isi-runs-pictures img')].every(each => each.naturalWidth)"
    )
    page.page.set_viewport_size({"width": 1600, "height": 600})


def canvas() -> graphs.Graph:
    """A picture that ISI Outpaint Canvas makes wider."""
    extend = {"extend": "sides", "extend.left": 64, "extend.top": 0, "extend.right": 96, "extend.bottom": 32}
    extend |= {"extend.unit": "pixels", "extend.multiple_of": 8}
    settings = {"fill": "edge", "overlap": 16, "feather": "cosine", "seed": 0}
    return {
        "1": {"class_type": "LoadImage", "inputs": {"image": "three_objects.png"}},
        "2": {"class_type": "ISI_OutpaintCanvas", "inputs": {"image": ["1", 0], **extend, **settings}},
    }


def heat() -> graphs.Graph:
    """A mask whose grey says how much each pixel may change."""
    return {
        "1": {"class_type": "ISI_MiniCheckpoint", "inputs": {"kind": "base"}},
        "2": {"class_type": "LoadImage", "inputs": {"image": "gradient_mask.png"}},
        "3": {
            "class_type": "ISI_DifferentialDiffusion",
            "inputs": {"model": ["1", 0], "mask": ["2", 1], "mode": "timestep", "strength": 1.0},
        },
    }


LOOP = {"ISI_Script": (0, 0, 480, 560), "ISI_Iterate": (520, 0, 620, 560)}
SCENES = {
    "loop": Scene(loop, LOOP, queue),
    "viewer": Scene(loop, LOOP, compare, whole="dialog.isi-viewer"),
    "frame": Scene(canvas, {"LoadImage": (0, 0, 280, 330), "ISI_OutpaintCanvas": (340, 0, 420, 560)}),
    "heat": Scene(heat, {"LoadImage": (0, 0, 280, 330), "ISI_DifferentialDiffusion": (340, 0, 400, 420)}),
    "runs": Scene(loop, LOOP, all_runs, whole=".isi-runs"),
    "grid": Scene(lambda: graphs.load("upscale_2x_refine_in_tiles"), {"ISI_UpscaleCost": (0, 0, 480, 560)}),
}
README = ("frame", "grid", "runs", "loop")
"""Scenes that the README shows, in Nodes 2.0 and dark; the loop last, for its pictures stay in the page."""


def shoot(page: FrontEnd, scene: Scene, target: Path) -> None:
    page.load_api(scene.graph(), "screenshot")
    page.evaluate(PLACE, [scene.places, MARGIN])
    scene.act(page)
    page.page.wait_for_timeout(1500)  # fonts, pictures and the fading of messages
    picture = (
        {"path": target, "type": "jpeg", "quality": QUALITY} if target.suffix == ".jpg" else {"path": target}
    )
    if scene.whole:
        page.page.locator(scene.whole).screenshot(**picture)
        page.page.keyboard.press("Escape")
        return
    page.page.mouse.move(1590, 990)  # over nothing that opens
    page.page.screenshot(clip=page.evaluate(BOX, [list(scene.places), MARGIN]), **picture)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--all", metavar="DIR", type=Path, help="every scene, renderer and theme, into this folder"
    )
    parser.add_argument("--only", metavar="NAME", choices=SCENES, nargs="+", help="these scenes")
    args = parser.parse_args()
    names = args.only or list(SCENES if args.all else README)
    with tempfile.TemporaryDirectory() as base, Server(Path(base)) as server, sync_playwright() as playwright:
        executable = browser.find(playwright)
        if executable is None:
            raise SystemExit(f"No browser. {browser.how_to_get_one()}")
        chromium = browser.launch(playwright, executable)
        for setting, value in QUIET.items():
            server.post(f"/settings/{setting}", value)
        for nodes2 in (False, True) if args.all else (True,):
            for theme in ("dark", "light") if args.all else ("dark",):
                server.post("/settings/Comfy.ColorPalette", theme)
                with browser.front_end(chromium, server, nodes2=nodes2) as page:
                    page.page.set_default_timeout(SLOWEST)
                    for name in names:
                        renderer = "nodes2" if nodes2 else "canvas"
                        target = (
                            args.all / f"{name}-{renderer}-{theme}.png"
                            if args.all
                            else PICTURES / f"{name}.jpg"
                        )
                        target.parent.mkdir(parents=True, exist_ok=True)
                        shoot(page, SCENES[name], target)
                        print(target, f"{target.stat().st_size / 1000:.0f} kB", flush=True)
        chromium.close()


if __name__ == "__main__":
    main()
