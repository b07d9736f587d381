"""ISI Grid in the page: the queue button makes the grid, and a button of the node opens its viewer."""

import pytest
from isi.tools.browser import front_end
from playwright.sync_api import expect

PAINT = {"width": 32, "height": 32, "batch_size": 1}
ENDS = """() => {
  window.ends = [];
  for (const kind of ["execution_success", "execution_error", "execution_interrupted"])
    app.api.addEventListener(kind, () => window.ends.push(kind));
}"""

BUTTON = """app.rootGraph.nodes.find((node) => node.type === "ISI_Grid")
  .widgets.find((widget) => widget.type === "button")"""


def graph(name):
    axes = "EmptyImage.color = 255, 65280, 16711680\nEmptyImage.width = 32, 48"
    return {
        "1": {"class_type": "EmptyImage", "inputs": {**PAINT, "color": 0}},
        "2": {"class_type": "ISI_Grid", "inputs": {"image": ["1", 0], "axes": axes, "name": name}},
    }


@pytest.mark.parametrize("nodes2", [False, True], ids=["canvas", "nodes2"])
def test_the_queue_button_makes_a_grid_and_its_viewer_opens(server, chromium, nodes2):
    name = f"from the page {nodes2}"
    with front_end(chromium, server, nodes2=nodes2) as opened:
        opened.load_api(graph(name), "grid")
        opened.evaluate(ENDS)
        opened.page.locator("[data-testid=queue-button]").click()
        opened.page.wait_for_function("window.ends.length === 8", timeout=120_000)
        assert set(opened.evaluate("window.ends")) == {"execution_success"}  # page's own, six cells, sheet
        with opened.page.context.expect_page() as coming:
            opened.evaluate(f"() => {BUTTON}.callback()")
        viewer = coming.value
        expect(viewer.locator("img.cell")).to_have_count(6)
        width = "all => Promise.all(all.map(async (e) => { await e.decode(); return e.naturalWidth; }))"
        widths = viewer.eval_on_selector_all("img.cell", width)
        assert widths == [32] * 3 + [48] * 3 and viewer.title() == name
        saved = opened.serialize()
        (node,) = [each for each in saved["nodes"] if each["type"] == "ISI_Grid"]
        assert node["widgets_values"][:2] == [graph(name)["2"]["inputs"]["axes"], name]
        opened.load(saved)
        assert opened.prompt()["2"]["inputs"] == graph(name)["2"]["inputs"]
        assert not opened.evaluate(f"() => {BUTTON}.disabled") and opened.faults == []
