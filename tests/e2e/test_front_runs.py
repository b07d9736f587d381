"""What a run leaves in the page, in both renderers: the strip of its own workflow alone, through F5 and
Ctrl+Z; going on from an iteration, doing it again, stars, versions, the viewer, pictures that are dragged."""

import json
import re

import pytest
from isi.tools.browser import front_end
from playwright.sync_api import expect

from .front import WATCH_RUN, arrange, keep_seed, run_graph, show

pytestmark = pytest.mark.usefixtures("faultless")

ARRANGE = """() => {
  const places = { ISI_MiniCheckpoint: [0, 0], ISI_Script: [320, 0], ISI_Iterate: [800, 0] };
  for (const node of app.rootGraph.nodes) node.pos = places[node.type];
  app.rootGraph.nodes.find(node => node.type === "ISI_Iterate").setSize([420, 400]);
  app.canvas.ds.scale = 0.8;
  app.canvas.ds.offset = [120, 160];
  app.canvas.setDirty(true, true);
}"""
# Counts what the browser's own undo does to a text that has no focus.
NATIVE_UNDO = """() => {
  window.undone = 0;
  document.addEventListener("input", event => { window.undone += event.inputType === "historyUndo"; }, true);
}"""
SETTLE = "async () => { for (let n = 0; n < 30; n++) await new Promise(requestAnimationFrame); }"
# The places of all nodes as they are drawn, titles included, in pixels of the window.
BOXES = """() => app.canvas.graph.nodes.map(node => {
  const drawn = document.querySelector(`[data-node-id="${node.id}"]`)?.getBoundingClientRect();
  if (drawn) return [node.type, drawn.left, drawn.top, drawn.right, drawn.bottom];
  const [x, y] = app.canvasPosToClientPos([node.pos[0], node.pos[1] - 30]);
  const { scale } = app.canvas.ds;
  return [node.type, x, y, x + node.size[0] * scale, y + (node.size[1] + 30) * scale];
})"""
SWITCH = "which => app.extensionManager.command.execute(`Workspace.${which}OpenedWorkflow`)"
STATE = "() => app.canvas.graph.nodes.find(node => node.type === 'ISI_Iterate')"


BOTH = [False, pytest.param(True, marks=pytest.mark.newest)]


@pytest.fixture(scope="module", params=BOTH, ids=["canvas", "nodes2"])
def page(request, server, chromium):
    with front_end(chromium, server, nodes2=request.param) as opened:
        opened.run_name = f"runs-{'nodes2' if request.param else 'canvas'}"
        opened.page.set_default_timeout(90_000)
        yield opened


@pytest.fixture(scope="module")
def finished(page):
    """The graph of a run without a name, in its UI form as it was queued, and the name that the run got."""
    page.load_api(run_graph(""), "runs")
    keep_seed(page)
    arrange(page, ARRANGE)
    graph = page.serialize()
    return graph, run(page)


def run(page):
    """Queues the open graph with the button, waits for its end, returns the name of its run."""
    page.evaluate(WATCH_RUN)
    page.page.locator("[data-testid=queue-button]").click()
    page.page.wait_for_function("window.ended", timeout=240_000)
    assert page.evaluate("window.ended") == "execution_success"
    expect(status(page)).to_contain_text("iterations")
    page.page.wait_for_function(f"({STATE})().properties.isi_run")
    return page.evaluate(f"({STATE})().properties.isi_run")


def open_it(page, graph):
    """Opens the graph as a new workflow and shows its strip."""
    page.load(graph)
    arrange(page, ARRANGE)


def status(page):
    return page.page.locator(".isi-strip-status").first


def cells(page):
    return page.page.locator(".isi-strip").first.locator(".isi-cell")


def dialog(page):
    return page.page.locator("dialog.isi-viewer")


def menu(page, index, entry):
    cells(page).nth(index).click(button="right")
    page.page.get_by_role("menuitem", name=entry, exact=True).click()


def with_run(graph, name):
    graph = json.loads(json.dumps(graph))
    next(node for node in graph["nodes"] if node["type"] == "ISI_Iterate")["properties"]["isi_run"] = name
    return graph


def test_a_run_stays_in_its_own_workflow(page, finished):
    """The same template in two tabs: the same ids of graph and nodes."""
    graph, name = finished
    graph = json.loads(json.dumps(graph))
    script = next(node for node in graph["nodes"] if node["type"] == "ISI_Script")
    script["widgets_values"][0] = f"red {page.run_name} *5"
    open_it(page, graph)
    open_it(page, graph)
    expect(status(page)).to_contain_text("Each iteration appears here")
    page.evaluate(WATCH_RUN)
    page.page.locator("[data-testid=queue-button]").click()
    expect(cells(page).first).to_be_visible()
    page.evaluate(SWITCH, "Previous")
    expect(status(page)).to_contain_text("Each iteration appears here")
    page.page.wait_for_function("window.ended", timeout=240_000)
    page.evaluate(SETTLE)
    expect(status(page)).to_contain_text("Each iteration appears here")
    assert cells(page).count() == 0
    assert page.evaluate(f"({STATE})().properties.isi_run ?? null") is None
    page.evaluate(SWITCH, "Next")
    expect(status(page)).to_contain_text("5 of 5 iterations")


def test_undo_after_a_run_undoes_the_last_edit_and_the_strip_stays(page, finished):
    graph, name = finished
    open_it(page, graph)
    text = page.page.locator(".isi-script-text")
    text.fill(f"red; <b>green</b>; yellow {page.run_name}")
    page.page.mouse.click(1200, 900)  # the page notes what was typed at the next click
    run(page)
    page.evaluate(SETTLE)
    page.page.mouse.click(1200, 900)
    page.page.locator("canvas#graph-canvas").focus()
    page.evaluate(NATIVE_UNDO)
    page.page.keyboard.press("Control+z")
    expect(text).to_have_value("red; <b>green</b>; blue")
    assert page.evaluate("window.undone") == 0
    expect(cells(page)).to_have_count(3)
    expect(cells(page).nth(2)).to_have_attribute("title", f"3. yellow {page.run_name}")


def test_a_reload_right_after_a_run_keeps_the_strip(page, finished):
    graph, name = finished
    open_it(page, graph)
    page.page.wait_for_timeout(1500)  # the page keeps a draft of what is open a moment after it was opened
    assert run(page) == name
    page.reload()
    arrange(page, ARRANGE)
    expect(status(page)).to_contain_text(f"3 of 3 iterations · {name}")


def test_says_how_many_were_reused(page, finished):
    graph, name = finished
    open_it(page, graph)
    text = page.page.locator(".isi-script-text")
    text.fill(f"red; <b>green</b>; orange {page.run_name}")
    run(page)
    expect(status(page)).to_have_text(re.compile(r"^3 iterations in \d+:\d\d · 2 reused$"))


def test_says_why_a_run_was_made_again(page, finished):
    graph, name = finished
    graph = json.loads(json.dumps(graph))
    loop = next(node for node in graph["nodes"] if node["type"] == "ISI_Iterate")
    for negative in ("grey", "pale"):
        loop["widgets_values"][0] = f"{negative} {page.run_name}"
        open_it(page, graph)
        run(page)
    why = f"negative: grey {page.run_name} -> pale {page.run_name}"
    expect(status(page)).to_contain_text(f"made again, since this changed: {why}")
    page.load(page.serialize())
    arrange(page, ARRANGE)
    expect(status(page)).to_contain_text("3 of 3 iterations")
    expect(status(page)).to_have_attribute("title", re.compile(re.escape(why)))


def test_continuing_is_a_connected_loop_in_sight_on_that_iteration(page, finished):
    graph, name = finished
    open_it(page, with_run(graph, name))
    expect(cells(page)).to_have_count(3)
    before = page.prompt()
    menu(page, 0, "Continue from here")
    page.page.wait_for_function("app.rootGraph.nodes.length === 6")
    page.evaluate(SETTLE)
    page.page.locator("canvas#graph-canvas").focus()
    page.page.keyboard.press("Control+z")
    page.page.wait_for_function("app.rootGraph.nodes.length === 3")
    expect(cells(page)).to_have_count(3)
    cells(page).nth(1).click()
    dialog(page).get_by_text("Continue from here").click()
    page.page.wait_for_function("app.rootGraph.nodes.length === 6")
    area = "document.activeElement?.className === 'isi-script-text'"
    page.page.wait_for_function(area)
    page.page.keyboard.type("a boat")
    after = page.prompt()
    made = {after[key]["class_type"]: (key, after[key]["inputs"]) for key in after.keys() - before.keys()}
    opened, script, loop = (made[f"ISI_{kind}"] for kind in ("OpenRun", "Script", "Iterate"))
    first = before["3"]["inputs"]
    assert (opened[1]["run_name"], opened[1]["iteration"]) == (name, 2)
    assert re.fullmatch("[0-9a-f]{32}", opened[1]["key"])
    assert script[1]["script"] == "a boat" and script[1]["steps"] == 2 and script[1]["seed"] == 3 + 2
    assert loop[1] == {**first, "plan": [script[0], 0], "image": [opened[0], 0]}
    page.evaluate(SETTLE)
    boxes = page.evaluate(BOXES)
    for index, (kind, left, top, right, bottom) in enumerate(boxes):
        for other, *box in boxes[:index]:
            apart = left >= box[2] or right <= box[0] or top >= box[3] or bottom <= box[1]
            assert apart, f"{kind} lies on {other}"
    for kind, left, top, right, bottom in boxes[3:]:
        assert left >= 0 and top >= 40 and right <= 1600 and bottom <= 1000, (kind, left, top, right, bottom)


def test_an_edit_of_the_script_leaves_the_bookmark_and_shows_what_was_before(page, server, finished):
    graph, name = finished
    open_it(page, with_run(graph, name))
    expect(cells(page)).to_have_count(3)
    page.page.locator(".isi-script-text").fill("red; violet")
    run(page)
    versions = page.page.get_by_label("Version of the run")
    page.load(page.serialize())
    arrange(page, ARRANGE)
    expect(cells(page)).to_have_count(2)
    expect(versions).to_be_visible()
    labels = versions.locator("option").all_inner_texts()
    assert labels[0] == "now" and all(label.startswith("before the edit, ") for label in labels[1:])
    titles = "all => all.map(each => each.title)"
    seen = []
    for index in range(1, len(labels)):
        versions.select_option(index=index)
        seen.append(cells(page).evaluate_all(titles))
    assert ["1. red", "2. <b>green</b>", "3. blue"] in seen
    versions.select_option("now")
    expect(cells(page)).to_have_count(2)


def test_do_it_again_samples_from_there_once(page, finished):
    graph, name = finished
    open_it(page, with_run(graph, name))
    expect(cells(page)).to_have_count(3)
    page.evaluate(WATCH_RUN)
    page.evaluate(
        "() => { window.reused = []; app.api.addEventListener('isi.iteration', ({ detail }) =>"
        " window.reused.push(detail.reused)); }"
    )
    menu(page, 1, "Do it again from here")
    page.page.wait_for_function("window.ended", timeout=240_000)
    assert page.evaluate("window.reused") == [True, False, False]
    assert page.evaluate(f"({STATE})().widgets.find(each => each.name === 'redo_from').value") == 0
    expect(status(page)).to_have_text(re.compile(r"^3 iterations in \d+:\d\d · 1 reused$"))


def test_stars_and_hidden_ones_stay(page, finished):
    graph, name = finished
    open_it(page, with_run(graph, name))
    expect(cells(page)).to_have_count(3)
    menu(page, 0, "Star")
    expect(cells(page).first).to_have_attribute("data-mark", "starred")
    menu(page, 2, "Hide")
    expect(cells(page)).to_have_count(2)
    open_it(page, with_run(graph, name))
    expect(cells(page)).to_have_count(2)
    expect(cells(page).first).to_have_attribute("data-mark", "starred")
    kept = page.evaluate("localStorage.getItem('isi.marks')")
    page.evaluate("localStorage.removeItem('isi.marks')")  # as in another browser: the server has the stars
    open_it(page, with_run(graph, name))
    expect(cells(page)).to_have_count(3)
    expect(cells(page).first).to_have_attribute("data-mark", "starred")
    page.evaluate("kept => localStorage.setItem('isi.marks', kept)", kept)
    open_it(page, with_run(graph, name))
    page.page.get_by_role("button", name="show 1 hidden").click()
    expect(cells(page)).to_have_count(3)
    menu(page, 2, "Show again")
    cells(page).first.click()
    dialog(page).get_by_role("button", name="Star").click()
    page.page.keyboard.press("Escape")
    expect(cells(page).first).to_have_attribute("data-mark", "")


def test_the_menu_of_a_thumbnail_works_with_the_keyboard(page, finished):
    graph, name = finished
    open_it(page, with_run(graph, name))
    expect(cells(page)).to_have_count(3)
    page.page.locator(".isi-strip-row").first.focus()
    page.page.keyboard.press("End")
    page.page.keyboard.press("Shift+F10")
    items = page.page.get_by_role("menuitem")
    expect(items.first).to_be_focused()
    page.page.keyboard.press("ArrowDown")
    expect(items.nth(1)).to_be_focused()
    page.page.keyboard.press("Escape")
    expect(page.page.locator(".isi-menu")).to_have_count(0)
    expect(cells(page).nth(2)).to_be_focused()


def test_the_viewer_says_how_a_picture_was_made_and_shows_its_pixels(page, finished):
    graph, name = finished
    open_it(page, with_run(graph, name))
    expect(cells(page)).to_have_count(3)
    cells(page).nth(1).click()
    facts = dialog(page).locator(".isi-viewer-facts")
    for text in ("<b>green</b>", "seed 4", "cfg 5", "denoise 0.7", "steps 2", "64 × 64 px", "time"):
        expect(facts).to_contain_text(text)
    picture = dialog(page).locator(".isi-viewer-picture").nth(1)
    assert picture.bounding_box()["width"] > 300
    dialog(page).get_by_role("button", name="own pixels").click()
    assert picture.bounding_box()["width"] == pytest.approx(64, abs=0.5)
    stage = dialog(page).locator(".isi-viewer-stage").bounding_box()
    at = [stage["x"] + stage["width"] / 2, stage["y"] + stage["height"] / 2]
    page.page.mouse.move(*at)
    for _ in range(14):
        page.page.mouse.wheel(0, -100)
    large = picture.bounding_box()
    assert large["width"] > 64 * 8
    page.page.mouse.down()
    page.page.mouse.move(at[0] + 40, at[1] + 25, steps=4)
    page.page.mouse.up()
    moved = picture.bounding_box()
    assert (moved["x"] - large["x"], moved["y"] - large["y"]) == pytest.approx((40, 25), abs=2)
    dialog(page).get_by_label("Compare with").select_option("2")
    under = dialog(page).locator(".isi-viewer-picture").first
    expect(under).to_have_attribute("src", re.compile("0003-"))
    page.page.keyboard.press("Escape")


def test_a_thumbnail_is_dragged_onto_load_image(page, server, finished):
    graph, name = finished
    open_it(page, with_run(graph, name))
    expect(cells(page)).to_have_count(3)
    page.evaluate(
        "() => { const node = LiteGraph.createNode('LoadImage'); node.pos = [1300, 0];"
        " app.rootGraph.add(node); app.canvas.ds.scale = 0.7; app.canvas.setDirty(true, true); }"
    )
    page.evaluate(SETTLE)
    target = page.evaluate(
        "() => app.canvasPosToClientPos(app.rootGraph.nodes.at(-1).pos.map((at, i) => at + [60, 60][i]))"
    )
    # Each version of a run has a file of its own; the one that is shown is dragged.
    dragged = re.search(r"0002-\w+\.png", cells(page).nth(1).locator("img").get_attribute("src"))[0]
    source = cells(page).nth(1).bounding_box()
    page.page.mouse.move(source["x"] + 20, source["y"] + 20)
    page.page.mouse.down()
    page.page.mouse.move(source["x"] + 60, source["y"] + 30, steps=3)
    page.page.mouse.move(*target, steps=6)
    with page.page.expect_response("**/upload/image") as uploaded:
        page.page.mouse.up()
    file = uploaded.value.json()["name"]
    value = "app.rootGraph.nodes.at(-1).widgets.find(each => each.name === 'image').value"
    page.page.wait_for_function(f"name => {value} === name", arg=file)
    original = server.base / "output/isi" / name / dragged
    assert (server.base / "input" / file).read_bytes() == original.read_bytes()


def test_a_dropped_picture_opens_the_strip_at_its_iteration(page, server, finished):
    graph, name = finished
    file = sorted((server.base / "output/isi" / name).glob("0002-*.png"))[0]
    page.load({**graph, "nodes": [], "links": []})
    page.evaluate(
        """async ([name, bytes]) => {
          const file = new File([Uint8Array.from(bytes)], name, { type: "image/png" });
          await app.handleFile(file);
        }""",
        [file.name, list(file.read_bytes())],
    )
    show(page)
    expect(cells(page)).to_have_count(3)
    chosen = page.page.locator(".isi-cell[data-mark~=chosen]")
    expect(chosen).to_have_count(1)
    expect(chosen).to_have_attribute("data-number", "2")


def test_the_strip_is_there_in_app_mode_too(page, finished):
    graph, name = finished
    open_it(page, with_run(graph, name))
    expect(cells(page)).to_have_count(3)
    toggle = "() => app.extensionManager.command.execute('Comfy.ToggleLinear')"
    page.evaluate(toggle)
    in_app = page.page.locator(".isi-app .isi-cell")
    expect(in_app).to_have_count(3)
    in_app.nth(1).click()
    expect(dialog(page)).to_contain_text("2 / 3")
    page.page.keyboard.press("Escape")
    page.evaluate(toggle)
    expect(page.page.locator(".isi-app")).to_have_count(0)
    expect(cells(page)).to_have_count(3)
    expect(cells(page).first).to_be_visible()


def test_the_last_picture_is_shown_once(page, finished):
    graph, name = finished
    graph = json.loads(json.dumps(graph))
    script = next(node for node in graph["nodes"] if node["type"] == "ISI_Script")
    script["widgets_values"][0] = f"red; pink {page.run_name}"
    open_it(page, graph)
    page.evaluate(SETTLE)  # Nodes 2.0 measures a node some frames after it was opened
    height = page.evaluate(f"({STATE})().size[1]")
    run(page)
    page.evaluate(SETTLE)
    expect(cells(page)).to_have_count(2)
    page.page.wait_for_function(f"!({STATE})().imgs?.length")
    assert page.evaluate(f"({STATE})().size[1]") <= height + 180
    assert page.page.locator("[data-node-id='3'] img, .isi-cell img").count() == 2
