"""The script editor of ISI Script in the real page, in both renderers: it reads as the server does, edits as
any text field, and leaves nothing behind."""

import json
import re
from dataclasses import asdict
from pathlib import Path

import pytest
from isi.core.language.script import ScriptError, parse
from isi.tools.browser import front_end
from playwright.sync_api import expect

CASES = json.loads((Path(__file__).parents[1] / "vectors/script.json").read_text("utf-8"))["cases"]
LONG = 60_000

PARSE_ALL = """async texts => {
  const lib = name => import(new URL(`/extensions/isi-nodes/lib/${name}.js`, location.href).href);
  const [{ parse }, { reasonOf }] = await Promise.all(["script", "script_words"].map(lib));
  const plain = (key, value) => typeof value === "bigint" ? String(value) : value;
  return JSON.parse(JSON.stringify(texts.map(text => {
    try { return parse(text); }
    catch (error) {
      const { line, column, key } = error;
      return { error: { line, column, key, reason: reasonOf(error) } };
    }
  }), plain));
}"""

# Listeners on the page's link to the server, which outlives every node, from now on: added and removed.
COUNT_LISTENERS = """() => {
  window.listeners = {};
  for (const name of ["addEventListener", "removeEventListener"]) {
    const plain = EventTarget.prototype[name];
    window.listeners[name] = [];
    EventTarget.prototype[name] = function (...given) {
      if (this === app.api) window.listeners[name].push(given[0]);
      return plain.apply(this, given);
    };
  }
}"""


@pytest.fixture(scope="module", params=[False, True], ids=["canvas", "nodes2"])
def page(request, server, chromium):
    with front_end(chromium, server, nodes2=request.param) as opened:
        yield opened


@pytest.fixture
def editor(page):
    """A page with one ISI Script, and its text field."""
    page.faults.clear()
    page.load_api(
        {"1": {"class_type": "ISI_Script", "inputs": {"script": "{oil} dawn; (noon:1.3)"}}}, "script"
    )
    page.evaluate(
        "() => { const [node] = app.rootGraph.nodes; node.setSize([480, 640]); app.canvas.ds.scale = 1;"
        " app.canvas.ds.offset = [300 - node.pos[0], 150 - node.pos[1]]; app.canvas.setDirty(true, true); }"
    )
    text = page.page.locator(".isi-script-text")
    expect(text).to_be_visible(timeout=30_000)
    yield text
    assert page.faults == []


def steps(page):
    return page.page.locator(".isi-script-steps li").all_inner_texts()


def script_of(page) -> str:
    return next(node["inputs"]["script"] for node in page.prompt().values())


@pytest.mark.newest
def test_both_parsers_read_the_same(page):
    texts = [case["input"] for case in CASES]
    for text, read in zip(texts, page.evaluate(PARSE_ALL, texts), strict=True):
        try:
            wanted = parse(text)
        except ScriptError as error:
            said = {"line": error.line, "column": error.column, "key": error.key, "reason": error.reason}
            assert read == {"error": said}, text
            continue
        assert read["global"] == wanted.global_prompt
        assert len(read["groups"]) == len(wanted.groups), text
        for found, group in zip(read["groups"], wanted.groups, strict=True):
            del found["start"]
            written = {key: value for key, value in asdict(group).items() if not key.endswith("parts")}
            fields = {key: value for key, value in written.items() if value is not None}
            fields |= {key: str(fields[key]) for key in ("seed", "steps") if key in fields}
            assert found == pytest.approx(fields) if len(fields) == 2 else found == fields, text


@pytest.mark.newest
def test_shows_steps_weights_and_colours_as_one_types(page, editor):
    assert [text.split() for text in steps(page)] == [["dawn"], ["noon", "cfg", "×1.3"]]
    editor.click()
    editor.press("Control+End")
    editor.press_sequentially("; night @denoise=.4 *2")
    expect(page.page.locator(".isi-script-count")).to_have_text("4 iterations")
    assert steps(page)[3].split() == ["night", "denoise", "0.4"]
    layer = page.page.locator(".isi-script-layer").first
    assert layer.text_content() == editor.input_value() + "\n"
    kinds = layer.locator("span").evaluate_all("all => all.map(e => [e.className, e.textContent])")
    assert ["isi-global", "{oil}"] in kinds and ["isi-weight", ":1.3)"] in kinds
    assert ["isi-setting", "@denoise=.4"] in kinds
    assert script_of(page) == "{oil} dawn; (noon:1.3); night @denoise=.4 *2"


def test_colours_what_is_drawn_and_what_changes_while_a_step_is_sampled(page, editor):
    written = {
        "choice": ["{red|blue}", "__animal__"],
        "schedule": ["[a:b:.5]", "[c|d]", "<lora:ink:.8>", "AND", "BREAK"],
        "setting": ['@negative="x; y"', "@sampler=heun"],
    }
    text = " ".join(piece for pieces in written.values() for piece in pieces)
    editor.fill(text)
    expect(page.page.locator(".isi-script-count")).to_have_text("1 iteration")
    layer = page.page.locator(".isi-script-layer").first
    assert layer.text_content() == text + "\n"
    kinds = layer.locator("span").evaluate_all("all => all.map(e => [e.className, e.textContent])")
    for kind, pieces in written.items():
        for piece in pieces:
            assert [f"isi-{kind}", piece] in kinds
    editor.fill("[x] [a:b] sand and \\{a|b\\} [u:v:w:1]")
    assert not layer.locator(".isi-choice, .isi-schedule").count()


def test_says_what_is_wrong_and_where(page, editor):
    text = "{oil} dawn;\n(noon:1,3)"
    editor.fill(text)
    with pytest.raises(ScriptError) as caught:
        parse(text)
    verdict = page.page.locator(".isi-script-verdict")
    expect(verdict).to_contain_text(caught.value.reason)
    expect(verdict).to_contain_text("Line 2, column 7")
    assert editor.get_attribute("aria-invalid") == "true"
    assert page.page.locator(".isi-error").text_content() == "1"
    editor.fill("dawn")
    assert editor.get_attribute("aria-invalid") == "false"
    assert page.page.locator(".isi-error").count() == 0


def test_edits_as_any_text_field(page, editor):
    editor.fill("red dawn; noon")
    editor.evaluate("area => { area.focus(); area.setSelectionRange(4, 8); }")
    editor.press("Control+ArrowUp")
    assert editor.input_value() == "red (dawn:1.05); noon"
    assert script_of(page) == "red (dawn:1.05); noon"
    editor.press("Control+ArrowUp")
    editor.press("Control+ArrowDown")
    editor.press("Control+ArrowDown")
    assert editor.input_value() == "red dawn; noon"
    editor.press("Control+z")
    assert editor.input_value() == "red (dawn:1.05); noon"
    page.page.locator(".isi-script-steps li").nth(1).click()
    assert editor.evaluate("area => [document.activeElement === area, area.selectionStart]") == [True, 17]


def test_text_is_never_markup_and_may_be_long(page, editor):
    attack = "<img src=x onerror='window.hacked=1'><script>window.hacked=1</script>"
    editor.fill(f"{{{attack}}} {attack}; dawn")
    expect(page.page.locator(".isi-script-count")).to_have_text("2 iterations")
    assert attack in steps(page)[0]
    assert page.page.locator(".isi-script img, .isi-script script").count() == 0
    assert page.evaluate("window.hacked ?? null") is None
    editor.fill("a; " * LONG)
    expect(page.page.locator(".isi-script-count")).to_have_text(f"{LONG:,} iterations", timeout=30_000)
    assert page.page.locator(".isi-script-steps li").count() <= 101


def test_a_saved_graph_and_a_copy_keep_the_text(page, editor):
    editor.fill("{oil} kept *5")
    page.load(page.serialize())
    expect(editor).to_have_value("{oil} kept *5", timeout=30_000)
    page.evaluate(
        "() => { const [node] = app.rootGraph.nodes; app.canvas.selectNode(node);"
        " app.canvas.copyToClipboard(); app.canvas.pasteFromClipboard(); }"
    )
    assert [node["inputs"]["script"] for node in page.prompt().values()] == ["{oil} kept *5"] * 2


def test_what_is_seldom_meant_is_hinted_at(page, editor):
    editor.fill("a cat; steins;gate")
    count = page.page.locator(".isi-script-count")
    expect(count).to_have_text(re.compile(r"^3 iterations · Line 1, column 14: This ; begins a new step"))
    editor.fill(r"a cat; steins\;gate")
    expect(count).to_have_text("2 iterations")


def test_undo_brings_back_the_text_and_the_field_still_works(page, editor):
    # The page takes the size that Nodes 2.0 measures a moment later for a step of its own.
    page.evaluate("async () => { for (let n = 0; n < 30; n++) await new Promise(requestAnimationFrame); }")
    editor.fill("changed")
    editor.blur()
    page.page.locator("canvas#graph-canvas").focus()
    page.page.keyboard.press("Control+z")
    expect(editor).to_have_value("{oil} dawn; (noon:1.3)", timeout=30_000)
    editor.fill("after")
    assert script_of(page) == "after"


def test_nothing_listens_after_the_node_is_gone(page, editor):
    page.evaluate(COUNT_LISTENERS)
    counted = page.evaluate(
        "() => { const add = type => app.rootGraph.add(LiteGraph.createNode(type));"
        " for (let n = 0; n < 10; n++) for (const type of ['ISI_Script', 'ISI_Iterate'])"
        " app.rootGraph.remove(add(type)); return window.listeners; }"
    )
    added, removed = counted["addEventListener"], counted["removeEventListener"]
    assert added.count("isi.iteration") == 10
    assert sorted(added) == sorted(removed)
