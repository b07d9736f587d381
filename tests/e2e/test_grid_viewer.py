"""The viewer of a grid, opened from disk: what it shows, its keys, its address, and that text stays text."""

import re

import pytest
from isi.core.grids.viewer import viewer
from PIL import Image
from playwright.sync_api import expect

from .front import serious

EVIL = "</script><img src=x onerror=alert(1)><b>bold</b>"
AXES = [
    {"title": "cfg", "values": ["3", "5", "7"]},
    {"title": EVIL, "values": ["", EVIL]},
    {"title": "model", "values": ["sd/a.safetensors", '눈 "雪" & more']},
    {"title": "seed", "values": ["1", "2"]},
]
CONTRAST = """() => {
  const parse = (text) => text.match(/[\\d.]+/g).map(Number);
  const linear = (v) => (v / 255 <= 0.03928 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4);
  const light = (colour) => colour.slice(0, 3).map(linear)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = (node) => {
    for (; node; node = node.parentElement) {
      const colour = parse(getComputedStyle(node).backgroundColor);
      if (colour.length < 4 || colour[3]) return colour;
    }
  };
  const says = (node) => [...node.childNodes].some((child) => child.nodeType === 3 && child.data.trim());
  return [...document.querySelectorAll("body *")]
    .filter((node) => node.checkVisibility() && says(node))
    .map((node) => {
      const [a, b] = [light(parse(getComputedStyle(node).color)), light(behind(node))].sort((x, y) => y - x);
      return [(a + 0.05) / (b + 0.05), node.tagName + " " + node.textContent.slice(0, 20)];
    });
}"""
UNNAMED = """() => [...document.querySelectorAll("select, input, button, [role=button], [role=group]")]
  .filter((node) => node.checkVisibility())
  .filter((node) => !(node.ariaLabel || node.alt || node.labels?.[0]?.firstChild.textContent.trim()
    || (node.tagName === "BUTTON" && node.textContent.trim())))
  .map((node) => node.outerHTML)"""


def place(cell, axes=AXES):
    """As Python counts: the first axis fastest."""
    at = 0
    for axis, value in reversed(list(zip(axes, cell, strict=True))):
        at = at * len(axis["values"]) + value
    return at


def write(folder, axes=AXES, left_out=(), gone=(), pictures=True):
    """A grid as it lies on disk; the colour of each picture is its place."""
    many = 1
    for axis in axes:
        many *= len(axis["values"])
    keys = [None if at in left_out else f"{at:032x}" for at in range(many)]
    (folder / "cells").mkdir(parents=True)
    for at, key in enumerate(keys):
        if key and at not in gone and pictures:
            Image.new("RGB", (40, 30), (at, 200, 90)).save(folder / "cells" / f"{key}.png")
    page = viewer({"version": 1, "name": f"grid {EVIL}", "axes": axes, "keys": keys})
    (folder / "index.html").write_text(page, "ascii")
    return (folder / "index.html").as_uri()


@pytest.fixture
def opened(chromium):
    """Opens pages and notes what they ask for; each request stays in the grid's folder, and nothing fails."""
    pages, asked, faults = [], [], []

    def load(address):
        page = chromium.new_page(viewport={"width": 1280, "height": 800}, locale="en")
        pages.append(page)
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("dialog", lambda dialog: faults.append(dialog.message))
        page.goto(address)
        load.folder = address.rpartition("/")[0]
        return page

    yield load
    for page in pages:
        page.close()
    assert faults == []
    assert [url for url in asked if not url.startswith((load.folder, "data:,"))] == []


def shown(page):
    """The place of each picture in sight, by its row and column on the screen."""
    cells = page.eval_on_selector_all(
        "img.cell", "all => all.map(e => [e.getBoundingClientRect().y, e.getBoundingClientRect().x, e.src])"
    )
    rows = {}
    for y, _, source in sorted(cells):
        rows.setdefault(y, []).append(int(re.search(r"([0-9a-f]{32})\.png$", source)[1], 16))
    return list(rows.values())


def choose(page, name, value):
    page.select_option(f"#{name}", str(value))


def test_any_axes_are_columns_rows_and_tables(opened, tmp_path):
    page = opened(write(tmp_path))
    assert shown(page) == [[place((c, r, 0, 0)) for c in range(3)] for r in range(2)]
    page.locator("#slider").fill("1")
    assert shown(page) == [[place((c, r, 1, 0)) for c in range(3)] for r in range(2)]
    choose(page, "way", "tables")
    assert shown(page) == [[place((c, r, t, 0)) for c in range(3)] for t in range(2) for r in range(2)]
    page.locator("#others select").select_option("1")
    choose(page, "z", -1)
    choose(page, "x", 3)
    choose(page, "y", 0)
    assert shown(page)[0] == [place((0, 0, 1, c)) for c in range(2)] and len(shown(page)) == 3


def test_the_address_is_the_state(opened, tmp_path):
    address = write(tmp_path)
    page = opened(address)
    choose(page, "x", 2)
    choose(page, "y", 3)
    choose(page, "z", 0)
    page.locator("#slider").fill("2")
    before = shown(page)
    page.locator("img.cell").nth(1).click()
    page.locator("#facts tr").nth(0).locator("select").nth(1).select_option("0")
    again = opened(page.url)
    assert again.url == page.url and again.locator("dialog").evaluate("d => d.open")
    for name in ("left", "right"):
        assert again.locator(f"#{name}").get_attribute("src") == page.locator(f"#{name}").get_attribute("src")
    again.keyboard.press("Escape")
    assert shown(again) == before == [[place((2, 0, c, r)) for c in range(2)] for r in range(2)]
    broken = opened(f"{address}#x=9&y=-7&z=0&way=<b>&at=7.a&size=1e9&open=-4&with=99")
    assert shown(broken) == shown(opened(address))  # what is no state is as if it were not there


def test_text_stays_text(opened, tmp_path):
    page = opened(write(tmp_path))
    assert page.title() == f"grid {EVIL}" and page.locator("h1").text_content() == f"grid {EVIL}"
    assert page.locator("b, img[src=x]").count() == 0
    page.locator("img.cell").nth(4).click()
    assert EVIL in page.locator("#told").text_content() and page.locator("b, img[src=x]").count() == 0
    source = (tmp_path / "index.html").read_text()
    assert EVIL not in source and source.count("</script>") == 2
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|https?://", source)


def test_keys_reach_everything(opened, tmp_path):
    page = opened(write(tmp_path, left_out={1}, gone={2}))
    missing = page.locator("img.cell.gone")
    missing.wait_for()
    assert missing.get_attribute("alt").endswith("(not made yet)")
    assert page.locator("div.cell.gone").text_content() == "left out"
    page.locator("img.cell").first.focus()
    page.keyboard.press("ArrowDown")
    assert "cfg: 3" in page.locator(":focus").get_attribute("alt")
    page.keyboard.press("End")
    page.keyboard.press("Enter")
    assert page.locator("#left").get_attribute("src").endswith(f"{place((2, 1, 0, 0)):032x}.png")
    page.keyboard.press("ArrowLeft")
    assert page.locator("#left").get_attribute("src").endswith(f"{place((1, 1, 0, 0)):032x}.png")
    assert page.locator("#right").is_hidden()
    other = page.locator("#facts tr").nth(0).locator("select").nth(1)
    other.focus()
    page.keyboard.press("ArrowDown")
    assert page.locator("#right").get_attribute("src").endswith(f"{place((2, 1, 0, 0)):032x}.png")
    page.locator("#cut").focus()
    page.keyboard.press("Home")
    assert page.locator("#right").evaluate("e => e.style.clipPath") == "inset(0px 0px 0px 0%)"
    page.keyboard.press("Escape")
    expect(page.locator(":focus")).to_have_attribute("alt", re.compile("^cfg: 5"))
    for node in ("cell", "dialog"):
        low = [found for found in page.evaluate(CONTRAST) if found[0] < 4.5]
        assert low == [] and page.evaluate(UNNAMED) == [], node
        page.keyboard.press("Enter")


def test_axe_has_nothing_serious_against_it(opened, tmp_path):
    page = opened(write(tmp_path, left_out={1}, gone={2}))
    page.locator("img.cell.gone").wait_for()
    for part in ("table", "dialog"):
        assert serious(page) == [], part
        page.locator("img.cell").first.focus()
        page.keyboard.press("Enter")


def test_ten_thousand_cells_have_sixty_elements_in_sight(opened, tmp_path):
    axes = [{"title": name, "values": [str(n) for n in range(100)]} for name in ("a", "b")]
    page = opened(write(tmp_path, axes, pictures=False))
    count = "() => document.querySelectorAll('#table > .cell, #table > .head').length"
    seen = set()
    for size in (48, 104, 192, 512, 1024):
        page.evaluate("size => { byId('size').value = size; zoom(size); }", size)
        for x, y in ((0, 0), (377, 5001), (1e6, 1e6), (1e6, 13)):
            page.evaluate("([x, y]) => table.scrollTo(x, y)", [x, y])
            page.evaluate(
                "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
            )
            assert 3 < page.evaluate(count) <= 60
            seen |= set(page.eval_on_selector_all("img.cell", "all => all.map((e) => e.title)"))
    assert {"a: 0, b: 0", "a: 99, b: 99", "a: 99, b: 0"} <= seen
    page.evaluate("() => focusOn(57, 31)")
    assert page.locator(":focus").get_attribute("title") == "a: 31, b: 57"


@pytest.mark.parametrize("language", ["zh-CN", "ko-KR"])
def test_it_speaks_the_browsers_language(chromium, tmp_path, language):
    address = write(tmp_path)
    page = chromium.new_page(locale=language)
    page.goto(address)
    words = page.locator("header").text_content()
    page.close()
    assert re.search("[一-鿿]" if language == "zh-CN" else "[가-힣]", words) and "Columns" not in words
