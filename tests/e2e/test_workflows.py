"""Every shipped workflow runs on a real server, opens in both front ends, and is what it was saved as."""

import json
from urllib.request import urlopen

import numpy as np
import pytest
from isi.tools import client, graphs
from isi.tools.browser import front_end
from PIL import Image

NAMES = graphs.names()


@pytest.mark.parametrize("name", NAMES)
def test_runs_and_makes_varied_pictures(server, name):
    graph = graphs.load(name)
    found = graphs.pictures(client.execute(server.url, graph), server.base)
    assert found, "no output node made a picture"
    for node_id, files in found.items():
        for file in files:
            with Image.open(file) as picture:
                pixels = np.asarray(picture.convert("RGB"), dtype=float)
            assert pixels.std() > 2, f"{graphs.title(graph, node_id)} is a plain {pixels.mean((0, 1))}"


@pytest.fixture(scope="module", params=[False, True], ids=["canvas", "nodes2"])
def page(request, server, chromium):
    with front_end(chromium, server, nodes2=request.param) as opened:
        yield opened


@pytest.mark.parametrize("name", NAMES)
def test_opens_in_the_front_end(page, name):
    page.load(json.loads((graphs.WORKFLOWS / f"{name}.json").read_text("utf-8")))
    unknown = "() => app.rootGraph.nodes.filter(node => node.has_errors).map(node => node.type)"
    assert page.evaluate(unknown) == []
    assert page.prompt() == graphs.load(name)
    assert page.faults == []


def test_the_run_button_runs(page):
    name = "isi_iterate"
    page.load(json.loads((graphs.WORKFLOWS / f"{name}.json").read_text("utf-8")))
    page.evaluate(
        "() => { window.ended = null;"
        " for (const kind of ['execution_success', 'execution_error', 'execution_interrupted'])"
        " app.api.addEventListener(kind, event => { window.ended = kind; }); }"
    )
    page.page.locator("[data-testid=queue-button]").click()
    page.page.wait_for_function("window.ended", timeout=120_000)
    assert page.evaluate("window.ended") == "execution_success"
    assert page.faults == []


def test_the_server_offers_every_workflow_as_a_template(server):
    """Each under the pack's name, with the file that opens and a thumbnail where the page looks for it."""
    assert sorted(server.get("/workflow_templates")["isi-nodes"]) == NAMES
    for name in NAMES:
        address = f"/api/workflow_templates/isi-nodes/{name}"
        assert server.get(f"{address}.json") == json.loads(
            (graphs.WORKFLOWS / f"{name}.json").read_text("utf-8")
        )
        with urlopen(f"{server.url}{address}.jpg", timeout=30) as answer, Image.open(answer) as picture:
            assert answer.headers["Content-Type"] == "image/jpeg"
            assert 512 <= max(picture.size) <= 1024
