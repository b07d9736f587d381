"""What the server says is shown in Chinese and in Korean: an error of a run, a refused prompt, a table, a
note on a node that is sampling."""

from os.path import commonprefix

import pytest
from isi.tools.browser import front_end
from isi.tools.sentences import translations
from playwright.sync_api import expect

BROKEN = {
    "1": {"class_type": "EmptyImage", "inputs": {"width": 64, "height": 64, "batch_size": 1, "color": 0}},
    "2": {"class_type": "ISI_OutpaintCanvas", "inputs": {"image": ["1", 0], "overlap": 1000}},
    "3": {"class_type": "PreviewImage", "inputs": {"images": ["2", 0]}},
}
"""An overlap that is larger than the picture, which only the run can know."""
ERROR = {
    "zh": "1000 像素的重叠会穿过整张图像（64x64）：请设为 16 或更小。",
    "ko": "겹침 1000픽셀이 이미지 전체(64x64)를 지나갑니다. 16 이하로 하세요.",
}
MISTAKE = {
    "zh": "脚本第 1 行第 10 列：@steps 应为 1 到 10000 的整数，而不是 1.5。",
    "ko": "스크립트 1행 10열: @steps 값은 1~10000 범위의 정수여야 합니다. 입력한 값: 1.5",
}
TABLE = {
    "zh": ["#", "步数", "CFG", "去噪强度", "种子", "提示词"],
    "ko": ["#", "스텝", "CFG", "디노이즈", "시드", "프롬프트"],
}
NOTES = (
    "{0} of {1} cells are to be made; how long one takes is not known yet.",
    "{0} of {1} cells are to be made, which takes about {2}.",
)
"""What a grid says first, by whether the server made such pictures before."""


def grid(language):
    """A grid of two cells, which says so before it makes them; another one in each language, so that none is
    there already."""
    plain = {"width": 64, "height": 64, "batch_size": 1, "color": 0}
    axes = {"axes": "EmptyImage.color = 255, 65280", "name": f"noted {language}"}
    return {
        "1": {"class_type": "EmptyImage", "inputs": plain},
        "2": {"class_type": "ISI_Grid", "inputs": {"image": ["1", 0]} | axes},
    }


NOTED = """text => app.rootGraph.nodes.some(node =>
  node.widgets?.some(widget => `${widget.value}`.includes(text)))"""
SHOWN = "text => document.body.innerText.includes(text)"
PAGES = pytest.mark.parametrize(
    "page",
    [("zh", False), pytest.param(("ko", True), marks=pytest.mark.newest)],
    ids=["zh-canvas", "ko-nodes2"],
    indirect=True,
)
PAGES_WITH_DIALOGS = pytest.mark.parametrize(
    "page", [("zh", False), ("ko", True)], ids=["zh-canvas", "ko-nodes2"], indirect=True
)
"""The newest page lists errors in a panel only, and not what a node has against an input."""


@pytest.fixture(scope="module")
def page(request, server, chromium):
    language, nodes2 = request.param
    server.post("/settings/Comfy.Locale", language)
    server.post("/settings/Comfy.RightSidePanel.ShowErrorsTab", False)
    with front_end(chromium, server, nodes2=nodes2) as opened:
        opened.language = language
        yield opened
    server.post("/settings/Comfy.Locale", "en")
    server.post("/settings/Comfy.RightSidePanel.ShowErrorsTab", True)


def script(text):
    """A script, and a node of the host's that asks for it."""
    return {
        "1": {"class_type": "ISI_Script", "inputs": {"script": text}},
        "2": {"class_type": "PreviewAny", "inputs": {"source": ["1", 1]}},
    }


def queue(page, graph, name):
    page.faults.clear()
    page.load_api(graph, name)
    page.evaluate("() => void app.queuePrompt(0, 1)")


def see_errors(page, text):
    """Waits for `text` in the dialog of an error, or in the panel that the newest page has instead."""
    view = page.page
    panel, dialog = view.get_by_test_id("error-overlay-see-errors"), view.get_by_role("dialog")
    expect(panel.or_(dialog).first).to_be_visible(timeout=60_000)
    if panel.count():
        panel.click()
    view.wait_for_function(SHOWN, arg=text, timeout=60_000)
    view.keyboard.press("Escape")
    assert [fault for fault in page.faults if fault.startswith("error")] == []


@PAGES
def test_an_error_of_a_run_is_said_in_the_language(page):
    queue(page, BROKEN, "broken")
    see_errors(page, ERROR[page.language])


@PAGES_WITH_DIALOGS
def test_a_mistake_in_a_script_is_said_when_the_prompt_is_refused(page):
    queue(page, script("a @steps=1.5"), "mistake")
    see_errors(page, MISTAKE[page.language])


@PAGES
def test_the_table_of_a_run_has_headings_in_the_language(page):
    queue(page, script("an oak; a pine"), "table")
    table = page.page.locator(".isi-script-table")
    expect(table).to_contain_text(TABLE[page.language][-1], timeout=60_000)
    heading, first, *_ = table.text_content().split("\n")
    assert heading.split() == TABLE[page.language]
    assert first.split()[-2:] == ["an", "oak"]
    assert page.faults == []


@PAGES
def test_a_note_on_a_node_is_said_in_the_language(page):
    said = commonprefix([translations(page.language)[note].format(2, 2, "{2}") for note in NOTES])
    assert "2" in said[5:]
    queue(page, grid(page.language), "noted")
    page.page.wait_for_function(NOTED, arg=said, timeout=60_000)
    assert page.faults == []
