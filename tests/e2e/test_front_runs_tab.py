"""The sidebar tab of all runs on disk, in both renderers: listed, searched, opened, compared, gone on from,
renamed and deleted; with the keyboard, and with names and prompts that try to be markup."""

import re

import pytest
from isi.tools.browser import front_end
from playwright.sync_api import expect

from .front import WATCH_RUN, keep_seed, run_graph, serious, write_run
from .test_front_look import BOTH

pytestmark = pytest.mark.usefixtures("faultless")

MANY = 45
MARKUP = "<img src=x onerror='window.hacked = 1'> & <b>bold</b>"
TOGGLE = "() => app.extensionManager.command.execute('Workspace.ToggleSidebarTab.isi-runs')"
LOOPS = "() => app.rootGraph.nodes.filter(node => node.type === 'ISI_Iterate').length"


@pytest.fixture(scope="module", params=BOTH, ids=["canvas", "nodes2"])
def page(request, server, chromium):
    way = "wagtail" if request.param else "kestrel"  # in no prompt of other tests, which share the server
    for number in range(MANY):
        write_run(server.base, f"{way} {number:02}", [(64, 64)] * 2, [f"{way} oak {number}", MARKUP])
    with front_end(chromium, server, nodes2=request.param) as opened:
        opened.way = way
        opened.page.set_default_timeout(60_000)
        yield opened


@pytest.fixture
def tab(page):
    """The opened tab."""
    page.evaluate(TOGGLE)
    yield page.page.locator(".isi-runs")
    page.evaluate(TOGGLE)
    expect(page.page.locator(".isi-runs")).to_have_count(0)


def rows(tab):
    return tab.locator(".isi-runs-open")


def search(tab, words):
    tab.get_by_label("Search in prompts and names").fill(words)


def open_run(tab, name):
    search(tab, name)
    row = tab.locator(".isi-runs-row", has=tab.page.get_by_text(name, exact=True))
    row.locator(".isi-runs-open").click()
    expect(tab.get_by_role("heading", name=name, exact=True)).to_be_focused()


def test_all_runs_are_found_page_by_page_and_text_stays_text(page, tab):
    expect(rows(tab).first).to_be_visible()
    search(tab, page.way)
    expect(tab.get_by_role("status")).to_have_text(f"{MANY} runs found")
    for _ in range(4):
        rows(tab).last.scroll_into_view_if_needed()
        page.page.wait_for_timeout(200)
    expect(rows(tab)).to_have_count(MANY)
    names = tab.locator(".isi-runs-name").all_text_contents()
    assert names == sorted(names, reverse=True)
    search(tab, f"BOLD {page.way} oak 17")
    expect(rows(tab)).to_have_count(1)
    expect(rows(tab)).to_contain_text(re.compile("2 iterations · 64 × 64 · .* bytes"))
    expect(tab.locator(".isi-runs-pictures img")).to_have_count(2)
    rows(tab).click()
    expect(tab.locator(".isi-cell")).to_have_count(2)
    assert tab.locator(".isi-cell").nth(1).get_attribute("title") == f"2. {MARKUP}"
    assert page.evaluate("window.hacked") is None
    tab.get_by_role("button", name="All runs").click()
    search(tab, "no such words")
    expect(tab.get_by_role("status")).to_contain_text("No run has these words")


def test_axe_has_nothing_serious_against_it(page, tab):
    expect(rows(tab).first).to_be_visible()
    assert serious(page.page, ".isi-runs") == []
    open_run(tab, f"{page.way} 17")
    expect(tab.locator(".isi-cell").first).to_be_visible()
    assert serious(page.page, ".isi-runs") == []


def test_without_runs_it_says_what_to_do(page, server):
    runs, away = server.base / "user/isi/runs", server.base / "user/isi/away"
    runs.rename(away)
    try:
        page.evaluate(TOGGLE)
        tab = page.page.locator(".isi-runs")
        expect(tab.get_by_role("status")).to_contain_text("Queue a graph with ISI Script and ISI Iterate")
        expect(rows(tab)).to_have_count(0)
        page.evaluate(TOGGLE)
    finally:
        away.rename(runs)


def test_keys_alone_open_a_run_and_come_back_to_its_row(page, tab):
    search(tab, f"{page.way} 4")
    expect(tab.get_by_role("status")).to_contain_text("found")
    expect(rows(tab).first).to_contain_text(f"{page.way} 44")
    page.page.keyboard.press("Tab")
    expect(rows(tab).first).to_be_focused()
    page.page.keyboard.press("ArrowDown")
    page.page.keyboard.press("Tab")
    expect(tab.get_by_role("button", name=f"What to do with {page.way} 43")).to_be_focused()
    page.page.keyboard.press("Shift+Tab")
    page.page.keyboard.press("Shift+F10")
    expect(page.page.get_by_role("menuitem", name="Open")).to_be_focused()
    page.page.keyboard.press("Enter")
    expect(tab.get_by_role("heading", name=f"{page.way} 43")).to_be_focused()
    page.page.keyboard.press("Shift+Tab")
    page.page.keyboard.press("Enter")
    expect(rows(tab).nth(1)).to_be_focused()


@pytest.mark.parametrize("button", ["isi-runs-open", "isi-runs-menu"])
def test_a_list_that_is_drawn_anew_leaves_the_focus_where_it_is(page, tab, button):
    """Also on a button that was focused by a click, of a row that Tab does not go to."""
    search(tab, f"{page.way} 4")
    expect(rows(tab).first).to_contain_text(f"{page.way} 44")
    focused = tab.locator(f".isi-runs-row[data-run='{page.way} 42'] .{button}")
    focused.focus()
    page.evaluate("run => document.querySelector(`[data-run='${run}']`).dataset.state = ''", f"{page.way} 42")
    with page.page.expect_response("**/isi/runs?*"):
        page.evaluate("() => app.api.dispatchCustomEvent('execution_success', {})")
    expect(tab.locator(".isi-runs-row[data-state='']")).to_have_count(0)  # the row was made anew
    expect(focused).to_be_focused()


def test_two_iterations_of_two_runs_are_compared(page, tab):
    for name, cell in ((f"{page.way} 01", 1), (f"{page.way} 02", 0)):
        open_run(tab, name)
        if cell:
            tab.locator(".isi-cell").nth(cell).click(button="right")
            page.page.get_by_role("menuitem", name="Compare with another one").click()
            expect(tab.locator(".isi-runs-kept")).to_contain_text(f"{page.way} 01 · 2")
            tab.get_by_role("button", name="All runs").click()
    tab.locator(".isi-cell").first.click()
    dialog = page.page.locator("dialog.isi-viewer")
    under, over = dialog.locator(".isi-viewer-picture").all()
    expect(under).to_be_visible()
    for picture, name in ((under, f"{page.way}+01&"), (over, f"{page.way}+02&")):
        assert name in picture.get_attribute("src").replace("%20", "+")
    dialog.get_by_role("button", name="Star").click()
    page.page.keyboard.press("Escape")
    expect(tab.locator(".isi-cell").first).to_have_attribute("data-mark", "starred")
    tab.get_by_role("button", name="Compare with it no more").click()
    expect(tab.locator(".isi-runs-kept")).to_be_hidden()
    tab.get_by_role("button", name="All runs").click()
    expect(rows(tab)).to_contain_text("★ 1")


def test_a_run_is_made_opened_and_gone_on_from_in_its_own_graph(page, tab):
    name = f"{page.way} made"
    page.load_api(run_graph(name), "made")
    keep_seed(page)
    page.evaluate(WATCH_RUN)
    page.page.locator("[data-testid=queue-button]").click()
    page.page.wait_for_function("window.ended", timeout=240_000)
    expect(rows(tab).first).to_contain_text(name)  # without a reload
    expect(rows(tab).first).to_contain_text("3 iterations")
    page.evaluate("() => app.rootGraph.clear()")
    open_run(tab, name)
    expect(tab.get_by_role("region", name="Plan")).to_contain_text(re.compile(r"^#.*\n1 .*red\n2 .*<b>green"))
    tab.get_by_role("button", name="Load its graph").click()
    page.page.wait_for_function(f"({LOOPS})() === 1")
    prompt = page.prompt()
    assert {one["class_type"] for one in prompt.values()} == {
        "ISI_MiniCheckpoint",
        "ISI_Script",
        "ISI_Iterate",
    }
    page.evaluate("() => app.rootGraph.clear()")
    tab.locator(".isi-cell").nth(1).click(button="right")
    page.page.get_by_role("menuitem", name="Continue from here").click()
    page.page.wait_for_function(f"({LOOPS})() === 2")
    (opened,) = [one["inputs"] for one in page.prompt().values() if one["class_type"] == "ISI_OpenRun"]
    assert (opened["run_name"], opened["iteration"]) == (name, 2) and len(opened["key"]) == 32


def test_a_run_is_renamed_and_deleted_when_the_user_is_sure(page, tab, server):
    name, new = f"{page.way} 30", f"{page.way} renamed"
    output = server.base / "output" / "isi"
    open_run(tab, name)
    tab.get_by_role("button", name="Rename").click()
    asked = page.page.get_by_role("dialog")
    asked.get_by_role("textbox").fill("../out")
    page.page.keyboard.press("Enter")
    expect(page.page.get_by_text("can't be used: expected a folder name").last).to_be_visible()
    tab.get_by_role("button", name="Rename").click()
    asked.get_by_role("textbox").fill(new)
    page.page.keyboard.press("Enter")
    search(tab, new)
    expect(rows(tab)).to_have_count(1)
    assert not (output / name).exists() and len(list((output / new).iterdir())) == 2
    delete = tab.get_by_role("button", name=f"What to do with {new}")
    delete.click()
    page.page.get_by_role("menuitem", name="Delete").click()
    expect(asked).to_contain_text(f"Delete the run {new}?")
    expect(asked).to_contain_text(re.compile(r"This gives back \d+ bytes|This gives back [\d.]+ kB"))
    page.page.keyboard.press("Escape")
    expect(asked).to_have_count(0)
    assert (output / new).exists()
    delete.click()
    page.page.get_by_role("menuitem", name="Delete").click()
    asked.get_by_role("button", name="Delete").click()
    expect(rows(tab)).to_have_count(0)
    assert not (output / new).exists() and not (server.base / f"user/isi/runs/{new}.json").exists()
    assert server.get("/isi/runs?words=renamed")["total"] == 0
