"""Our widgets for those who can't see or point well: what the browser tells a screen reader, where Tab goes,
and how well each text stands out in every theme that the page ships."""

import pytest
from isi.tools.browser import front_end
from playwright.sync_api import expect

from .front import serious, write_run
from .test_front_look import BOTH, PALETTES, contrast

pytestmark = pytest.mark.usefixtures("faultless")

RUN = "access"
KINDS = (
    "Script", "Iterate", "OutpaintCanvas", "TiledSampling", "UpscaleCost", "InspectModel",
    "DifferentialDiffusion", "Regions",
)  # fmt: skip
GRAPH = {f"{n}": {"class_type": f"ISI_{kind}", "inputs": {}} for n, kind in enumerate(KINDS, 1)}
GRAPH["1"]["inputs"] = {"script": "{oil} a; (b:1.2) @cfg=3; <lora:x:2> c"}
# All nodes in sight, and the run in the strip.
SHOW = """() => {
  app.rootGraph.nodes.forEach((node, n) => {
    node.setSize([420, node.computeSize()[1] + 260]);
    node.pos = [(n % 4) * 460, Math.floor(n / 4) * 900];
  });
  app.canvas.ds.scale = 0.75;
  app.canvas.ds.offset = [100, 60];
  app.canvas.setDirty(true, true);
}"""
ROOTS = "[data-isi-widget]"
# What takes focus, with what is wrong about it in the document.
FOCUSABLE = """() => [...document.querySelectorAll("[data-isi-widget]")].flatMap(root =>
  [...root.querySelectorAll("*")].filter(each => each.tabIndex >= 0 && each.checkVisibility())
    .map(each => [each.className || each.tagName, each.tabIndex, !!each.closest("[aria-hidden=true]")]))"""
# Each visible text with its colour and what lies under it, from the top down to what is not see-through.
TEXTS = """async id => {
  await app.extensionManager.setting.set("Comfy.ColorPalette", id);
  for (let n = 0; n < 20; n++) await new Promise(requestAnimationFrame);
  const pen = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const over = (layers) => {
    pen.fillStyle = "#000";
    pen.fillRect(0, 0, 1, 1);
    for (const colour of layers) { pen.fillStyle = colour; pen.fillRect(0, 0, 1, 1); }
    return [...pen.getImageData(0, 0, 1, 1).data.slice(0, 3)];
  };
  const found = [];
  for (const root of document.querySelectorAll("[data-isi-widget]")) {
    const walk = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
    while (walk.nextNode()) {
      const each = walk.currentNode.parentElement;
      const style = getComputedStyle(each);
      if (!walk.currentNode.data.trim() || !each.checkVisibility({ opacityProperty: true })) continue;
      if (each.closest(":disabled, .isi-stale") || style.color === "rgba(0, 0, 0, 0)") continue;
      const layers = [];
      let clear = 1;
      for (let at = each; at; at = at.parentElement) {
        layers.unshift(getComputedStyle(at).backgroundColor);
        clear *= Number(getComputedStyle(at).opacity);
      }
      // A node of the classic renderer is drawn on the canvas, under the elements.
      layers.unshift(LiteGraph.NODE_DEFAULT_BGCOLOR);
      const text = walk.currentNode.data.trim().slice(0, 30);
      found.push([each.className, text, over([...layers, style.color]), over(layers), clear]);
    }
  }
  return found;
}"""


@pytest.fixture(scope="module", params=BOTH, ids=["canvas", "nodes2"])
def page(request, server, chromium):
    write_run(server.base, RUN, [(64, 64)] * 3)
    with front_end(chromium, server, nodes2=request.param) as opened:
        opened.nodes2 = request.param
        opened.page.set_default_timeout(60_000)
        yield opened


@pytest.fixture
def widgets(page):
    """The page with every kind of widget that we have, filled."""
    page.load_api(GRAPH, "access")
    graph = page.evaluate("() => app.rootGraph.serialize()")
    next(node for node in graph["nodes"] if node["type"] == "ISI_Iterate")["properties"]["isi_run"] = RUN
    page.load(graph)
    page.evaluate(SHOW)
    view = page.page
    if not view.locator(".isi-runs").count():
        page.evaluate("() => app.extensionManager.command.execute('Workspace.ToggleSidebarTab.isi-runs')")
    expect(view.locator(ROOTS)).to_have_count(len(KINDS) + 1)
    parts = (
        ".isi-runs-row",
        ".isi-cell",
        ".isi-frame-handle",
        ".isi-grid-stage",
        ".isi-regions-status",
        ".isi-heat-note",
    )
    for part in parts:
        expect(view.locator(part).first).to_be_visible()
    expect(view.locator(".isi-script-steps li").first).to_be_visible()
    return page


def told(page):
    """What the browser tells a screen reader of what takes focus in our widgets: `[(role, name)]`."""
    tools = page.page.context.new_cdp_session(page.page)
    root = tools.send("DOM.getDocument", {"depth": 0})["root"]["nodeId"]
    found = []
    for widget in tools.send("DOM.querySelectorAll", {"nodeId": root, "selector": ROOTS})["nodeIds"]:
        for node in tools.send("Accessibility.queryAXTree", {"nodeId": widget})["nodes"]:
            properties = {one["name"]: one["value"].get("value") for one in node.get("properties", [])}
            if properties.get("focusable") and not node["ignored"]:
                found.append((node["role"]["value"], node.get("name", {}).get("value", "").strip()))
    tools.detach()
    return found


def test_all_that_takes_focus_has_a_role_and_a_name(widgets):
    found = told(widgets)
    assert len(found) > 25, found
    # A row of a list is read out as what it says.
    assert not [one for one in found if one[0] in ("generic", "none") or not one[1] and one[0] != "listitem"]
    assert {"button", "slider", "list"} <= {role for role, _ in found}


def test_tab_goes_as_one_reads(widgets):
    found = widgets.evaluate(FOCUSABLE)
    assert len(found) > 20
    assert not [one for one in found if one[1] > 0 or one[2]]
    area = widgets.page.locator(".isi-script-text")
    area.focus()
    widgets.page.keyboard.press("Escape")
    widgets.page.keyboard.press("Tab")
    inside = "() => Boolean(document.activeElement.closest('[data-isi-widget]'))"
    assert widgets.evaluate(inside)
    widgets.page.keyboard.press("Shift+Tab")
    expect(area).to_be_focused()


def test_every_text_can_be_read_in_every_theme(widgets):
    themes = widgets.evaluate(PALETTES)
    bad = []
    for theme in themes:
        found = widgets.evaluate(TEXTS, theme)
        assert len(found) > 20
        for name, text, colour, under, clear in found:
            # What is dimmed is as far from its ground as its opacity lets it.
            seen = [clear * one + (1 - clear) * other for one, other in zip(colour, under, strict=True)]
            if contrast(seen, under) < 4.5:
                bad.append((theme, name, text, round(contrast(seen, under), 2)))
    widgets.evaluate(TEXTS, "dark")
    assert not bad


def test_axe_has_nothing_serious_against_any_part(widgets, server):
    wildcards = server.base / "models" / "wildcards"
    wildcards.mkdir(parents=True, exist_ok=True)
    (wildcards / "heron.txt").write_text("a\n", "utf-8")
    view = widgets.page
    assert serious(view, ROOTS) == []
    area = view.locator(".isi-script-text")
    area.focus()
    view.keyboard.press("Control+End")
    view.keyboard.type(" __her")
    expect(view.locator(".isi-names")).to_be_visible()
    assert serious(view, ".isi-names", ".isi-script-text") == []
    view.keyboard.press("Escape")
    view.locator(".isi-cell").nth(1).click(button="right")
    expect(view.get_by_role("menu")).to_be_visible()
    assert serious(view, ".isi-menu") == []
    view.keyboard.press("Enter")
    expect(view.locator("dialog.isi-viewer")).to_be_visible()
    assert serious(view, "dialog.isi-viewer") == []
    view.keyboard.press("Escape")
