"""The script editor of ISI Script in the real page, in both renderers: it reads as the server does, edits as
any text field, and leaves nothing behind."""

import json
import re
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from isi.core.language.script import ScriptError, parse
from isi.core.loop.schedule import make_plan
from isi.tools.browser import front_end
from playwright.sync_api import expect
from safetensors.torch import save_file

from .front import choose, run_graph, show

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

# Marks the text field of a widget: in Nodes 2.0 it stands in the node, in the order of its widgets.
FIND_FIELD = """([type, name]) => {
  document.querySelector("[data-found]")?.removeAttribute("data-found");
  const node = app.rootGraph.nodes.find(node => node.type === type);
  const widget = node.widgets.find(widget => widget.name === name);
  const field = widget.element?.isConnected ? widget.element
    : document.querySelector(`[data-node-id="${node.id}"] textarea`);
  field.dataset.found = "";
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
    for kind, names in {
        "wildcards": ["heron.txt", "bear.txt", "bee.txt"],
        "loras": ["ink.pt", "inky.pt", "two__of__them.pt"],
    }.items():
        folder = server.base / "models" / kind / "completed"
        folder.mkdir(parents=True, exist_ok=True)
        for name in names:
            (folder / name).write_text("a\n", "utf-8")
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
            whole = ("seed", "steps", "candidates")  # BigInt there
            fields |= {key: str(fields[key]) for key in whole if key in fields}
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
    editor.fill("[cat:[dog:{owl|bat}:3]:.5] x; (sun AND fog:.3) :-1; (rain AND (hail:1.2) :.7:1.1)")
    expect(page.page.locator(".isi-script-count")).to_have_text("3 iterations")
    kinds = layer.locator("span").evaluate_all("all => all.map(e => [e.className, e.textContent])")
    assert [kind for kind in kinds if kind[0] in ("isi-schedule", "isi-choice")] == [
        ["isi-schedule", "[cat:[dog:"], ["isi-choice", "{owl|bat}"], ["isi-schedule", ":3]:.5]"],
        ["isi-schedule", "AND"], ["isi-schedule", ":.7"],
    ]  # fmt: skip
    editor.fill("[x] [a:b] sand and \\{a|b\\} [u:v:w:1]")
    assert not layer.locator(".isi-choice, .isi-schedule").count()


@pytest.mark.newest
def test_completes_names_by_keyboard(page, editor):
    editor.fill("")
    editor.press_sequentially("a __bee")
    menu = page.page.get_by_role("option")
    expect(menu).to_have_text(["completed/bee"], timeout=20_000)
    editor.press("Escape")
    expect(menu).to_have_count(0)
    editor.press("Backspace")
    expect(menu).to_have_text(["completed/bear", "completed/bee"])
    editor.press("ArrowDown")
    assert editor.get_attribute("aria-activedescendant") == menu.nth(1).get_attribute("id")
    box, field = menu.first.bounding_box(), editor.bounding_box()
    assert field["x"] <= box["x"] and box["y"] > field["y"]
    editor.press("Enter")
    assert editor.input_value() == "a __completed/bee__" == script_of(page)
    expect(menu).to_have_count(0)
    editor.press("Control+z")
    assert editor.input_value() == "a __be"
    editor.press("End")
    editor.press_sequentially("a")
    expect(menu).to_have_text(["completed/bear"])
    editor.press("Tab")
    assert editor.input_value() == "a __completed/bear__"
    assert editor.evaluate("area => document.activeElement === area")
    editor.press_sequentially("; <lora:two__")
    expect(menu).to_have_text(["completed/two__of__them"])
    editor.press("Enter")
    assert editor.input_value() == r"a __completed/bear__; <lora:completed/two\__of__them:1>"
    expect(page.page.locator(".isi-script-steps li").nth(1)).to_have_text("<lora:completed/two__of__them:1>")


@pytest.mark.newest
def test_completes_names_in_the_prompts_of_other_nodes(page):
    page.faults.clear()
    held = []  # what completes comes later than the first letters
    page.page.route("**/completion.mjs", lambda route: held.append(route))
    page.reload()
    graph = run_graph("completed") | {"4": {"class_type": "ISI_Prompt", "inputs": {"text": "a", "seed": 0}}}
    page.load_api(graph, "completed")
    menu = page.page.get_by_role("option")
    for node, name, before in (("ISI_Prompt", "text", "a"), ("ISI_Iterate", "negative", "")):
        show(page, node)
        page.page.wait_for_timeout(500)
        page.evaluate(FIND_FIELD, [node, name])
        field = page.page.locator("[data-found]")
        field.click()
        field.press("Control+End")
        field.press_sequentially(" <lora:ink")
        while held:
            held.pop().continue_()
        page.page.unroute("**/completion.mjs")
        expect(menu).to_have_text(["completed/ink", "completed/inky"], timeout=20_000)
        box, around = menu.first.bounding_box(), field.bounding_box()
        assert around["x"] <= box["x"] <= around["x"] + around["width"]
        assert around["y"] < box["y"] < around["y"] + 80
        field.press("ArrowDown")
        field.press("Enter")
        expect(menu).to_have_count(0)
        found = next(one for one in page.prompt().values() if one["class_type"] == node)
        assert found["inputs"][name] == f"{before} <lora:completed/inky:1>"
        field.press("Control+z")
        assert field.input_value() == f"{before} <lora:ink"
        field.press_sequentially("y")
        expect(menu).to_have_text(["completed/inky"])
        field.blur()
        expect(menu).to_have_count(0)
    assert page.faults == []


@pytest.mark.newest
def test_shows_the_words_that_the_seed_draws_and_their_tokens(page):
    graph = run_graph("drawn", script="{oil} {red|green|blue|black} a {x|y|z} *3", seed=4)
    page.faults.clear()
    page.load_api(graph, "drawn")
    show(page, "ISI_Script")
    rows = page.page.locator(".isi-script-steps li")

    def wanted(seed):
        read = parse("{oil} {red|green|blue|black} a {x|y|z} *3")
        plan = make_plan(read, 2, 5.0, 0.5, 0.5, "constant", seed, "increment")
        return [re.compile(f"^{re.escape(step.label)}\\s*[0-9]+/75$") for step in plan.steps]

    expect(rows).to_have_text(wanted(4), timeout=20_000)
    script = page.evaluate("() => app.rootGraph.nodes.find(node => node.type === 'ISI_Script').id")
    choose(page, script, "seed", 2**50 + 1)
    expect(rows).to_have_text(wanted(2**50 + 1), timeout=20_000)
    choose(page, script, "choices", "all")
    expect(page.page.locator(".isi-script-count")).to_have_text("36 iterations", timeout=20_000)
    page.page.locator(".isi-script-text").fill("a;\n__nothing__")
    expect(page.page.locator(".isi-script-verdict")).to_contain_text("Line 2, column 1: There is no wildcard")
    assert page.page.locator(".isi-error").text_content() == "_"
    assert page.faults == []


def test_tokens_of_a_loaded_text_encoder_behind_other_nodes_and_joined_plans(page, server):
    folder = server.base / "models" / "text_encoders"
    folder.mkdir(parents=True, exist_ok=True)
    names = ("embeddings.token_embedding.weight", "encoder.layers.0.self_attn.k_proj.weight")
    shapes = {f"text_model.{name}": torch.zeros(4, 768) for name in names}
    for name in ("l", "g"):
        save_file(shapes, folder / f"{name}.safetensors")
    graph = run_graph("encoders", script="a b c")
    graph |= {
        "4": {
            "class_type": "CLIPLoader",
            "inputs": {"clip_name": "l.safetensors", "type": "stable_diffusion", "device": "default"},
        },
        "5": {
            "class_type": "DualCLIPLoader",
            "inputs": {"clip_name1": "l.safetensors", "clip_name2": "g.safetensors", "type": "sdxl"},
        },
        "6": {"class_type": "CLIPSetLastLayer", "inputs": {"clip": ["4", 0], "stop_at_clip_layer": -2}},
        "7": {"class_type": "LoraLoader", "inputs": {
            "model": ["1", 0], "clip": ["6", 0], "lora_name": "x", "strength_model": 1.0,
            "strength_clip": 1.0,
        }},
        "8": {"class_type": "ISI_Script", "inputs": {**graph["2"]["inputs"], "script": "before"}},
        "9": {"class_type": "ISI_JoinPlans", "inputs": {"first": ["8", 0], "second": ["2", 0]}},
    }  # fmt: skip
    graph["3"]["inputs"] |= {"clip": ["7", 1], "plan": ["9", 0]}
    page.faults.clear()
    page.load_api(graph, "encoders")
    show(page, "ISI_Script")
    told = page.page.locator(".isi-script-tokens")
    expect(told).to_have_text(["3/75", "1/75"], timeout=20_000)
    choose(page, "4", "type", "sd3")
    expect(told).to_have_count(0, timeout=20_000)
    link = """type => {
      const find = type => app.rootGraph.nodes.find(node => node.type === type);
      find(type).connect(0, find("CLIPSetLastLayer"), 0);
    }"""
    page.evaluate(link, "DualCLIPLoader")
    expect(told).to_have_text(["3/75", "1/75"], timeout=20_000)
    choose(page, "5", "type", "flux")
    expect(told).to_have_count(0, timeout=20_000)
    assert page.faults == []


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


@pytest.mark.newest
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
