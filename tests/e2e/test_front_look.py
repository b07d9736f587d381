"""What the page looks like to eyes and hands: colours that can be read in every theme, workflows that open
readable, targets that a finger hits, lists that a keyboard reaches; and one timer for all of it."""

import json
import re

import pytest
from isi.tools import graphs
from isi.tools.browser import front_end
from playwright.sync_api import expect

from .front import SEEDS, show

pytestmark = pytest.mark.usefixtures("faultless")

NAMES = graphs.names()
SCRIPT = {"1": {"class_type": "ISI_Script", "inputs": {"script": "{oil} a; (b:1.2) @cfg=3; c " + "; d" * 40}}}
PALETTES = "() => Object.keys(app.extensionManager._p._s.get('colorPalette').palettesLookup)"
# Colours of the script and of its field as they are drawn, once the theme is there.
COLOURS = """async id => {
  await app.extensionManager.setting.set("Comfy.ColorPalette", id);
  for (let n = 0; n < 20; n++) await new Promise(requestAnimationFrame);
  const pen = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const levels = (colour) => {
    pen.fillStyle = colour;
    pen.fillRect(0, 0, 1, 1);
    return [...pen.getImageData(0, 0, 1, 1).data.slice(0, 3)];
  };
  const field = document.querySelector(".isi-script-field");
  const layer = field.querySelector(".isi-script-layer");
  const kinds = ["global", "weight", "setting", "separator"].map(kind => layer.querySelector(`.isi-${kind}`));
  return {
    field: levels(getComputedStyle(field).backgroundColor),
    text: [layer, ...kinds].map(each => levels(getComputedStyle(each).color)),
  };
}"""
# Below this zoom the classic renderer draws no text.
TEXT_ZOOM = "() => app.canvas.low_quality ? null : app.canvas.ds.scale"
PLACES = """() => app.rootGraph.nodes.map(node => {
  const [left, top] = app.canvasPosToClientPos([node.pos[0], node.pos[1] - 30]);
  return [node.type, left, top, left + node.size[0] * app.canvas.ds.scale];
})"""
# Timers that are set and not cleared from now on, while the page thinks that it is hidden or not.
TIMERS = """() => {
  window.timers = new Set();
  const { setInterval: set, clearInterval: clear } = window;
  const ours = () => new Error().stack.includes("/extensions/isi-nodes/");
  window.setInterval = (...given) => {
    const id = set(...given);
    if (ours()) window.timers.add(id);
    return id;
  };
  window.clearInterval = id => { window.timers.delete(id); clear(id); };
  window.putBack = () => Object.assign(window, { setInterval: set, clearInterval: clear });
  window.hide = hidden => {
    Object.defineProperty(document, "hidden", { configurable: true, get: () => hidden });
    document.dispatchEvent(new Event("visibilitychange"));
  };
}"""


BOTH = [False, pytest.param(True, marks=pytest.mark.newest)]


@pytest.fixture(scope="module", params=BOTH, ids=["canvas", "nodes2"])
def page(request, server, chromium):
    with front_end(chromium, server, nodes2=request.param) as opened:
        opened.nodes2 = request.param
        opened.page.set_default_timeout(60_000)
        yield opened


def luminance(colour):
    """Relative luminance after WCAG 2.2."""
    shares = [level / 255 for level in colour]
    linear = [share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares]
    return sum(weight * share for weight, share in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one, other):
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_the_script_can_be_read_in_every_theme(page):
    page.load_api(SCRIPT, "look")
    show(page, "ISI_Script")
    expect(page.page.locator(".isi-script-text")).to_be_visible()
    themes = page.evaluate(PALETTES)
    assert {"dark", "light"} <= set(themes)
    for theme in themes:
        found = page.evaluate(COLOURS, theme)
        worst = min(contrast(colour, found["field"]) for colour in found["text"])
        assert worst >= 4.5, (theme, found)
    page.evaluate(COLOURS, "dark")


def test_the_steps_are_reached_with_the_keyboard(page):
    page.load_api(SCRIPT, "look")
    show(page, "ISI_Script")
    steps = page.page.get_by_label("Steps", exact=True)
    steps.focus()
    page.page.keyboard.press("ArrowDown")
    page.page.keyboard.press("ArrowDown")
    expect(steps.locator("li").nth(1)).to_be_focused()
    page.page.keyboard.press("End")
    expect(steps.locator("li").last).to_be_focused()
    page.page.keyboard.press("Home")
    page.page.keyboard.press("ArrowDown")
    page.page.keyboard.press("Enter")
    area = page.page.locator(".isi-script-text")
    expect(area).to_be_focused()
    assert area.evaluate("area => area.value.slice(area.selectionStart, area.selectionStart + 3)") == "(b:"
    area.fill("{oil} a; (b")  # half written: what it said before is marked as that
    expect(steps).to_have_class(re.compile("isi-stale"))


def test_handles_are_as_large_as_a_finger_needs(page):
    page.load_api({"1": {"class_type": "ISI_OutpaintCanvas", "inputs": {}}}, "look")
    page.evaluate(
        "() => { const [node] = app.rootGraph.nodes; node.setSize([400, 680]); app.canvas.ds.scale = 1;"
        " app.canvas.ds.offset = [400 - node.pos[0], 100 - node.pos[1]]; app.canvas.setDirty(true, true); }"
    )
    handles = page.page.locator(".isi-frame-handle")
    expect(handles).to_have_count(8)
    expect(handles.first).to_be_visible()
    sizes = handles.evaluate_all("all => all.map(each => [each.offsetWidth, each.offsetHeight])")
    assert all(side >= 24 for size in sizes for side in size), sizes


def test_one_timer_serves_all_nodes_and_rests_while_nobody_looks(page):
    page.load_api({}, "look")
    page.page.wait_for_function("app.rootGraph.nodes.length === 0")
    page.evaluate(TIMERS)
    kinds = ("OutpaintCanvas", "TiledSampling", "InspectModel", "DifferentialDiffusion", "Iterate")
    page.load_api({f"{n}": {"class_type": f"ISI_{kind}", "inputs": {}} for n, kind in enumerate(kinds)}, "l")
    page.page.wait_for_function("window.timers.size === 1")
    page.evaluate("() => window.hide(true)")
    assert page.evaluate("window.timers.size") == 0
    page.evaluate("() => window.hide(false)")
    assert page.evaluate("window.timers.size") == 1
    # Not by loading the page again: it may open the empty graph of before, if it has kept no later one yet.
    page.evaluate("window.putBack()")


@pytest.mark.parametrize("width, height", [(1600, 1000), (1280, 800)])
def test_workflows_open_readable(page, width, height):
    page.page.set_viewport_size({"width": width, "height": height})
    try:
        for name in NAMES:
            page.load(json.loads((graphs.WORKFLOWS / f"{name}.json").read_text("utf-8")))
            zoom = page.evaluate(TEXT_ZOOM)
            assert zoom and zoom >= 0.7, (name, zoom)
            places = page.evaluate(PLACES)
            for kind, left, _, right in places:
                assert left >= 58 and right <= width, (name, kind, left, right)
            assert min(top for _, _, top, _ in places) == pytest.approx(108, abs=30), name
    finally:
        page.page.set_viewport_size({"width": 1600, "height": 1000})


def test_no_model_files_are_said_to_be_none(page):
    page.load_api({"1": {"class_type": "ISI_InspectModel", "inputs": {}}}, "look")
    page.evaluate(
        "() => { const widget = app.rootGraph.nodes[0].widgets.find(each => each.name === 'file');"
        " widget.options.values = []; widget.value = ''; }"
    )
    show(page, "ISI_InspectModel")
    expect(page.page.locator(".isi-badge")).to_contain_text(
        "There are no model files in models/ (checkpoints"
    )


def test_seeds_of_new_nodes_stay_as_they_are(page):
    """From the node search, from our menu, and at each queueing after it."""
    found = page.evaluate(SEEDS)
    assert {name for name, _ in found} >= {"ISI_Script", "ISI_Outpaint", "ISI_Upscale", "ISI_EditObjects"}
    assert {value for _, value in found} == {"fixed"}
    page.load({"nodes": [], "links": [], "version": 0.4})
    page.evaluate("() => app.extensionManager.command.execute('ISI.AddLoop')")
    page.page.wait_for_function("app.rootGraph.nodes.length === 2")
    control = (
        "app.rootGraph.nodes.find(node => node.type === 'ISI_Script')"
        ".widgets.find((_, at, all) => all[at - 1]?.name === 'seed').value"
    )
    assert page.evaluate(control) == "fixed"
