"""Candidates in the real page, in both renderers: shown when they are made, chosen by mouse and by key."""

import pytest
from isi.tools.browser import front_end
from playwright.sync_api import expect

from .front import keep_seed, open_strip, run_graph, show

pytestmark = pytest.mark.usefixtures("faultless")


@pytest.fixture(params=[False, True], ids=["canvas", "nodes2"])
def page(request, server, chromium):
    with front_end(chromium, server, nodes2=request.param) as opened:
        opened.run_name = f"asks-{'nodes2' if request.param else 'canvas'}"
        opened.page.set_default_timeout(60_000)
        yield opened


def test_a_click_and_a_key_choose_and_the_run_goes_on(page):
    page.load_api(run_graph(page.run_name, script="red *3?; blue *2?; green"), "candidates")
    show(page)
    keep_seed(page)
    page.page.locator("[data-testid=queue-button]").click()
    strip = page.page.locator(".isi-strip")
    row = strip.locator(".isi-candidates")
    status = strip.locator(".isi-strip-status")
    expect(status).to_have_text("Iteration 1 waits: choose a candidate.")
    expect(row.locator("button")).to_have_count(3)
    page.page.wait_for_function(
        "[...document.querySelectorAll('.isi-candidates img')].every(e => e.naturalWidth === 64)"
    )
    labels = row.locator("button").evaluate_all("all => all.map(e => e.getAttribute('aria-label'))")
    assert labels[0] == "Candidate 1, seed 3" and len(set(labels)) == 3
    expect(strip.locator(".isi-strip-row .isi-cell")).to_have_count(0)
    row.locator("button").nth(2).click()

    expect(status).to_have_text("Iteration 2 waits: choose a candidate.")
    expect(row.locator("button")).to_have_count(2)
    expect(strip.locator(".isi-strip-row .isi-cell")).to_have_count(1)
    # What waits is there again when the page is opened anew.
    strip = open_strip(page, page.serialize(), page.run_name)
    row, status = strip.locator(".isi-candidates"), strip.locator(".isi-strip-status")
    expect(row.locator("button")).to_have_count(2)
    row.locator("button").first.focus()
    page.page.keyboard.press("ArrowRight")
    expect(row.locator("button").nth(1)).to_be_focused()
    page.page.keyboard.press("1")
    expect(strip.locator(".isi-strip-row .isi-cell")).to_have_count(3)
    expect(row).to_be_hidden()

    # Another one, later: from the menu of the iteration.
    strip.locator(".isi-strip-row .isi-cell").nth(1).click(button="right")
    page.page.get_by_role("menuitem", name="Its candidates").click()
    expect(row.locator("button").first).to_have_attribute("aria-pressed", "true")
    before = strip.locator(".isi-strip-row .isi-cell img").nth(2).get_attribute("src")
    row.locator("button").nth(1).click()
    expect(strip.locator(".isi-strip-row .isi-cell")).to_have_count(3)
    expect(strip.locator(".isi-strip-row .isi-cell img").nth(2)).not_to_have_attribute("src", before)
