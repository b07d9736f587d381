"""The widgets that draw over a picture, in the real page and in both renderers: with the mouse, with the
keyboard, and with numbers that are the server's own."""

import io
import json
import urllib.request

import pytest
import torch
from isi.core.pictures.canvas import sides_of
from isi.core.pictures.differential import (
    release_picture,
    release_step,
)
from isi.tools import client
from isi.tools.browser import front_end
from PIL import Image
from playwright.sync_api import expect

from ..js.levels import taus
from .front import arrange

pytestmark = pytest.mark.usefixtures("faultless")

SIDES = ("top", "bottom", "left", "right")
LIBRARY = "const lib = name => import(new URL(`/extensions/isi-nodes/lib/${name}.js`, location.href).href);"
SOURCE = f"""async () => {{
  {LIBRARY}
  const {{ inputPicture }} = await lib("picture");
  const node = [app.rootGraph, ...app.rootGraph.subgraphs?.values() ?? []]
    .flatMap(graph => graph.nodes).find(node => node.type === "ISI_OutpaintCanvas");
  const url = inputPicture(node);
  if (!url) return null;
  const {{ searchParams }} = new URL(url, location.href);
  return ["filename", "subfolder", "type"].map(name => searchParams.get(name));
}}"""
SHOW = """() => {
  const node = app.rootGraph.nodes.find(node => /^ISI_[OD]/.test(node.type));
  node.setSize([400, 680]);
  app.canvas.ds.scale = 1;
  app.canvas.ds.offset = [500 - node.pos[0], 100 - node.pos[1]];
  app.canvas.setDirty(true, true);
}"""
SET = """values => {
  const { widgets } = app.rootGraph.nodes.find(node => /^ISI_[OD]/.test(node.type));
  for (const [name, value] of Object.entries(values))
    widgets.find(widget => widget.name === name).value = value;
}"""
# The colour in the middle of each pixel of a row of the picture, as it is drawn over it.
ROW = """([width, height]) => {
  const canvas = document.querySelector(".isi-heat-map canvas");
  const density = canvas.width / canvas.clientWidth;
  const scale = Math.min(canvas.clientWidth / width, canvas.clientHeight / height);
  const left = (canvas.clientWidth - width * scale) / 2;
  return Array.from({ length: width }, (_, x) => [...canvas.getContext("2d").getImageData(
    Math.floor((left + (x + 0.5) * scale) * density), canvas.height / 2, 1, 1).data.slice(0, 3)]);
}"""
# Timers that are set and not cleared from now on.
COUNT_TIMERS = """() => {
  window.timers = new Set();
  const { setInterval: set, clearInterval: clear } = window;
  window.setInterval = (...given) => { const id = set(...given); window.timers.add(id); return id; };
  window.clearInterval = (id) => { window.timers.delete(id); clear(id); };
}"""


@pytest.fixture(scope="module", params=[False, True], ids=["canvas", "nodes2"])
def page(request, server, chromium):
    with front_end(chromium, server, nodes2=request.param) as opened:
        opened.page.set_default_timeout(60_000)
        yield opened


def pixels(**sides):
    """The widgets below `extend` for sides in pixels."""
    extend = {side: sides.get(side, 0) for side in ("left", "top", "right", "bottom")}
    return {"extend": "sides", **extend, "unit": "pixels", "multiple_of": sides.get("multiple_of", 8)}


def prefixed(extend):
    return {name if name == "extend" else f"extend.{name}": value for name, value in extend.items()}


def open_canvas(page, extend=None, file="circle.png", overlap=16):
    """A graph of LoadImage and ISI Outpaint Canvas. Returns the node's status line."""
    settings = {"fill": "edge", "overlap": overlap, "feather": "cosine", "seed": 0}
    page.load_api(
        {
            "1": {"class_type": "LoadImage", "inputs": {"image": file}},
            "2": {
                "class_type": "ISI_OutpaintCanvas",
                "inputs": {"image": ["1", 0], **prefixed(extend or pixels()), **settings},
            },
        },
        "frame",
    )
    arrange(page, SHOW)
    return page.page.locator(".isi-frame-status")


def extend_of(page) -> dict:
    """What the widgets say, as the server gets it."""
    inputs = next(n["inputs"] for n in page.prompt().values() if n["class_type"].startswith("ISI_O"))
    return {name.removeprefix("extend."): v for name, v in inputs.items() if name.startswith("extend")}


def agreed(page, size=(128, 128)) -> dict:
    """The sides that the server makes of the widgets; the frame has to show the same."""
    height, width = size
    sides = dict(zip(SIDES, sides_of(extend_of(page), height, width), strict=True))
    canvas = f"{width + sides['left'] + sides['right']} × {height + sides['top'] + sides['bottom']}"
    expect(page.page.locator(".isi-frame-status")).to_have_text(f"{width} × {height} → {canvas}")
    for side, value in sides.items():
        expect(handle(page, side)).to_have_attribute("aria-valuenow", str(value))
    return sides


def handle(page, part):
    return page.page.locator(f".isi-frame-stage [data-part='{part}']")


def drag(page, part, right, down):
    """Drags a handle by this many pixels of the screen; returns how many those are a pixel of the picture."""
    picture = handle(page, "picture").bounding_box()
    box = handle(page, part).bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.page.mouse.move(x, y)
    page.page.mouse.down()
    page.page.mouse.move(x + right, y + down, steps=2)
    page.page.mouse.up()
    return picture["width"] / 128


def test_the_picture_is_found_through_subgraphs_reroutes_and_bypassed_nodes(page):
    loaded = ["circle.png", "", "input"]
    open_canvas(page)
    assert page.evaluate(SOURCE) == loaded
    for inside in ("LoadImage", "ISI_OutpaintCanvas"):
        open_canvas(page)
        page.evaluate(
            """type => {
              const graph = app.rootGraph;
              const [source, target] = graph.nodes;
              const add = type => { const made = LiteGraph.createNode(type); graph.add(made); return made; };
              const [reroute, scale] = [add("Reroute"), add("ImageInvert")];
              scale.mode = 4;
              source.connect(0, reroute, 0);
              reroute.connect(0, scale, 0);
              scale.connect(0, target, target.inputs.findIndex(input => input.name === "image"));
              graph.convertToSubgraph(new Set([graph.nodes.find(node => node.type === type)]));
            }""",
            inside,
        )
        assert page.evaluate(SOURCE) == loaded, inside
    page.evaluate("() => { app.rootGraph.nodes.find(node => node.type === 'ImageInvert').mode = 0; }")
    assert page.evaluate(SOURCE) is None


@pytest.mark.newest
def test_what_is_dragged_is_what_the_widgets_say(page):
    open_canvas(page, pixels(left=64))
    assert agreed(page) == {"top": 0, "bottom": 0, "left": 64, "right": 0}
    scale = drag(page, "right", 60, 0)
    sides = agreed(page)
    assert sides["right"] == pytest.approx(60 / scale, abs=5) and sides["right"] % 8 == 0
    assert (sides["top"], sides["bottom"], sides["left"]) == (0, 0, 64)
    drag(page, "top left", 20, -30)
    moved = agreed(page)
    assert moved["left"] < 64 and moved["top"] > 0
    assert (moved["right"], moved["bottom"]) == (sides["right"], 0)
    drag(page, "bottom", 0, -40)
    assert agreed(page)["bottom"] < 0
    handle(page, "bottom").dblclick()
    assert agreed(page)["bottom"] == 0
    page.evaluate(SET, prefixed(pixels(left=-40, top=8, right=8)))
    assert agreed(page) == {"top": 8, "bottom": 0, "left": -40, "right": 8}


def test_handles_move_with_the_arrow_keys(page):
    open_canvas(page, pixels())
    assert agreed(page) == dict.fromkeys(SIDES, 0)
    for part, key, wanted in (
        ("left", "ArrowLeft", {"left": 8}),
        ("right", "Shift+ArrowRight", {"left": 8, "right": 64}),
        ("bottom right", "ArrowDown", {"left": 8, "right": 64, "bottom": 8}),
        ("picture", "ArrowRight", {"left": 16, "right": 56, "bottom": 8}),
        ("right", "Home", {"left": 16, "bottom": 8}),
        ("left", "ArrowRight", {"left": 8, "bottom": 8}),
    ):
        handle(page, part).focus()
        handle(page, part).press(key)
        assert agreed(page) == dict.fromkeys(SIDES, 0) | wanted, part
        assert handle(page, part).evaluate("e => e === document.activeElement")


def test_ratios_sizes_and_what_they_become(page):
    open_canvas(page)
    wide = page.page.get_by_role("button", name="16:9", exact=True)
    wide.click()
    expect(wide).to_have_attribute("aria-pressed", "true")
    ratio = {"extend": "aspect ratio", "ratio": "16:9", "anchor": "center", "multiple_of": 8}
    assert extend_of(page) == ratio
    assert agreed(page) == {"top": 0, "bottom": 0, "left": 52, "right": 52}
    drag(page, "picture", -60, 0)
    assert extend_of(page)["anchor"] == "left" and agreed(page)["left"] == 0
    drag(page, "right", 40, 0)
    assert extend_of(page)["extend"] == "sides" and agreed(page)["right"] > 104
    page.evaluate(SET, {"extend": "size"})
    page.evaluate(SET, {"extend.width": 300, "extend.height": 201, "extend.anchor": "left"})
    agreed(page)
    handle(page, "right").press("Shift+ArrowRight")
    assert extend_of(page) == {"extend": "size", "width": 368, "height": 201, "anchor": "left"}
    handle(page, "left").press("ArrowLeft")
    assert extend_of(page)["extend"] == "sides"
    assert agreed(page) == {"top": 36, "bottom": 37, "left": 8, "right": 240}


def test_a_drag_can_be_undone_and_a_saved_graph_keeps_it(page):
    open_canvas(page)
    drag(page, "right", 50, 0)
    dragged = agreed(page)
    assert dragged["right"] > 0
    page.load(page.serialize())
    assert agreed(page) == dragged
    handle(page, "left").press("ArrowLeft")
    assert agreed(page) == dragged | {"left": 8}
    page.page.get_by_role("button", name="9:16", exact=True).click()
    assert agreed(page)["top"] == 52
    page.page.locator("canvas#graph-canvas").focus()
    for wanted in (dragged | {"left": 8}, dragged):
        for _ in range(4):  # Nodes 2.0 may have measured the node by then, a step of its own to undo
            page.page.keyboard.press("Control+z")
            page.page.wait_for_timeout(1000)
            if agreed(page) == wanted:
                break
        assert agreed(page) == wanted


@pytest.mark.parametrize(("width", "height"), [(1, 1), (16384, 24)])
def test_any_size_of_picture(page, server, width, height):
    name = f"{width}x{height}.png"
    Image.new("RGB", (width, height), (40, 120, 90)).save(server.base / "input" / name)
    status = open_canvas(page, pixels(left=16, top=16), name, overlap=0)
    expect(status).to_contain_text(f"{width} × {height} →")
    before = agreed(page, (height, width))
    handle(page, "top").press("ArrowUp")
    after = agreed(page, (height, width))
    assert after == before | {"top": before["top"] + 8}
    assert page.evaluate("Math.max(...[...document.querySelectorAll('.isi-frame canvas')]"
                         ".flatMap(({ width, height }) => [width, height]))") <= 2048  # fmt: skip


def test_says_what_is_wrong_and_what_is_not_known(page):
    attack = "<img src=x onerror='window.hacked=1'>"
    ratio = {"extend": "aspect ratio", "ratio": attack, "anchor": "center", "multiple_of": 8}
    status = open_canvas(page, ratio)
    expect(status).to_contain_text("can't be read")
    assert page.evaluate("window.hacked ?? null") is None
    page.evaluate(SET, prefixed(pixels(left=-200)))
    expect(status).to_contain_text("leave nothing")
    page.evaluate(SET, prefixed(pixels()))
    expect(status).to_have_text("128 × 128 → 128 × 128")
    page.evaluate(SET, {"extend.left": 8, "overlap": 128})
    expect(status).to_contain_text("through the whole picture")
    page.evaluate(SET, {"extend.left": 8, "overlap": 127})
    expect(status).to_have_text("128 × 128 → 136 × 128")
    page.evaluate(
        """() => {
          const [source, target] = app.rootGraph.nodes;
          const scale = LiteGraph.createNode("ImageScaleBy");
          app.rootGraph.add(scale);
          scale.widgets.find(widget => widget.name === "scale_by").value = 2;
          source.connect(0, scale, 0);
          scale.connect(0, target, target.inputs.findIndex(input => input.name === "image"));
        }"""
    )
    agreed(page, (256, 256))
    page.evaluate("() => app.rootGraph.remove(app.rootGraph.nodes.find(node => node.type === 'LoadImage'))")
    expect(status).to_contain_text("known after a run")


@pytest.mark.newest
def test_the_heat_map_is_the_servers_preview_before_it_runs(page, server):
    alpha = Image.frombytes("L", (64, 16), bytes(range(0, 256, 4)) * 16)
    Image.merge("RGBA", [alpha] * 4).save(server.base / "input" / "grey.png")
    graph = {
        "1": {"class_type": "ISI_MiniCheckpoint", "inputs": {"kind": "base"}},
        "2": {"class_type": "LoadImage", "inputs": {"image": "grey.png"}},
        "3": {
            "class_type": "ISI_DifferentialDiffusion",
            "inputs": {"model": ["1", 0], "mask": ["2", 1], "mode": "timestep", "strength": 1.0},
        },
        "4": {"class_type": "SaveImage", "inputs": {"images": ["3", 2], "filename_prefix": "heat"}},
    }
    page.load_api(graph, "heat")
    arrange(page, SHOW)
    note = page.page.locator(".isi-heat-note")
    expect(note).to_have_text("Estimate: 20 steps of the scheduler normal.")
    mask = 1 - torch.arange(64).view(1, 1, 64) * 4 / 255
    for mode, strength in (("timestep", 1.0), ("step", 0.5), ("calibrated", 1.0)):
        page.evaluate(SET, {"mode": mode, "strength": strength})
        wanted = release_picture(release_step(mask, taus(mode, 20), strength), 20, "")[0, 0]
        wanted = (wanted[:: len(wanted) // 64] * 255).int().tolist()
        page.page.wait_for_function(f"wanted => JSON.stringify(({ROW})([64, 16])) === wanted",
                                    arg=json.dumps(wanted, separators=(",", ":")))  # fmt: skip
    graph["3"]["inputs"] |= {"mode": "calibrated"}
    [file] = client.execute(server.url, graph)["4"]["images"]
    query = f"/view?filename={file['filename']}&subfolder={file['subfolder']}&type={file['type']}"
    with urllib.request.urlopen(server.url + query) as answer:
        picture = Image.open(io.BytesIO(answer.read())).convert("RGB")
    scale = picture.width // 64
    row = [list(picture.getpixel((x * scale, 8 * scale))) for x in range(64)]
    assert row == page.evaluate(ROW, [64, 16])


def test_nothing_runs_on_after_the_node_is_gone(page):
    """Neither when it is removed, nor when it was inside a subgraph and another graph is opened."""
    page.load({"nodes": [], "links": [], "version": 0.4})
    page.evaluate(COUNT_TIMERS)
    types = ["ISI_OutpaintCanvas", "ISI_Outpaint", "ISI_DifferentialDiffusion"]
    page.evaluate(
        """async types => {
          const add = type => app.rootGraph.add(LiteGraph.createNode(type));
          for (const type of types) app.rootGraph.remove(add(type));
          // What fills them is there by then.
          for (const name of ["outpaint_frame", "release_view"])
            await import(`/extensions/isi-nodes/lib/${name}.mjs`);
          await new Promise(resolve => setTimeout(resolve, 200));
        }""",
        types,
    )
    assert page.evaluate("window.timers.size") == 0
    page.evaluate(
        """types => {
          const add = type => app.rootGraph.add(LiteGraph.createNode(type));
          for (const type of types) app.rootGraph.convertToSubgraph(new Set([add(type)]));
        }""",
        types,
    )
    page.page.wait_for_function("window.timers.size > 0")
    page.load({"nodes": [], "links": [], "version": 0.4})
    assert page.evaluate("window.timers.size") == 0
