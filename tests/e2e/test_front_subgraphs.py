"""The blueprints in subgraphs/: the page's search offers them, and what it inserts runs to a picture."""

import json
from contextlib import suppress

import pytest
from isi.tools import client, graphs
from isi.tools.browser import front_end
from isi.tools.make_subgraph import RECIPES, SUBGRAPHS
from PIL import Image
from playwright.sync_api import TimeoutError, expect

FIRST = "ISI Upscale in Tiles"
# A model with nine channels is connected where any other one is.
KINDS = {
    "ISI Edit by Instruction": "instruct-pix2pix",
    "ISI Inpaint Cropped": "inpaint",
    "ISI Fill with a Prompt": "inpaint",
}
SMALL = {
    "steps": 2,
    "tile_size": 128,
    "pass_size": 256,
    "overlap": 32,
    "megapixels": 0.02,
    "picks": "it: + 50 50",
}
SIZES = {"ISI Outpaint to Aspect": (232, 128), "ISI Edit by Instruction": (128, 128), FIRST: (256, 256)}
# Loaders and a SaveImage for the one subgraph in the graph, small values for its widgets; returns its inputs.
WIRE = """([kind, picture, small]) => {
  const graph = app.rootGraph;
  const node = graph.nodes.find(each => each.isSubgraphNode());
  const add = (type, values) => {
    const made = LiteGraph.createNode(type);
    graph.add(made);
    for (const widget of made.widgets) if (widget.name in values) widget.value = values[widget.name];
    return made;
  };
  const loader = add("ISI_MiniCheckpoint", { kind });
  const image = add("LoadImage", { image: picture });
  const sources = { model: [loader, 0], clip: [loader, 1], vae: [loader, 2] };
  Object.assign(sources, { image: [image, 0], mask: [image, 1] });
  node.inputs.forEach(({ name }, at) => sources[name]?.[0].connect(sources[name][1], node, at));
  node.connect(0, add("SaveImage", { filename_prefix: "blueprint" }), 0);
  for (const widget of node.widgets) if (widget.name in small) widget.value = small[widget.name];
  return node.inputs.map(({ name }) => name);
}"""


BOTH = pytest.mark.parametrize("page", [False, True], ids=["canvas", "nodes2"], indirect=True)
CANVAS = pytest.mark.parametrize("page", [False], ids=["canvas"], indirect=True)


@pytest.fixture(scope="module")
def page(request, server, chromium):
    with front_end(chromium, server, nodes2=request.param) as opened:
        yield opened


def wire(page, name):
    picture = "small_object.png" if name == "ISI Inpaint Cropped" else "circle.png"
    return page.evaluate(WIRE, [KINDS.get(name, "base"), picture, SMALL])


def picture_of(server, graph):
    ((saver, _),) = graphs.nodes_of(graph, "SaveImage")
    return Image.open(graphs.pictures(client.execute(server.url, graph), server.base)[saver][0])


def test_the_server_offers_every_blueprint(server):
    offered = server.get("/global_subgraphs").values()
    ours = {entry["name"] for entry in offered if entry["info"]["node_pack"] == "custom_nodes.isi-nodes"}
    assert ours == set(RECIPES) == {path.stem for path in SUBGRAPHS.glob("*.json")}


@BOTH
@pytest.mark.newest
def test_search_inserts_a_blueprint_that_runs(page, server):
    page.faults.clear()
    view = page.page
    page.load({"nodes": [], "links": [], "version": 0.4})
    for _ in range(5):  # a page that has just opened a graph may miss the first double click
        view.mouse.dblclick(500, 700, delay=40)
        with suppress(TimeoutError):  # what is typed before the field has the focus would be shortcuts
            view.wait_for_selector("input:focus", timeout=3000)
            break
    view.keyboard.type(FIRST, delay=10)
    expect(view.get_by_text("Makes a picture larger in stages").first).to_be_visible(timeout=30_000)
    view.keyboard.press("Enter")
    view.wait_for_function("app.rootGraph.nodes.length === 1")
    view.mouse.click(700, 400)  # some front ends let the new node hang on the pointer until it is put down
    assert page.evaluate("app.rootGraph.nodes[0].title") == FIRST
    assert wire(page, FIRST)[:4] == ["model", "clip", "vae", "image"]
    page.evaluate(
        "() => { window.shown = null;"
        " app.api.addEventListener('executed', ({ detail }) => { window.shown ??= detail.output.images; }); }"
    )
    view.locator("[data-testid=queue-button]").click()
    view.wait_for_function("window.shown", timeout=120_000)
    assert page.faults == []


@CANVAS
@pytest.mark.parametrize("name", RECIPES)
def test_each_blueprint_runs_to_a_picture(page, server, name):
    page.load(json.loads((SUBGRAPHS / f"{name}.json").read_text("utf-8")))
    assert page.evaluate("app.rootGraph.nodes.filter(node => node.has_errors).map(node => node.type)") == []
    given = [label for _, _, label in RECIPES[name].shown]
    assert wire(page, name)[-len(given) :] == given
    with picture_of(server, page.prompt()) as picture:
        assert picture.size == SIZES.get(name, picture.size)
        assert picture.convert("L").getextrema() != (0, 0)
