"""The grid of tiles in the real page, in both renderers: the tiles and costs of Python and of the server."""

import json

import pytest
from isi.core.plans.cost import Geometry, plan_cost, stage_cost
from isi.core.plans.upscale import Upscale, upscale_plan
from isi.core.tiles.demofusion import DemoFusion
from isi.core.tiles.tiling import Tiling
from isi.tools.browser import front_end
from playwright.sync_api import expect

from .front import arrange, choose

SD1 = Geometry(8, 4, 768)
FUSION = DemoFusion(1, 3.0, 1.0, 1.0)
SIDE = 128  # of circle.png
TILED = {
    "tile_size": 0, "overlap": 128, "blend": "cosine", "shift_grid": False, "wrap": "off", "tile_batch": 1,
    "global_share": 0.3, "skip_flat": 0.0,
}  # fmt: skip
GRAPH = {
    "1": {"class_type": "ISI_MiniCheckpoint", "inputs": {"kind": "base"}},
    "2": {"class_type": "CLIPTextEncode", "inputs": {"text": "sea", "clip": ["1", 1]}},
    "3": {"class_type": "EmptyLatentImage", "inputs": {"width": 1536, "height": 1024, "batch_size": 1}},
    "4": {"class_type": "ISI_TiledSampling", "inputs": {"model": ["1", 0], **TILED}},
    "5": {
        "class_type": "KSampler",
        "inputs": {
            "model": ["4", 0], "positive": ["2", 0], "negative": ["2", 0],
            "latent_image": ["3", 0], "steps": 12, "cfg": 5.0, "denoise": 1.0, "seed": 0,
            "sampler_name": "euler", "scheduler": "normal",
        },
    },
    "6": {"class_type": "LoadImage", "inputs": {"image": "circle.png"}},
    "7": {"class_type": "ISI_Upscale", "inputs": {
        "image": ["6", 0], "prompt": "", "factor": 10.0, "width": 0, "height": 0, "stages": 0,
        "denoise": "0.4", "steps": 3, "cfg": 7.0, "seed": 0,
        **{name: value for name, value in TILED.items() if name != "global_share"},
        "demofusion": True, "skip_residual": 3.0, "dilated_sampling": 1.0, "blur": 1.0,
        "allow_gigapixel": False,
    }},
    "8": {"class_type": "ISI_UpscaleCost", "inputs": {
        "model": ["1", 0], "image": ["6", 0], "plan": ["7", 0], "steps": 20, "cfg": 7.0,
    }},
}  # fmt: skip
ARRANGE = """() => {
  const places = {
    4: [0, 0], 8: [420, 0], 6: [840, 0], 7: [1240, 0], 1: [2000, 0], 2: [2000, 300], 3: [2000, 600],
    5: [2400, 0],
  };
  for (const node of app.rootGraph.nodes) {
    node.pos = places[node.id];
    if (places[node.id][0] < 800) node.setSize([380, node.size[1]]);
  }
  app.canvas.ds.scale = 1;
  app.canvas.ds.offset = [120, 120];
  app.canvas.setDirty(true, true);
}"""
PLACE = """([grid, y, x]) => {
  const stage = document.querySelectorAll(".isi-grid-stage")[grid];
  const box = stage.getBoundingClientRect();
  const side = Math.min(box.width / 1.5, box.height);
  return [box.x + box.width / 2 + (x - 0.5) * side * 1.5, box.y + box.height / 2 + (y - 0.5) * side];
}"""


@pytest.fixture(scope="module", params=[False, True], ids=["canvas", "nodes2"])
def page(request, server, chromium):
    with front_end(chromium, server, nodes2=request.param) as opened:
        yield opened


@pytest.fixture
def grids(page):
    """The grids of ISI Tiled Sampling (1536 x 1024, 12 steps) and of ISI Upscale Cost, in an open graph."""
    page.faults.clear()
    page.load_api(GRAPH, "grid")
    arrange(page, ARRANGE)
    found = page.page.locator(".isi-grid")
    expect(found).to_have_count(2, timeout=30_000)
    expect(found.first).to_contain_text("model calls", timeout=30_000)
    yield found.first, found.last
    assert page.faults == []


def words(cost) -> list[str]:
    """What the page is to say of a stage."""
    height, width = cost.tile_pixels
    rows, columns = len(cost.layout.rows), len(cost.layout.columns)
    return [
        f"{cost.tiles} tiles of {width} × {height} px",
        f"{rows} down, {columns} across",
        f"work ×{cost.redundancy:.2f}",
    ]


def tile_words(cost, index) -> str:
    tile = list(cost.layout)[index]
    height, width = cost.tile_pixels
    return (
        f"Tile {index + 1} of {cost.tiles} · row {tile.row + 1}, column {tile.column + 1} · "
        f"at {tile.x * cost.ratio}, {tile.y * cost.ratio} · {width} × {height} px"
    )


@pytest.mark.newest
def test_follows_the_widgets_and_the_wires(page, grids):
    def shows(size, steps, tiling):
        cost = stage_cost("", size, steps, 5.0, tiling, SD1)
        for text in (*words(cost), f"{cost.calls} model calls · {steps} steps × {cost.calls // steps}"):
            expect(grids[0]).to_contain_text(text)

    shows((1024, 1536), 12, Tiling())
    choose(page, 4, "tile_size", 512)
    choose(page, 4, "overlap", 64)
    shows((1024, 1536), 12, Tiling(512, 64))
    choose(page, 4, "wrap", "both")
    choose(page, 4, "tile_batch", 4)
    shows((1024, 1536), 12, Tiling(512, 64, batch=4, wrap="both"))
    choose(page, 4, "shift_grid", True)
    shows((1024, 1536), 12, Tiling(512, 64, batch=4, shift=True, wrap="both"))
    expect(grids[0]).to_contain_text("The grid moves at each step.")
    choose(page, 3, "width", 2048)
    choose(page, 5, "steps", 7)
    shows((1024, 2048), 7, Tiling(512, 64, batch=4, shift=True, wrap="both"))
    choose(page, 4, "overlap", 512)
    expect(grids[0]).to_contain_text("the overlap (512 px: 64) must be smaller than the tile (512 px: 64).")
    choose(page, 4, "overlap", 64)
    choose(page, 4, "wrap", "off")
    choose(page, 4, "tile_height", 1024)
    shows((1024, 2048), 7, Tiling(512, 64, batch=4, shift=True, tile_height=1024))


def test_a_tile_size_that_wastes_work_is_named(page, grids):
    choose(page, 4, "tile_height", 0)
    choose(page, 3, "width", 512)
    choose(page, 3, "height", 512)
    choose(page, 4, "overlap", 64)
    choose(page, 4, "tile_size", 256)
    expect(grids[0]).to_contain_text(
        "tile_size 288 would take 2 × 2 tiles instead of 3 × 3: work ×1.27 instead of ×2.25."
    )
    choose(page, 4, "tile_size", 288)
    expect(grids[0]).not_to_contain_text("would take")


def test_finds_the_picture_behind_the_latent_or_shows_an_example(page, grids):
    page.evaluate(
        """() => {
          const graph = app.rootGraph;
          const add = type => { const made = LiteGraph.createNode(type); graph.add(made); return made; };
          const [scale, encode] = [add("ImageScaleBy"), add("VAEEncode")];
          scale.widgets.find(widget => widget.name === "scale_by").value = 7.9;
          graph.getNodeById(6).connect(0, scale, 0);
          scale.connect(0, encode, 0);
          const sampler = graph.getNodeById(5);
          encode.connect(0, sampler, sampler.inputs.findIndex(input => input.name === "latent_image"));
        }"""
    )
    side = round(SIDE * 7.9) // 8 * 8
    for text in words(stage_cost("", (side, side), 12, 5.0, Tiling(), SD1)):
        expect(grids[0]).to_contain_text(text)
    assert grids[0].locator("img").evaluate("e => e.naturalWidth") == SIDE
    page.evaluate("() => app.rootGraph.remove(app.rootGraph.getNodeById(5))")
    expect(grids[0]).to_contain_text("An example of 2048 × 2048 px: connect the model to a sampler")


def test_a_tile_tells_its_number_place_and_size(page, grids):
    choose(page, 4, "tile_size", 512)
    cost = stage_cost("", (1024, 1536), 12, 5.0, Tiling(512), SD1)
    expect(grids[0]).to_contain_text(words(cost)[0])
    last, columns = cost.tiles - 1, len(cost.layout.columns)
    tip = grids[0].locator(".isi-grid-tip")
    stage = grids[0].locator(".isi-grid-stage")
    stage.focus()
    keys = (
        ("Home", 0),
        ("ArrowRight", 1),
        ("ArrowDown", 1 + columns),
        ("ArrowUp", 1),
        ("End", last),
        ("ArrowDown", last),
    )
    for key, index in keys:
        stage.press(key)
        expect(tip).to_have_text(tile_words(cost, index))
    stage.press("Escape")
    expect(tip).to_have_text("")
    for y, x, index in ((0.02, 0.02, 0), (0.02, 0.98, columns - 1), (0.98, 0.98, last)):
        page.page.mouse.move(*page.evaluate(PLACE, [0, y, x]))
        expect(tip).to_have_text(tile_words(cost, index))
    page.page.mouse.move(5, 5)
    expect(tip).to_have_text("")


def test_draws_the_borders_and_what_neighbours_share(page, grids):
    drawn = """([grid, at]) => {
      const stage = document.querySelectorAll(".isi-grid-stage")[grid];
      const canvas = stage.querySelector("canvas");
      const pixels = canvas.getContext("2d").getImageData(0, canvas.height / 2, canvas.width, 1).data;
      return at.map(x => {
        const middle = canvas.width / 2 + (x - 0.5) * 1.5 * Math.min(canvas.width / 1.5, canvas.height);
        return [...pixels.slice(4 * Math.round(middle), 4 * Math.round(middle) + 4)];
      });
    }"""
    choose(page, 4, "tile_size", 768)
    cost = stage_cost("", (1024, 1536), 12, 5.0, Tiling(768), SD1)
    expect(grids[0]).to_contain_text(words(cost)[0])
    columns = cost.layout.columns.scaled(8)
    shared = (columns.starts[1] + columns.starts[0] + columns.tile) / 2 / 1536
    page.page.wait_for_timeout(200)  # the drawing comes with the next frame
    in_band, alone = page.evaluate(drawn, [0, [shared, 0.04]])
    assert in_band[3] > 80 and in_band[0] > in_band[2] + 50
    assert alone[3] < in_band[3]


def test_the_cost_of_a_plan_is_what_the_server_reports_after_it(page, grids):
    plan = upscale_plan((SIDE, SIDE), (1280, 1280), 0, Upscale("", 3, 7.0, demofusion=FUSION))
    costs = plan_cost(plan, (SIDE, SIDE), SD1)
    buttons = grids[1].locator(".isi-grid-stages button")
    names = [f"{i + 1}: {c.width} × {c.height}" for i, c in enumerate(costs)]
    expect(buttons).to_have_text(names, timeout=30_000)
    expect(buttons.last).to_have_attribute("aria-pressed", "true")
    buttons.nth(2).click()
    expect(grids[1]).to_contain_text(f"{costs[2].tile_pixels[1]} × {costs[2].tile_pixels[0]} px")
    buttons.last.press("Enter")
    for text in words(costs[-1]):
        expect(grids[1]).to_contain_text(text)
    said = grids[1].locator(".isi-grid-cost").inner_text()
    page.evaluate("() => { app.rootGraph.getNodeById(4).mode = 4; app.rootGraph.getNodeById(5).mode = 2; }")
    page.page.locator("[data-testid=queue-button]").click()
    report = grids[1].locator(".isi-grid-report")
    expect(report).to_contain_text("Model calls:", timeout=60_000)
    calls = int(said.split()[0].replace(",", ""))
    assert f"Model calls: {calls}." in report.inner_text()
    last = report.inner_text().splitlines()[len(costs)]
    assert f"{costs[-1].width} x {costs[-1].height}" in last
    choose(page, 7, "factor", 4.0)
    expect(report).to_be_hidden()


def test_a_copy_and_a_reload_show_it_again(page, grids):
    choose(page, 4, "tile_size", 640)
    page.load(page.serialize())
    text = words(stage_cost("", (1024, 1536), 12, 5.0, Tiling(640), SD1))[0]
    grids = page.page.locator(".isi-grid")
    expect(grids.first).to_contain_text(text, timeout=30_000)
    page.evaluate(
        "() => { app.canvas.selectNode(app.rootGraph.getNodeById(4));"
        " app.canvas.copyToClipboard(); app.canvas.pasteFromClipboard(); }"
    )
    expect(grids).to_have_count(3)
    expect(grids.last).to_contain_text("An example of 2048 × 2048 px")
    assert "isi_grid" not in json.dumps(page.prompt())
