"""A picture of another program, or its text, dropped onto ISI Script fills the script and its loop."""

import base64
import io
import itertools

import pytest
from isi.tools.browser import front_end
from PIL import Image
from PIL.PngImagePlugin import PngInfo

pytestmark = pytest.mark.newest

TEXT = (
    "a red circle, {x}\nNegative prompt: grey, blurry\n"
    "Steps: 31, Sampler: DPM++ 2M Karras, CFG scale: 4.5, Seed: 987, Size: 640x384, Clip skip: 2"
)
DROP = """([target, kind, base64, text]) => {
  const data = new DataTransfer();
  const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
  if (base64) data.items.add(new File([bytes], "picture.png", { type: "image/png" }));
  if (text) data.setData("text/plain", text);
  const event = kind === "paste"
    ? new ClipboardEvent("paste", { clipboardData: data, bubbles: true, cancelable: true })
    : new DragEvent(kind, { dataTransfer: data, bubbles: true, cancelable: true });
  return document.querySelector(target).dispatchEvent(event);
}"""
WIDGETS = """() => Object.fromEntries(app.rootGraph.nodes.flatMap((node) => (node.widgets ?? []).map(
  (widget) => [`${node.comfyClass.slice(4)}.${widget.name}`, widget.value])))"""
EXPECTED = {
    "Script.script": r"a red circle, \{x\}", "Script.steps": 31, "Script.cfg": 4.5, "Script.seed": 987,
    "Script.denoise": 0.75, "Iterate.negative": "grey, blurry", "Iterate.sampler_name": "dpmpp_2m",
    "Iterate.scheduler": "karras", "Iterate.width": 640, "Iterate.height": 384,
}  # fmt: skip


@pytest.fixture(scope="module", params=[False, True], ids=["canvas", "nodes2"])
def page(request, server, chromium):
    with front_end(chromium, server, nodes2=request.param) as opened:
        yield opened


NUMBERS = itertools.count(1)


def load(page, before: str) -> None:
    """The graph, once its values have come to its nodes too: nothing of the graph before has this word.

    Its nodes have other ids each time: what a graph does not say, the page keeps of the last node of its id.
    """
    script, loop = str(next(NUMBERS)), str(next(NUMBERS))
    graph = {
        script: {"class_type": "ISI_Script", "inputs": {"script": before, "seed": 1}},
        loop: {"class_type": "ISI_Iterate", "inputs": {"plan": [script, 0], "negative": before}},
    }
    page.load_api(graph, "infotext")
    page.page.locator(".isi-script-text").wait_for()
    page.page.wait_for_function(
        "word => app.rootGraph.nodes.filter((n) => n.widgets?.some((w) => w.value === word)).length === 2",
        arg=before,
    )


def picture() -> str:
    info, file = PngInfo(), io.BytesIO()
    info.add_text("parameters", TEXT)
    Image.new("RGB", (16, 16)).save(file, "PNG", pnginfo=info)
    return base64.b64encode(file.getvalue()).decode()


def filled(page) -> dict:
    found = page.evaluate(WIDGETS)
    return {name: found[name] for name in EXPECTED}


@pytest.mark.parametrize("way", ["picture", "text", "paste"])
def test_a_drop_fills_the_loop_and_one_undo_takes_it_back(page, way):
    page.faults.clear()
    load(page, f"before {way}")
    before = filled(page)
    given = (picture(), "") if way == "picture" else ("", TEXT)
    ours = page.evaluate(DROP, [".isi-script-text", "paste" if way == "paste" else "drop", *given])
    assert ours is False, "the page would open it too"
    page.page.wait_for_function(
        "() => app.rootGraph.nodes.some((n) => n.widgets.some((w) => w.value === 31))"
    )
    assert filled(page) == EXPECTED
    page.page.get_by_text("Clip skip: 2 has no widget here.").first.wait_for()
    page.page.wait_for_timeout(500)  # by then the change is a step of the page's undo
    page.page.locator("canvas").first.focus()
    page.page.keyboard.press("Control+z")
    page.page.wait_for_function(
        "() => !app.rootGraph.nodes.some((n) => n.widgets.some((w) => w.value === 31))"
    )
    assert filled(page) == before
    assert page.faults == []


def test_other_texts_stay_the_text_fields_own(page):
    load(page, "before others")
    assert page.evaluate(DROP, [".isi-script-text", "paste", "", "Steps: to heaven, Seed"]) is True
    page.evaluate(DROP, [".isi-script-text", "drop", base64.b64encode(b"no picture").decode(), ""])
    page.page.get_by_text("This is no PNG, JPEG or WebP picture").first.wait_for()
    assert filled(page)["Script.script"] == "before others"
