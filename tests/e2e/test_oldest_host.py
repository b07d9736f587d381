"""A smoke run on the oldest supported ComfyUI, with the web page that it was released with."""

import json
from pathlib import Path

import pytest
from isi.tools import client, graphs
from isi.tools.browser import front_end
from isi.tools.server import ROOT, Server
from playwright.sync_api import expect

from .front import SEEDS, run_graph, show

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


def test_seeds_of_new_nodes_stay_as_they_are(oldest, chromium):
    with front_end(chromium, oldest) as page:
        found = page.evaluate(SEEDS)
        assert found and {value for _, value in found} == {"fixed"}


@pytest.mark.parametrize("nodes2", [False, True], ids=["canvas", "nodes2"])
def test_editor_strip_and_viewer_work_with_mouse_and_keyboard(oldest, chromium, nodes2):
    with front_end(chromium, oldest, nodes2=nodes2) as page:
        page.load_api(run_graph(f"oldest-{nodes2}"), "oldest")
        show(page, "ISI_Script")
        text = page.page.locator(".isi-script-text")
        text.fill("red; ")
        text.press_sequentially("green")
        expect(page.page.locator(".isi-script-count")).to_have_text("2 iterations")
        show(page)
        page.page.locator("[data-testid=queue-button]").click()
        expect(page.page.locator(".isi-strip-status")).to_contain_text("2 iterations in")
        page.page.locator(".isi-strip-row").focus()
        page.page.keyboard.press("End")
        page.page.keyboard.press("Enter")
        viewer = page.page.locator("dialog.isi-viewer")
        expect(viewer).to_contain_text("2 / 2")
        page.page.keyboard.press("ArrowLeft")
        expect(viewer).to_contain_text("1 / 2")
        viewer.get_by_text("Continue from here").click()
        added = [node["inputs"] for node in page.prompt().values() if node["class_type"] == "ISI_OpenRun"]
        assert [(each["run_name"], each["iteration"]) for each in added] == [(f"oldest-{nodes2}", 1)]
        assert page.faults == []
