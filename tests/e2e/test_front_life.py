"""What the page's widgets survive, in both renderers: reloads, deleting and undo in the middle of a run,
copies, subgraphs, runs and pictures that are gone or odd, text that wants to be markup. And they leave
nothing behind."""

import re

import pytest
from isi.tools.browser import front_end
from playwright.sync_api import expect

from .front import WATCH_RUN, keep_seed, open_strip, run_graph, show, write_run

pytestmark = pytest.mark.usefixtures("faultless")

ATTACK = "<img src=x onerror='window.hacked=1'><script>window.hacked=1</script>"
LONG = 100_000
STEPS = 12
SCRIPT = "red; green; blue; red *9"
SIZES = [(1, 1), (16_384, 2), (2, 4000)]

# Notes what the pack's own scripts begin and end, from now on. Objects that die with a node need no end.
COUNT = """() => {
  const counts = window.counts = {};
  const ours = () => new Error().stack.includes("/extensions/isi-nodes/");
  const note = (what, by) => { if (ours()) counts[what] = (counts[what] ?? 0) + by; };
  const watched = [app.api, document, window, app.canvas.canvas];
  const wrap = (owner, name, seen) => {
    const plain = owner[name];
    owner[name] = function (...given) { seen.apply(this, given); return plain.apply(this, given); };
  };
  for (const [name, by] of [["addEventListener", 1], ["removeEventListener", -1]])
    wrap(EventTarget.prototype, name, function (type) {
      if (watched.includes(this)) note(`listener ${type}`, by);
    });
  for (const watch of [ResizeObserver, MutationObserver, IntersectionObserver]) {
    wrap(watch.prototype, "observe", () => note(watch.name, 1));
    wrap(watch.prototype, "disconnect", () => note(watch.name, -1));
  }
  wrap(window, "setInterval", () => note("interval", 1));
  wrap(window, "clearInterval", () => note("interval", -1));
  wrap(URL, "createObjectURL", () => note("object URL", 1));
  wrap(URL, "revokeObjectURL", () => note("object URL", -1));
}"""


@pytest.fixture(scope="module", params=[False, True], ids=["canvas", "nodes2"])
def page(request, server, chromium):
    with front_end(chromium, server, nodes2=request.param) as opened:
        opened.name = "nodes2" if request.param else "canvas"
        opened.page.set_default_timeout(90_000)
        yield opened


@pytest.fixture(scope="module")
def graph(page):
    """The UI form of a small run, not yet queued."""
    page.load_api(run_graph(f"life-{page.name}", script=SCRIPT), "life")
    keep_seed(page)
    return page.serialize()


@pytest.fixture(scope="module")
def odd(server):
    """A run of pictures of odd sizes whose labels want to be markup."""
    return write_run(server.base, "odd", SIZES, [ATTACK] * len(SIZES))


def viewer(page):
    return page.page.locator("dialog.isi-viewer")


def status(page):
    return page.page.locator(".isi-strip-status")


def cells(page):
    return page.page.locator(".isi-cell")


def undo(page):
    page.page.locator("canvas#graph-canvas").focus()
    page.page.keyboard.press("Control+z")


def remembered(page, text):
    """Waits until the page has put its open graph, with `text` in it, where a reload finds it."""
    page.page.wait_for_function(
        "text => Object.values({ ...localStorage }).some(kept => kept.replaceAll('\\\\', '').includes(text))",
        arg=text,
    )


def shown(page):
    """How many iterations the strip holds."""
    return page.evaluate(
        "() => app.canvas.graph.nodes.flatMap(node => node.widgets ?? [])"
        ".find(each => each.runView)?.runView.length"
    )


@pytest.mark.newest
def test_a_run_goes_on_through_delete_undo_and_reload(page, graph):
    page.load(graph)
    show(page)
    page.page.locator("[data-testid=queue-button]").click()
    cells(page).nth(1).click()
    expect(viewer(page)).to_be_visible()
    page.evaluate(
        "() => { app.canvas.selectNode(app.canvas.graph.nodes.find(node => node.type === 'ISI_Iterate'));"
        " app.canvas.deleteSelected(); }"
    )
    expect(viewer(page)).to_have_count(0)
    expect(cells(page)).to_have_count(0)
    # An undo within half a second of a deletion never reaches the page's draft (without us neither), and F5
    # then brings the graph without the node.
    page.page.wait_for_timeout(700)
    undo(page)
    expect(cells(page).nth(1)).to_be_visible()
    remembered(page, f'"isi_run":"life-{page.name}"')
    page.reload()
    show(page)
    expect(status(page)).to_contain_text(re.compile("^12 (of 12 )?iterations"))
    assert shown(page) == STEPS


def test_a_reload_of_the_page_brings_back_text_and_strip(page, graph, odd):
    open_strip(page, graph, "odd")
    text = page.page.locator(".isi-script-text")
    text.fill("{oil} typed; before")
    page.page.mouse.click(1200, 900)  # the page notes what was typed at the next click
    remembered(page, "typed; before")
    page.reload()
    show(page)
    expect(cells(page)).to_have_count(len(SIZES))
    expect(text).to_have_value("{oil} typed; before")
    expect(page.page.locator(".isi-script-count")).to_have_text("2 iterations")


def test_a_copy_has_text_and_strip_of_its_own(page, graph, odd):
    open_strip(page, graph, "odd")
    expect(cells(page)).to_have_count(len(SIZES))
    page.page.locator("canvas#graph-canvas").focus()
    for keys in ("Control+a", "Control+c", "Control+v"):
        page.page.keyboard.press(keys)
    expect(page.page.locator(".isi-strip")).to_have_count(2)
    expect(cells(page)).to_have_count(2 * len(SIZES))
    page.page.locator(".isi-script-text").last.fill("the copy")
    scripts = [node["inputs"]["script"] for node in page.prompt().values() if "script" in node["inputs"]]
    assert sorted(scripts) == [SCRIPT, "the copy"]


@pytest.mark.newest
def test_strip_and_editor_work_inside_a_subgraph(page, graph):
    page.load(graph)
    page.evaluate(
        "() => { const kept = app.rootGraph.nodes.filter(node => node.type !== 'ISI_MiniCheckpoint');"
        " const { node } = app.rootGraph.convertToSubgraph(new Set(kept));"
        " app.canvas.openSubgraph(node.subgraph, node); }"
    )
    show(page, "ISI_Script")
    # Nodes 2.0 shows the field of the node that is gone for two frames more: nobody types there so fast.
    page.page.locator(".isi-script:not([data-isi-ended]) .isi-script-text").fill("red; green")
    show(page)
    page.evaluate(WATCH_RUN)
    page.page.locator("[data-testid=queue-button]").click()
    page.page.wait_for_function("window.ended", timeout=120_000)
    expect(cells(page)).to_have_count(2)
    page.evaluate("() => app.canvas.setGraph(app.rootGraph)")
    expect(page.page.locator(".isi-strip:visible")).to_have_count(0)
    scripts = [node["inputs"].get("script") for node in page.prompt().values()]
    assert "red; green" in scripts


def test_a_promoted_script_is_what_the_run_gets(page, graph):
    """ComfyUI draws no promoted field of an extension; its value still is the subgraph's own."""
    page.load(graph)
    page.evaluate(
        "() => { const kept = app.rootGraph.nodes.filter(node => node.type !== 'ISI_MiniCheckpoint');"
        " const { node, subgraph } = app.rootGraph.convertToSubgraph(new Set(kept));"
        " const script = subgraph.nodes.find(each => each.type === 'ISI_Script');"
        " const slot = script.inputs.find(each => each.name === 'script');"
        " subgraph.addInput('script', 'STRING').connect(slot, script);"
        " node.widgets.find(each => each.name === 'script').value = 'promoted; twice'; }"
    )
    page.load(page.serialize())
    scripts = [node["inputs"].get("script") for node in page.prompt().values()]
    assert "promoted; twice" in scripts


def test_odd_pictures_and_labels_that_want_to_be_markup(page, graph, odd):
    strip = open_strip(page, graph, "odd")
    expect(strip.locator("img")).to_have_count(len(SIZES))
    page.page.wait_for_function("[...document.querySelectorAll('.isi-cell img')].every(e => e.naturalWidth)")
    expect(strip.locator(".isi-gone")).to_have_count(0)
    strip.locator(".isi-cell").first.click()
    expect(viewer(page).locator(".isi-viewer-title")).to_contain_text(ATTACK)
    viewer(page).get_by_label("Compare with").select_option("previous")
    for width, height in SIZES:
        page.page.wait_for_function(
            "size => { const [under, over] = document.querySelectorAll('.isi-viewer-picture');"
            " return under.complete && over.naturalWidth === size[0] && over.naturalHeight === size[1]; }",
            arg=[width, height],
        )
        viewer(page).get_by_label("Next iteration").click(force=True)
    page.page.keyboard.press("Escape")
    strip = open_strip(page, graph, ATTACK)
    expect(status(page)).to_contain_text(ATTACK)
    assert page.page.locator("img[onerror], .isi-strip script, .isi-viewer script").count() == 0
    assert page.evaluate("window.hacked ?? null") is None


def test_a_picture_that_is_gone_is_said_and_the_others_stay(page, server, graph):
    folder = write_run(server.base, f"gone-{page.name}", [(8, 8)] * 3)
    strip = open_strip(page, graph, f"gone-{page.name}")
    expect(strip.locator(".isi-cell")).to_have_count(3)
    (folder / "0002-00000001.png").unlink()
    strip.locator(".isi-cell").nth(1).click()
    expect(viewer(page).locator(".isi-viewer-gone")).to_be_visible()
    expect(viewer(page).locator(".isi-viewer-picture").nth(1)).to_be_hidden()
    page.page.keyboard.press("ArrowRight")
    expect(viewer(page).locator(".isi-viewer-gone")).to_be_hidden()
    expect(viewer(page).locator(".isi-viewer-picture").nth(1)).to_be_visible()
    page.page.keyboard.press("Escape")


def test_a_script_of_100_kB_is_pasted_and_edited(page, graph):
    page.load(graph)
    show(page, "ISI_Script")
    text = page.page.locator(".isi-script-text")
    verdict = page.page.locator(".isi-script-verdict")
    for piece, said in (("(", "Line 1, column 100,0"), ("a red boat; ", "8,334 iterations")):
        pasted = piece * (LONG // len(piece) + 1)
        text.fill("")
        text.focus()
        page.page.keyboard.insert_text(pasted)
        expect(verdict).to_contain_text(said)
        assert text.input_value() == pasted
        layer = page.page.locator(".isi-script-layer").first
        assert layer.text_content() == pasted + "\n"
        assert layer.locator("span").count() <= 4000
    text.press("Control+Home")
    page.page.keyboard.insert_text("first; ")
    expect(verdict).to_contain_text("8,335 iterations")
    assert page.prompt()["2"]["inputs"]["script"] == "first; " + pasted


def test_right_click_looks_at_the_iterations_and_continues(page, graph, odd):
    strip = open_strip(page, graph, "odd")
    expect(strip.locator(".isi-cell")).to_have_count(len(SIZES))
    for entry in ("ISI: Look at the iterations", "ISI: Continue from the last iteration"):
        at = page.evaluate(
            "() => { const { pos } = app.canvas.graph.nodes.find(node => node.type === 'ISI_Iterate');"
            " return app.canvasPosToClientPos([pos[0] + 150, pos[1] - 15]); }"
        )
        page.page.mouse.click(*at, button="right")
        page.page.get_by_text(entry, exact=True).click()
        if "Look" in entry:
            expect(viewer(page).locator(".isi-viewer-title")).to_contain_text("3 / 3")
            page.page.keyboard.press("Escape")
    added = [node["inputs"] for node in page.prompt().values() if node["class_type"] == "ISI_OpenRun"]
    assert [(each["run_name"], each["iteration"]) for each in added] == [("odd", 3)]


def test_nothing_is_left_of_a_node_that_is_gone(page, graph, odd):
    page.load({**graph, "nodes": [], "links": []})
    page.evaluate(COUNT)
    counts = page.evaluate(
        """async () => {
          const types = Object.keys(LiteGraph.registered_node_types).filter(type => type.startsWith("ISI_"));
          for (const type of types) {
            const node = LiteGraph.createNode(type);
            if (type === "ISI_Iterate") node.properties.isi_run = "odd";
            app.rootGraph.add(node);
            for (let n = 0; n < 3; n++) await new Promise(requestAnimationFrame);
            app.rootGraph.remove(node);
          }
          for (let n = 0; n < 5; n++) await new Promise(requestAnimationFrame);
          return counts;
        }"""
    )
    assert counts["listener isi.iteration"] == 0  # it was counted
    assert set(counts.values()) == {0}, counts


def test_iterations_that_were_missed_come_in_with_the_next_one(page, graph, odd):
    strip = open_strip(page, graph, "")
    page.evaluate(
        "detail => app.api.dispatchCustomEvent('isi.iteration', detail)",
        {
            "node": "3", "run": "odd", "iteration": 3, "of": 3, "label": "", "reused": False,
            "picture": {"filename": "0003-00000002.png", "subfolder": "isi/odd", "type": "output"},
        },
    )  # fmt: skip
    expect(strip.locator(".isi-cell")).to_have_count(3)
    numbers = strip.locator(".isi-cell").evaluate_all("all => all.map(each => each.dataset.number)")
    assert sorted(numbers) == ["1", "2", "3"]


def test_the_wheel_scrolls_a_strip_that_can_and_zooms_elsewhere(page, server, graph):
    write_run(server.base, "wheel", [(8, 8)] * 30)
    scale = "() => app.canvas.ds.scale"
    for run, moves in (("wheel", True), ("odd", False)):
        row = open_strip(page, graph, run).locator(".isi-strip-row")
        expect(row.locator(".isi-cell").first).to_be_visible()
        row.evaluate("row => { row.scrollLeft = 0; }")
        row.focus()
        row.hover()
        page.page.mouse.wheel(0, 300)
        if moves:
            page.page.wait_for_function("document.querySelector('.isi-strip-row').scrollLeft >= 300")
            assert page.evaluate(scale) == 1
        else:
            page.page.wait_for_function("app.canvas.ds.scale < 1")
