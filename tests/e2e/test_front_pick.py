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
from scipy import ndimage

from .front import WATCH_RUN, arrange, choose, serious, show

pytestmark = pytest.mark.usefixtures("faultless")

GRAPH = {
    "1": {"class_type": "LoadImage", "inputs": {"image": "three_objects.png"}},
    "2": {"class_type": "ISI_Pick", "inputs": {"image": ["1", 0], "picks": "", "segmenter": "auto"}},
}
# Newer pages keep that of a node in a subgraph in the document, out of sight.
STAGE = ".isi-pick-stage:visible"


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


def box_of(page):
    return page.page.locator(f"{STAGE} .isi-picture-image").bounding_box()


def place(page, x, y):
    """The place on the screen of a place in the picture, in percent."""
    box = box_of(page)
    return box["x"] + box["width"] * x / 100, box["y"] + box["height"] * y / 100


def wait_until_it_lies_still(page):
    before = None
    while before != (before := box_of(page)):
        page.page.wait_for_timeout(300)
    on_top = "([x, y]) => document.elementFromPoint(x, y)?.closest('.isi-pick-stage')"
    page.page.wait_for_function(on_top, arg=place(page, 50, 50))


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


@pytest.mark.newest
def test_axe_has_nothing_serious_against_it(page):
    page.load_api(GRAPH, "pick")
    show(page, "ISI_Pick")
    expect(page.page.locator(f"{STAGE} img")).to_be_visible()
    wait_until_it_lies_still(page)
    page.page.mouse.click(*place(page, 50, 40))
    expect_picks(page, Pick("object 1", ((50, 40),)))
    assert serious(page.page, ".isi-pick") == []


# Frames of the page come when `window.go()` is called, and not before.
HOLD = """() => {
  const { requestAnimationFrame: ask, cancelAnimationFrame: drop } = window;
  const held = new Map();
  let id = 0;
  window.requestAnimationFrame = (draw) => { held.set(--id, draw); return id; };
  window.cancelAnimationFrame = (id) => { held.delete(id) || drop(id); };
  window.go = () => {
    Object.assign(window, { requestAnimationFrame: ask, cancelAnimationFrame: drop });
    held.forEach((draw) => ask(draw));
  };
}"""


@pytest.mark.newest
def test_a_picture_is_seen_in_its_place_alone(page):
    """Not as large as the file has it in the corner, for one frame or for as long as it takes to come: what
    is clicked then lies elsewhere, or beside it."""
    view, answers = page.page, []
    view.route("**/view?*three_objects*", lambda route: answers.append(route))
    page.load_api(GRAPH, "slow")
    show(page, "ISI_Pick")
    image = view.locator(f"{STAGE} .isi-picture-image")
    while not answers:
        view.wait_for_timeout(50)
    expect(image).to_be_hidden()
    page.evaluate(HOLD)
    try:
        view.unroute("**/view?*three_objects*")  # lets those that wait go on
        expect(image).to_be_visible()
        stage, first = view.locator(STAGE).bounding_box(), image.bounding_box()
    finally:
        page.evaluate("() => window.go()")
    assert first["height"] == pytest.approx(stage["height"], abs=2)
    assert first["x"] + first["width"] / 2 == pytest.approx(stage["x"] + stage["width"] / 2, abs=1)


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


# The one node of a graph at the left, as large as it likes; gives the place of its output on the screen.
OUTPUT = """ () => {
  const [node] = app.rootGraph.nodes;
  node.pos = [0, 0];
  app.canvas.ds.scale = 1;
  app.canvas.ds.offset = [160, 160];
  app.canvas.setDirty(true, true);
  const [x, y] = node.getConnectionPos(false, 0);
  const { left, top } = app.canvas.canvas.getBoundingClientRect();
  return [left + x + 160, top + y + 160];
}"""
HANGS = "() => app.rootGraph.nodes.some(({ flags }) => flags.ghost)"
# Red, green, blue and alpha of what is drawn over a place of the picture, in percent.
OVER = """([x, y]) => {
  const stage = [...document.querySelectorAll(".isi-pick-stage")].find((each) => each.checkVisibility());
  const canvas = stage.querySelector("canvas");
  const [on, over] = [stage.querySelector("img"), canvas].map((each) => each.getBoundingClientRect());
  const at = (start, length, from, to, size) => Math.round((start + length - from) / to * size);
  return [...canvas.getContext("2d").getImageData(
    at(on.left, on.width * x / 100, over.left, over.width, canvas.width),
    at(on.top, on.height * y / 100, over.top, over.height, canvas.height), 1, 1).data];
}"""
MADE = """() => {
  window.made = null;
  app.api.addEventListener("executed", ({ detail }) => {
    window.made = detail.output.images ?? window.made;
  });
}"""


@pytest.mark.newest
def test_removing_an_object_is_to_drop_a_blueprint_to_click_and_to_run(page, server, request):
    """As a new user does it who has loaded a picture: drop a link, click the object, run."""
    page.load_api({"1": GRAPH["1"]}, "blueprint")
    view = page.page
    x, y = page.evaluate(OUTPUT)
    view.wait_for_timeout(500)  # the node is drawn where it is now
    view.keyboard.down("Shift")
    view.mouse.move(x, y)
    view.mouse.down()
    view.mouse.move(700, 200, steps=4)
    view.mouse.up()
    view.keyboard.up("Shift")
    view.wait_for_selector("input:focus")
    view.keyboard.type("ISI Remove", delay=10)
    expect(view.get_by_text("Click objects in the picture, and they are gone").first).to_be_visible()
    view.keyboard.press("Enter")
    view.wait_for_function("app.rootGraph.nodes.length === 2")
    view.mouse.move(820, 420, steps=3)
    while page.evaluate(HANGS):  # Nodes 2.0 lets the new node hang on the pointer until it is put down
        view.mouse.click(820, 420)
        view.wait_for_timeout(200)
    expect(view.locator(f"{STAGE} img")).to_be_visible()
    wait_until_it_lies_still(page)
    # Not the same twice: of a graph that it has run before, the server tells a new page only how it ended.
    middle = (50, 76 if "nodes2" in request.node.name else 75)
    view.mouse.click(*place(page, *middle))
    expect_picks(page, Pick("object 1", (middle,)))
    page.evaluate(WATCH_RUN)
    page.evaluate(MADE)
    view.locator("[data-testid=queue-button]").click()
    view.wait_for_function("window.ended === 'execution_success'")
    made = page.evaluate("window.made")[-1]
    with (
        Image.open(server.base / made["type"] / made["subfolder"] / made["filename"]) as after,
        Image.open(server.base / "input" / "three_objects.png") as before,
    ):
        old, new = np.array(before), np.array(after.convert("RGB"))
    objects, _ = ndimage.label(old[..., 3] < 128)
    height, width = objects.shape
    circle = objects == objects[round(middle[1] / 100 * height), round(middle[0] / 100 * width)]
    changed = (old[..., :3] != new).any(-1)
    # What is clicked, widened by `grow` and the pixel that its edge is soft over; the ground is blue.
    assert circle.any() and not (changed & ~ndimage.binary_dilation(circle, iterations=18)).any()
    assert (new[circle][:, 2].astype(int) - new[circle][:, 0] > 60).all()
    view.wait_for_function(f"({OVER})([45, 70])[3] > 0")  # what was found, beside its mark
    assert page.evaluate(OVER, [15, 90])[3] == 0

    choose(page, page.evaluate("app.rootGraph.nodes[0].id"), "image", "star.png")
    status = view.locator(".isi-pick .isi-frame-status:visible")
    expect(status).to_contain_text("The picture is another one")
    expect_picks(page, Pick("object 1", (middle,)))
    assert page.evaluate(OVER, [45, 70])[3] == 0
    choose(page, page.evaluate("app.rootGraph.nodes[0].id"), "image", "three_objects.png")
    expect(status).to_have_text("1 object · object 1: 1 point")


# ISI Pick in the middle of the window, as the workflow has it.
LOOK = """() => {
  const node = app.rootGraph.nodes.find(each => each.type === "ISI_Pick");
  app.canvas.ds.scale = 1;
  app.canvas.ds.offset = [400 - node.pos[0], 100 - node.pos[1]];
  app.canvas.setDirty(true, true);
}"""


def test_removing_an_object_is_to_open_the_workflow_to_click_and_to_run(page, server):
    page.load(json.loads((WORKFLOWS / "click_remove.json").read_text("utf-8")))
    arrange(page, LOOK)
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


def test_a_picture_that_nodes_made_is_there_after_a_run(page, request):
    """A frame of a clip, say: the page has it from ISI Pick itself."""
    middle = 31 if "nodes2" in request.node.name else 30  # no graph that the server has run before
    first = {"class_type": "ImageFromBatch", "inputs": {"image": ["1", 0], "batch_index": 0, "length": 1}}
    pick = {"class_type": "ISI_Pick", "inputs": GRAPH["2"]["inputs"] | {"image": ["3", 0]}}
    pick["inputs"]["picks"] = f"it: + {middle} 70"
    shown = {
        "4": {"class_type": "MaskToImage", "inputs": {"mask": ["2", 5]}},
        "5": {"class_type": "PreviewImage", "inputs": {"images": ["4", 0]}},
    }
    page.load_api({"1": GRAPH["1"], "2": pick, "3": first, **shown}, "made")
    show(page, "ISI_Pick")
    stage = page.page.locator(STAGE)
    expect(stage.locator("img")).to_be_hidden()
    for run in range(2):
        page.evaluate(WATCH_RUN)
        page.page.locator("[data-testid=queue-button]").click()
        page.page.wait_for_function("window.ended === 'execution_success'")
        expect(stage.locator("img")).to_be_visible()
        expect_picks(page, *[Pick("it", ((middle, 70),)), Pick("object 2", ((80, 20),))][: 1 + run])
        page.page.get_by_role("button", name="+ new").click()
        page.page.mouse.click(*place(page, 80, 20))
        # Each run shows it from another file; it is the same picture.
        expect(page.page.locator(".isi-pick .isi-frame-status:visible")).not_to_contain_text("another")
