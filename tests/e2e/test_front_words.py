"""The page in Chinese and in Korean: the editor, its mistakes, the strip, the viewer and the menu entry speak
the language too, and change with the setting."""

import json
import re

import pytest
from isi.core.loop.plan import Plan, Step
from isi.tools.browser import front_end
from isi.tools.locales import load_words
from isi.tools.sentences import translations
from PIL import Image
from playwright.sync_api import expect

from .front import arrange
from .test_front_runs_tab import TOGGLE

GRAPH = {
    "1": {"class_type": "ISI_Script", "inputs": {"script": "a; b"}},
    "2": {"class_type": "ISI_Iterate", "inputs": {"plan": ["1", 0]}},
    "3": {"class_type": "ISI_DifferentialDiffusion", "inputs": {}},
    "4": {"class_type": "ISI_OutpaintCanvas", "inputs": {}},
    "5": {"class_type": "ISI_TiledSampling", "inputs": {}},
}
SHOWN = {"heat.never": "textContent", "frame.ratios": "ariaLabel", "grid.label": "ariaLabel"}
FIND = """([text, where]) => app.rootGraph.nodes.flatMap(node => node.widgets.map(widget => widget.element))
  .some(root => root && [root, ...root.querySelectorAll("*")].some(each => each[where] === text))"""
SHOW = """() => {
  const [script, loop] = app.rootGraph.nodes;
  script.setSize([480, 560]);
  loop.setSize([480, loop.size[1]]);
  loop.pos = [script.pos[0] + 520, script.pos[1]];
  app.canvas.ds.scale = 1;
  app.canvas.ds.offset = [150 - script.pos[0], 100 - script.pos[1]];
  app.canvas.setDirty(true, true);
}"""
LANGUAGES = pytest.mark.parametrize(
    "page", [("zh", False), ("ko", True)], ids=["zh-canvas", "ko-nodes2"], indirect=True
)


NAMES = {
    "en": ["replace background 1, 3: a cat", "upscale 1/2: 512 x 768"],
    "zh": ["替换背景 1, 3：a cat", "放大 1/2：512 x 768"],
    "ko": ["배경 교체 1, 3: a cat", "업스케일 1/2: 512 x 768"],
}
"""How plans call two steps."""
CHANGED = {
    "en": "environment: threads: 2 -> 4",
    "zh": "运行环境: 线程数: 2 -> 4",
    "ko": "실행 환경: 스레드 수: 2 -> 4",
}


def say(language, key, **values):
    forms = load_words(language)[key]
    return (forms["one"] if values.get("count") == 1 and "one" in forms else forms["other"]).format(**values)


@pytest.fixture(scope="module")
def page(request, server, chromium):
    language, nodes2 = request.param
    server.post("/settings/Comfy.Locale", language)
    with front_end(chromium, server, nodes2=nodes2) as opened:
        opened.language = language
        yield opened
    server.post("/settings/Comfy.Locale", "en")


@pytest.fixture(scope="module")
def run(server):
    """A finished run of two iterations, as it lies on disk."""
    runs, pictures = server.base / "user/isi/runs", server.base / "output/isi/words"
    runs.mkdir(parents=True, exist_ok=True)
    pictures.mkdir(parents=True, exist_ok=True)
    plan = Plan(tuple(Step("a cat", 4, 7.0, 0.5, 1, name) for name in NAMES["en"]))
    manifest = {
        "version": 1,
        "name": "words",
        "keys": ["a" * 32, "b" * 32],
        "changed": [CHANGED["en"]],
        "plan": plan.to_json(),
    }
    (runs / "words.json").write_text(json.dumps(manifest), "utf-8")
    for name in ("0001-aaaaaaaa", "0002-bbbbbbbb"):
        Image.new("RGB", (8, 8), (200, 90, 160)).save(pictures / f"{name}.png")
    return "words"


@LANGUAGES
def test_every_part_speaks_the_language(page, run):
    language, view = page.language, page.page
    page.faults.clear()
    page.load_api(GRAPH, "words")
    arrange(page, SHOW)
    status = view.locator(".isi-strip-status")
    expect(status).to_have_text(say(language, "strip.empty"), timeout=30_000)
    count = view.locator(".isi-script-count")
    expect(count).to_have_text(say(language, "editor.iterations", count=2))
    view.locator(".isi-script-text").fill("a @steps=1.5")
    values = {
        "range": say(language, "script.range", low=1, high=10000),
        "kind": say(language, "script.whole_number"),
    }
    reason = say(language, "script.setting_not_a_number", setting="@steps", written="1.5", **values)
    expect(count).to_have_text(say(language, "editor.error", line=1, column=10, reason=reason))

    for key, where in SHOWN.items():
        view.wait_for_function(FIND, arg=[say(language, key), where], timeout=10_000)

    page.evaluate("run => { app.rootGraph.nodes[1].properties.isi_run = run; }", run)
    page.load(page.serialize())
    arrange(page, SHOW)
    expect(status).to_have_text(say(language, "strip.found", count=2, of=2, run=run), timeout=30_000)
    expect(status).to_have_attribute("title", re.compile(re.escape(CHANGED[language])))
    for cell, name in zip(view.locator(".isi-strip-row [title]").all(), NAMES[language], strict=True):
        assert cell.get_attribute("title").endswith(f". {name}")
    title = page.evaluate(
        "() => { const [x, y] = app.canvasPosToClientPos(app.rootGraph.nodes[1].pos);"
        " return [x + 120, y - 15]; }"
    )
    view.mouse.click(*title, button="right")
    entry = view.get_by_text(say(language, "menu.look"), exact=True)
    expect(entry).to_be_visible(timeout=10_000)
    entry.click()
    dialog = view.locator("dialog.isi-viewer")
    expect(dialog.get_by_text(say(language, "viewer.continue"))).to_be_visible()
    expect(dialog.get_by_label(say(language, "viewer.next"))).to_be_visible()
    expect(dialog.locator("h2")).to_contain_text(NAMES[language][1])
    for name in NAMES[language]:
        assert name in dialog.locator("select").text_content()
    view.keyboard.press("Escape")

    page.evaluate(TOGGLE)
    row = view.locator(".isi-runs-row", has=view.get_by_text(run, exact=True))
    expect(row.locator(".isi-runs-prompt")).to_have_text(NAMES[language][0])
    row.locator(".isi-runs-open").click()
    plan = view.locator(".isi-runs-plan")
    expect(plan).to_contain_text(NAMES[language][1])
    assert translations(language)["seed"] in plan.text_content().split("\n")[0]
    page.evaluate(TOGGLE)
    assert page.faults == []
