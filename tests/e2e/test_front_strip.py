"""The film strip of ISI Iterate in the real page, in both renderers: live, after a reload, with the mouse and
with the keyboard, and with a thousand iterations."""

import pytest
from isi.tools.browser import front_end
from playwright.sync_api import expect

from .front import WATCH_RUN, keep_seed, open_strip, run_graph, show, write_run

pytestmark = pytest.mark.usefixtures("faultless")

MANY = 1000


@pytest.fixture(scope="module", params=[False, True], ids=["canvas", "nodes2"])
def page(request, server, chromium):
    with front_end(chromium, server, nodes2=request.param) as opened:
        opened.run_name = f"strip-{'nodes2' if request.param else 'canvas'}"
        opened.page.set_default_timeout(60_000)
        yield opened


@pytest.fixture(scope="module")
def finished(page):
    """The graph of a run that was queued with the button, and what the strip showed after each iteration."""
    page.load_api(run_graph(page.run_name), "strip")
    show(page)
    keep_seed(page)
    page.evaluate(WATCH_RUN)
    page.evaluate(
        "() => { window.seen = [];"
        " app.api.addEventListener('isi.iteration', () => queueMicrotask(() =>"
        "   window.seen.push(document.querySelectorAll('.isi-cell').length))); }"
    )
    page.page.locator("[data-testid=queue-button]").click()
    page.page.wait_for_function("window.ended", timeout=120_000)
    assert page.evaluate("window.ended") == "execution_success"
    return page.serialize()


def dialog(page):
    return page.page.locator("dialog.isi-viewer")


def test_each_iteration_appears_when_it_is_finished(page, finished):
    assert page.evaluate("window.seen") == [1, 2, 3]
    cells = page.page.locator(".isi-cell")
    page.page.wait_for_function(
        "[...document.querySelectorAll('.isi-cell img')].filter(e => e.naturalWidth === 64).length === 3"
    )
    assert cells.evaluate_all("all => all.map(e => e.title)") == ["1. red", "2. <b>green</b>", "3. blue"]
    expect(page.page.locator(".isi-strip-status")).to_contain_text("3 iterations in")


def test_comes_back_when_the_graph_is_opened_again(page, finished):
    strip = open_strip(page, finished, page.run_name)
    expect(strip.locator(".isi-cell")).to_have_count(3, timeout=30_000)
    expect(strip.locator(".isi-strip-status")).to_contain_text(f"3 of 3 iterations · {page.run_name}")


def test_shows_a_run_that_the_host_had_already(page, finished):
    strip = open_strip(page, finished, "")
    expect(strip.locator(".isi-strip-status")).to_contain_text("Each iteration appears here", timeout=30_000)
    page.page.locator("[data-testid=queue-button]").click()
    expect(strip.locator(".isi-cell")).to_have_count(3, timeout=60_000)


def test_a_run_that_was_deleted_is_said(page, finished):
    strip = open_strip(page, finished, "deleted-long-ago")
    wanted = "There are no pictures of the run 'deleted-long-ago' any more: queue it again."
    expect(strip.locator(".isi-strip-status")).to_have_text(wanted, timeout=30_000)
    assert strip.locator(".isi-cell").count() == 0


@pytest.mark.newest
def test_enlarges_steps_and_compares_with_mouse_and_keyboard(page, finished):
    strip = open_strip(page, finished, page.run_name)
    strip.locator(".isi-cell").first.click()
    title = dialog(page).locator(".isi-viewer-title")
    expect(title).to_have_text("1 / 3  red")
    for key, text in (("ArrowRight", "2 / 3  <b>green</b>"), ("End", "3 / 3  blue"), ("Home", "1 / 3  red")):
        page.page.keyboard.press(key)
        expect(title).to_have_text(text)
    dialog(page).get_by_label("Next iteration").click()
    expect(title).to_have_text("2 / 3  <b>green</b>")
    dialog(page).get_by_label("Compare with").select_option("previous")
    slider = dialog(page).locator("input[type=range]")
    slider.focus()
    slider.press("Home")
    stage = dialog(page).locator(".isi-viewer-stage")
    assert stage.evaluate("e => e.style.getPropertyValue('--isi-cut')") == "0%"
    box = stage.bounding_box()
    page.page.mouse.move(box["x"] + 5, box["y"] + 50)
    page.page.mouse.down()
    page.page.mouse.move(box["x"] + box["width"] * 0.75, box["y"] + 50)
    page.page.mouse.up()
    assert float(slider.input_value()) == pytest.approx(75, abs=1)
    page.page.keyboard.press("Escape")
    expect(dialog(page)).to_have_count(0)
    strip.locator(".isi-strip-row").focus()
    page.page.keyboard.press("End")
    page.page.keyboard.press("ArrowLeft")
    page.page.keyboard.press("Enter")
    expect(title).to_have_text("2 / 3  <b>green</b>")
    page.page.keyboard.press("Escape")
    expect(dialog(page)).to_have_count(0)


def test_continues_from_an_iteration_and_that_can_be_undone(page, finished):
    strip = open_strip(page, finished, page.run_name)
    strip.locator(".isi-cell").nth(1).click()
    dialog(page).get_by_text("Continue from here").click()
    added = [node for node in page.prompt().values() if node["class_type"] == "ISI_OpenRun"]
    opened = [(node["inputs"]["run_name"], node["inputs"]["iteration"]) for node in added]
    assert opened == [(page.run_name, 2)]
    page.evaluate(
        "async () => { for (let n = 0; n < 20; n++) await new Promise(requestAnimationFrame); }"
    )  # Nodes 2.0 measures the new node meanwhile, which is no step of its own to undo
    page.page.locator("canvas#graph-canvas").focus()
    page.page.keyboard.press("Control+z")
    page.page.wait_for_function("!app.rootGraph.nodes.some(node => node.type === 'ISI_OpenRun')")
    expect(strip.locator(".isi-cell")).to_have_count(3, timeout=30_000)


@pytest.fixture(scope="module")
def many(server):
    """A run of a thousand iterations, as a finished one lies on disk."""
    return write_run(server.base, "many", [(8, 8)] * MANY)


def test_a_thousand_iterations_are_few_elements(page, finished, many):
    strip = open_strip(page, finished, "many")
    expect(strip.locator(".isi-strip-status")).to_contain_text("1,000 of 1,000", timeout=30_000)
    row = strip.locator(".isi-strip-row")
    (many / "0500-000001f3.png").rename(many / "gone.png")
    most = row.evaluate(
        "async row => { const frame = () => new Promise(requestAnimationFrame); let most = 0;"
        " for (let at = 0; at <= row.scrollWidth; at += 12000) {"
        " row.scrollLeft = at; await frame(); await frame();"
        " most = Math.max(most, row.closest('.isi-strip').querySelectorAll('*').length); } return most; }"
    )
    assert 10 < most <= 60
    widest = page.evaluate(
        "async () => { const node = app.rootGraph.nodes.find(node => node.type === 'ISI_Iterate');"
        " node.setSize([6000, node.size[1]]); app.canvas.setDirty(true, true);"
        " for (let n = 0; n < 10; n++) await new Promise(requestAnimationFrame);"
        " const strip = document.querySelector('.isi-strip');"
        " return [strip.offsetWidth, strip.querySelectorAll('*').length]; }"
    )
    assert widest[0] > 5000 and widest[1] <= 60
    show(page)
    page.page.wait_for_function("document.querySelector('.isi-strip').offsetWidth < 1000")
    row.evaluate("row => { row.scrollLeft = row.scrollWidth; }")
    expect(strip.locator("[data-number='1000']")).to_be_visible(timeout=30_000)
    row.evaluate("row => { row.scrollLeft = 499 * row.scrollWidth / 1000; }")
    expect(strip.locator("[data-number='500'].isi-gone")).to_be_visible(timeout=30_000)
    strip = open_strip(page, finished, "many")  # a picture that was missed before it was shown
    expect(strip.locator(".isi-strip-status")).to_contain_text("999 of 1,000", timeout=30_000)
    (many / "gone.png").rename(many / "0500-000001f3.png")
