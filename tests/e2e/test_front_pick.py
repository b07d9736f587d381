"""The picture of ISI Pick in the real page, in both renderers: mouse, keyboard and text write one thing."""

import json

import numpy as np
import pytest
import torch
from isi.core.picking.picks import Pick, parse_picks
from isi.tools.browser import front_end
from isi.tools.graphs import WORKFLOWS
from PIL import Image
from playwright.sync_api import expect

from .front import WATCH_RUN, choose, show

pytestmark = pytest.mark.usefixtures("faultless")

GRAPH = {
    "1": {"class_type": "LoadImage", "inputs": {"image": "three_objects.png"}},
    "2": {"class_type": "ISI_Pick", "inputs": {"image": ["1", 0], "picks": "", "segmenter": "auto"}},
}


@pytest.fixture(scope="module", params=[False, True], ids=["canvas", "nodes2"])
def page(request, server, chromium):
    with front_end(chromium, server, nodes2=request.param) as opened:
        opened.page.set_default_timeout(60_000)
        yield opened


def text_of(page):
    """What the server gets."""
    (text,) = (n["inputs"]["picks"] for n in page.prompt().values() if n["class_type"] == "ISI_Pick")
    return text


def expect_picks(page, *wanted):
    """As the server's own reader reads it: names exactly, places to a pixel or two of the screen."""
    for _ in range(50):
        found = parse_picks(text_of(page))
        if len(found) == len(wanted) and all(map(alike, found, wanted)):
            return
        page.page.wait_for_timeout(100)
    raise AssertionError(found)


def alike(one, other):
    shapes = [(pick.name, len(pick.add), len(pick.remove), pick.box is None) for pick in (one, other)]
    numbers = [sum((*pick.add, *pick.remove, pick.box or ()), ()) for pick in (one, other)]
    return shapes[0] == shapes[1] and all(abs(a - b) <= 0.7 for a, b in zip(*numbers, strict=True))


def place(page, x, y):
    """The place on the screen of a place in the picture, in percent."""
    box = page.page.locator(".isi-pick-stage .isi-picture-image").bounding_box()
    return box["x"] + box["width"] * x / 100, box["y"] + box["height"] * y / 100


@pytest.mark.newest
def test_mouse_keyboard_and_text_write_the_same_picks(page):
    page.load_api(GRAPH, "pick")
    show(page, "ISI_Pick")
    view = page.page
    stage, status = view.locator(".isi-pick-stage"), view.locator(".isi-pick .isi-frame-status")
    expect(status).to_have_text("Click an object in the picture")
    expect(stage.locator("img")).to_be_visible()
    view.mouse.click(*place(page, 50, 40))
    expect_picks(page, Pick("object 1", ((50, 40),)))
    view.mouse.click(*place(page, 20, 70), button="right")
    expect_picks(page, Pick("object 1", ((50, 40),), ((20, 70),)))
    view.keyboard.down("Alt")
    view.mouse.click(*place(page, 20, 70))  # on a point that is there: that goes
    view.mouse.click(*place(page, 80, 80))
    view.keyboard.up("Alt")
    expect_picks(page, Pick("object 1", ((50, 40),), ((80, 80),)))
    view.get_by_role("button", name="+ new").click()
    view.mouse.move(*place(page, 10, 20))
    view.mouse.down()
    view.mouse.move(*place(page, 30, 60), steps=3)
    view.mouse.up()
    first = Pick("object 1", ((50, 40),), ((80, 80),))
    expect_picks(page, first, Pick("object 2", box=(10, 20, 30, 60)))
    name = view.get_by_label("Name of the object")
    name.fill("left: one")
    name.press("Tab")
    expect_picks(page, first, Pick("left  one", box=(10, 20, 30, 60)))
    stage.focus()
    for key in ("n", "Shift+ArrowRight", "ArrowUp", "Enter"):  # the cross begins in the middle
        view.keyboard.press(key)
    expect_picks(page, first, Pick("left  one", box=(10, 20, 30, 60)), Pick("object 3", ((58, 49),)))
    view.get_by_role("button", name="Remove this object").click()
    expect_picks(page, first, Pick("left  one", box=(10, 20, 30, 60)))
    node = page.evaluate("() => app.rootGraph.nodes.find(node => node.type === 'ISI_Pick').id")
    choose(page, node, "picks", "# by hand\nx: + 5 5")
    expect(status).to_contain_text("1 object")
    view.mouse.click(*place(page, 60, 60))
    expect_picks(page, Pick("x", ((5, 5), (60, 60))))
    assert text_of(page).startswith("# by hand\n")
    choose(page, node, "picks", "x: + 5")
    expect(status).to_have_text("Line 1 of the picks can't be read.")
    view.mouse.click(*place(page, 60, 60))
    assert text_of(page) == "x: + 5"


def test_a_new_object_stays_chosen_when_what_was_written_before_it_is_seen(page):
    """The widget is looked at ten times a second: here the look comes after both clicks."""
    page.load_api(GRAPH, "pick")
    show(page, "ISI_Pick")
    node = page.evaluate("() => app.rootGraph.nodes.find(node => node.type === 'ISI_Pick').id")
    choose(page, node, "picks", "x: + 5 5, + 60 60")
    last = page.page.locator(".isi-pick-tools").get_by_role("button", name="Undo this object's last mark")
    expect(last).to_be_enabled()
    page.evaluate(
        """([last, fresh]) => {
          last.click();
          fresh.click();
          return new Promise(done => setTimeout(done, 250));
        }""",
        [last.element_handle(), page.page.get_by_role("button", name="+ new").element_handle()],
    )
    page.page.locator(".isi-pick-stage").press("Enter")
    expect_picks(page, Pick("x", ((5, 5),)), Pick("object 2", ((50, 50),)))


# ISI Pick in the middle of the window, as the workflow has it.
LOOK = """() => {
  const node = app.rootGraph.nodes.find(each => each.type === "ISI_Pick");
  app.canvas.ds.scale = 1;
  app.canvas.ds.offset = [400 - node.pos[0], 100 - node.pos[1]];
  app.canvas.setDirty(true, true);
}"""


def test_removing_an_object_is_to_open_the_workflow_to_click_and_to_run(page, server):
    page.load(json.loads((WORKFLOWS / "click_remove.json").read_text("utf-8")))
    page.evaluate(LOOK)
    page.page.get_by_role(
        "button", name="Remove this object"
    ).click()  # what the workflow shows as an example
    page.page.mouse.click(*place(page, 50, 50))
    expect_picks(page, Pick("object 1", ((50, 50),)))
    page.evaluate(WATCH_RUN)
    page.page.locator("[data-testid=queue-button]").click()
    page.page.wait_for_function("window.ended === 'execution_success'")
    file = next((server.base / "output").glob("isi_click_remove*.png"))  # of equal graphs the host makes one
    with Image.open(file) as after, Image.open(server.base / "input" / "circle.png") as before:
        old, new = (torch.from_numpy(np.array(each.convert("RGB"))).int() for each in (before, after))
    changed = (old - new).abs().amax(-1) > 0
    rows, columns = changed.nonzero(as_tuple=True)
    middle = (16, 112)  # the circle and a rim
    assert all(middle[0] < int(at.min()) and int(at.max()) < middle[1] for at in (rows, columns))
    assert (new[changed].amax(-1) - new[changed].amin(-1) < 8).all()  # grey, as the ground is
