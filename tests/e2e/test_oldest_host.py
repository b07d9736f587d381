"""A smoke run on the oldest supported ComfyUI, with the web page that it was released with."""

import json
from pathlib import Path

import pytest
from isi.tools import client, graphs
from isi.tools.browser import front_end
from isi.tools.server import ROOT, Server

HOST = ROOT / ".host" / "comfyui-0.16.3"
FRONTEND = ROOT / ".host" / "frontend-0.16.3"
GOLDEN = Path(__file__).parents[1] / "golden" / "schemas.json"


@pytest.fixture(scope="module")
def oldest(tmp_path_factory):
    with Server(tmp_path_factory.mktemp("oldest"), comfyui=HOST, frontend=FRONTEND) as running:
        yield running


def test_has_every_node(oldest):
    assert set(json.loads(GOLDEN.read_text("utf-8"))) <= set(oldest.get("/object_info"))


def test_runs_the_main_workflow(oldest):
    graph = graphs.load("isi_iterate")
    assert graphs.pictures(client.execute(oldest.url, graph), oldest.base)


def test_opens_the_main_workflow(oldest, chromium):
    with front_end(chromium, oldest) as page:
        page.load(json.loads((graphs.WORKFLOWS / "isi_iterate.json").read_text("utf-8")))
        assert page.evaluate("() => app.rootGraph.nodes.filter(n => n.has_errors).map(n => n.type)") == []
        assert page.prompt() == graphs.load("isi_iterate")
        page.load(json.loads((graphs.ROOT / "subgraphs" / "ISI Upscale in Tiles.json").read_text("utf-8")))
        page.evaluate("app.rootGraph.nodes[0].widgets.find(each => each.name === 'factor').value = 3")
        (plan,) = (node for _, node in graphs.nodes_of(page.prompt(), "ISI_Upscale"))
        assert (plan["inputs"]["factor"], plan["inputs"]["denoise"]) == (3, "0.35")
        assert page.faults == []
