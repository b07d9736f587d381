"""The widgets that draw over a picture, in the real page and in both renderers."""

import pytest
from isi.tools.browser import front_end

SOURCE = """async () => {
  const { inputPicture } = await import(new URL("/extensions/isi-nodes/lib/picture.js", location.href).href);
  const node = [app.rootGraph, ...app.rootGraph.subgraphs?.values() ?? []]
    .flatMap(graph => graph.nodes).find(node => node.type === "ISI_OutpaintCanvas");
  const url = inputPicture(node);
  if (!url) return null;
  const { searchParams } = new URL(url, location.href);
  return ["filename", "subfolder", "type"].map(name => searchParams.get(name));
}"""


@pytest.fixture(scope="module", params=[False, True], ids=["canvas", "nodes2"])
def page(request, server, chromium):
    with front_end(chromium, server, nodes2=request.param) as opened:
        yield opened


@pytest.fixture(autouse=True)
def faultless(page):
    page.faults.clear()
    yield
    assert page.faults == []


def open_canvas(page, **inputs):
    """A graph of LoadImage and ISI Outpaint Canvas."""
    extend = {"extend": "sides", **{f"extend.{side}": 0 for side in ("left", "top", "right", "bottom")}}
    extend |= {"extend.unit": "pixels", "extend.multiple_of": 8}
    page.load_api(
        {
            "1": {"class_type": "LoadImage", "inputs": {"image": "circle.png"}},
            "2": {
                "class_type": "ISI_OutpaintCanvas",
                "inputs": {"image": ["1", 0], **extend, "fill": "edge", "overlap": 48, "feather": "cosine",
                           "seed": 0} | inputs,
            },
        },
        "frame",
    )  # fmt: skip


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
