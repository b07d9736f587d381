"""The regions of ISI Regions in the real page, in both renderers: drawn as they are masked."""

import json
from pathlib import Path

import pytest
import torch
from isi.core.tiles.regions import ratio_masks, region_picture
from isi.tools.browser import front_end
from playwright.sync_api import expect

from .front import WATCH_RUN, choose, show

GRAPH = json.loads((Path(__file__).parents[2] / "workflows/api/regions.json").read_text("utf-8"))
GRAPH["5"]["inputs"]["steps"] = 1
THINGS = ("red circle on the left", "blue square on the right")
SIZE = (256, 128)
MASK = 512  # the side of the node's masks, whatever the picture's shape
# Colours and opacities at shares of the picture (256 x 128) as it is drawn over.
COLOURS = """([width, height, places]) => {
  const canvas = document.querySelector(".isi-regions canvas");
  const density = canvas.width / canvas.clientWidth;
  const scale = Math.min(canvas.clientWidth / width, canvas.clientHeight / height);
  const [left, top] = [(canvas.clientWidth - width * scale) / 2, (canvas.clientHeight - height * scale) / 2];
  return places.map(([x, y]) => [...canvas.getContext("2d").getImageData(
    Math.floor((left + x * width * scale) * density),
    Math.floor((top + y * height * scale) * density), 1, 1).data]);
}"""
PLACES = [(x / 16 + 1 / 64, y) for x in range(16) for y in (0.06, 0.38, 0.62, 0.94)]  # beside the numbers


@pytest.fixture(scope="module", params=[False, True], ids=["canvas", "nodes2"])
def page(request, server, chromium):
    with front_end(chromium, server, nodes2=request.param) as opened:
        yield opened


def drawn(page, ratios, feather, opacity):
    """Whether the canvas has the colours of Python's masks, `opacity` thick."""
    picture = region_picture(ratio_masks(ratios, MASK, MASK, feather))[0]
    wanted = [picture[int(y * MASK), int(x * MASK)] * 255 for x, y in PLACES]
    found = torch.tensor(page.evaluate(COLOURS, [*SIZE, PLACES]), dtype=torch.float32)
    near = (found[:, :3] - torch.stack(wanted)).abs().amax(1) <= 8
    return bool(near.all() and ((found[:, 3] - 255 * opacity).abs() <= 2).all())


def expect_drawn(page, ratios, feather, opacity=0.8):
    for _ in range(100):
        if drawn(page, ratios, feather, opacity):
            return
        page.page.wait_for_timeout(100)
    raise AssertionError(page.evaluate(COLOURS, [*SIZE, PLACES]))


@pytest.mark.newest
@pytest.mark.usefixtures("faultless")
def test_regions_are_drawn_from_the_widgets_then_over_the_picture(page):
    page.load_api(GRAPH, "regions")
    show(page, "ISI_Regions")
    node = page.evaluate("() => app.rootGraph.nodes.find(node => node.type === 'ISI_Regions').id")
    status = page.page.locator(".isi-regions-status")
    view = page.page.get_by_role("img", name="Regions of the picture")
    expect(status).to_have_text("2 regions")
    words = [f"{i} a large {what} on a white background" for i, what in enumerate(THINGS, 1)]
    expect(view).to_have_attribute("aria-label", "; ".join(["Regions of the picture", *words]))
    expect_drawn(page, "1,1", 0.1)
    choose(page, node, "ratios", "1,2,1;1,1")
    choose(page, node, "feather", 0.0)
    expect_drawn(page, "1,2,1;1,1", 0.0)
    expect(status).to_have_text(
        "The text has 3 parts, and 4 are expected: write BREAK between them, or change the ratios."
    )
    choose(page, node, "text", "{a|b} BREAK c :2 AND d BREAK e BREAK f")
    expect(status).to_contain_text("The text has 2 parts, and 4 are")
    expect(page.page.get_by_role("img", name="1 c; 2")).to_be_visible()
    for text in ("a BREAK [b BREAK c:d:.5]", "a BREAK {b BREAK c|d}", "a BREAK __b__", ""):
        choose(page, node, "text", text)  # how many parts is not known
        expect(status).to_have_text("3 regions")
        choose(page, node, "text", "a")
        expect(status).to_contain_text("The text has 1 part, and 4 are")
    choose(page, node, "text", GRAPH["2"]["inputs"]["text"])
    choose(page, node, "ratios", "1,x")
    expect(status).to_contain_text("These ratios can't be read")
    choose(page, node, "ratios", "1,1")
    choose(page, node, "feather", 0.5)
    page.evaluate(WATCH_RUN)
    page.evaluate("() => app.queuePrompt(0)")
    page.page.wait_for_function("window.ended === 'execution_success'")
    expect(page.page.locator(".isi-regions .isi-picture-image")).to_be_visible()
    expect_drawn(page, "1,1", 0.5, 0.45)
    choose(page, node, "ratios", "1;1")
    choose(page, node, "base", 0.0)
    expect_drawn(page, "1;1", 0.5, 0.45)
    expect(status).to_contain_text("The text has 3 parts, and 2 are expected")


@pytest.mark.usefixtures("faultless")
def test_in_a_loop_the_words_and_the_size_are_the_loops_and_given_masks_those_of_the_last_run(page):
    graph = {
        "1": {"class_type": "ISI_MiniCheckpoint", "inputs": {"kind": "base"}},
        "2": {"class_type": "ISI_Script", "inputs": {
            "script": "{all} BREAK left BREAK right; b", "steps": 1, "cfg": 5.0, "denoise": 0.7,
            "final_denoise": 0.7, "curve": "constant", "seed": 3, "seed_mode": "increment",
        }},
        "3": {"class_type": "ISI_Regions", "inputs": {
            "clip": ["1", 1], "ratios": "1,1", "base": 0.2, "feather": 0.1, "text": "", "seed": 0,
        }},
        "4": {"class_type": "ISI_Iterate", "inputs": {
            "model": ["1", 0], "clip": ["1", 1], "vae": ["1", 2], "plan": ["2", 0], "negative": "",
            "sampler_name": "euler", "scheduler": "normal", "width": 256, "height": 128,
            "conditioner": ["3", 0], "run_name": "",
        }},
        "5": {"class_type": "SolidMask", "inputs": {"value": 1.0, "width": 256, "height": 128}},
    }  # fmt: skip
    page.load_api(graph, "loop")
    show(page, "ISI_Regions")
    expect(page.page.get_by_role("img", name="1 left; 2 right")).to_be_visible()
    expect_drawn(page, "1,1", 0.1)
    page.evaluate(
        """() => {
          const find = type => app.rootGraph.nodes.find(node => node.type === type);
          const target = find("ISI_Regions");
          find("SolidMask").connect(0, target, target.inputs.findIndex(input => input.name === "masks"));
          app.nodeOutputs[target.id] = { images: [{ filename: "circle.png", type: "input" }] };
        }"""
    )
    expect(page.page.locator(".isi-regions-status")).to_have_text("As in the last run.")
    page.page.wait_for_function(
        f"() => ({COLOURS})([256, 128, [[0.5, 0.5]]])[0][3] === 204"
    )  # the picture, not the colours of ratios
