"""The badge of a model file in the real page, in both renderers: what the file is and what is still to be
connected, before anything is queued."""

import io

import pytest
from isi.core.models.detect import detect
from isi.core.models.safetensors_header import read_header
from isi.tools.browser import front_end
from playwright.sync_api import expect

from ..core.models.header_vectors import safetensors_start, vectors
from .front import arrange, choose

FILES = ("sd1-4", "sd1-8", "sd1-9", "sd1-12", "sd2-5", "sdxl-9", "x4-7", "svd-8")
FIRST = "checkpoints/sd1-9.safetensors"
WIRED = {
    "1": {"class_type": "ISI_LoadConcatModel", "inputs": {"file": FIRST, "kind": "auto"}},
    "2": {"class_type": "CLIPTextEncode", "inputs": {"text": "sea", "clip": ["1", 1]}},
    "3": {"class_type": "LoadImage", "inputs": {"image": "circle.png"}},
    "4": {
        "class_type": "ISI_ConcatConditioning",
        "inputs": {
            "model": ["1", 0], "positive": ["2", 0], "vae": ["1", 2], "kind": "auto", "image": ["3", 0],
        },
    },
    "5": {"class_type": "ISI_InspectModel", "inputs": {"file": FIRST, "kind": "auto"}},
}  # fmt: skip
ARRANGE = """() => {
  const places = { 1: [0, 0], 5: [0, 400], 4: [420, 0], 3: [420, 440], 2: [820, 0] };
  for (const node of app.rootGraph.nodes) node.pos = places[node.id];
  app.canvas.ds.scale = 1;
  app.canvas.ds.offset = [120, 120];
  app.canvas.setDirty(true, true);
}"""


@pytest.fixture(scope="module")
def headers(server):
    """Files with the names and shapes of real models and no weights, among the server's checkpoints."""
    folder = server.base / "models/checkpoints"
    found = {}
    for name in FILES:
        start, size = safetensors_start(vectors()[f"checkpoint/{name}"])
        with (folder / f"{name}.safetensors").open("wb") as file:
            file.write(start)
            file.truncate(size)
        found[name] = detect(read_header(io.BytesIO(start), size), f"{name}.safetensors")
    yield found
    for name in FILES:
        (folder / f"{name}.safetensors").unlink()


@pytest.fixture(scope="module", params=[False, True], ids=["canvas", "nodes2"])
def page(request, server, headers, chromium):
    with front_end(chromium, server, nodes2=request.param) as opened:
        yield opened


@pytest.fixture
def badges(page):
    """The badges of ISI Load Concat Model and of ISI Inspect Model, in an open graph."""
    page.faults.clear()
    page.load_api(WIRED, "badge")
    arrange(page, ARRANGE)
    found = page.page.locator(".isi-badge")
    expect(found).to_have_count(2, timeout=30_000)
    expect(found.first).to_contain_text("9 channels", timeout=30_000)
    yield found.first, found.last
    assert page.faults == []


def connect(page, source, slot, target, name):
    page.evaluate(
        "([source, slot, target, name]) => { const node = app.rootGraph.getNodeById(target);"
        " app.rootGraph.getNodeById(source).connect(slot, node,"
        " node.inputs.findIndex(input => input.name === name)); }",
        [source, slot, target, name],
    )


def test_says_what_the_server_finds(page, badges, headers):
    for badge, node in zip(badges, (1, 5), strict=True):
        for name, found in list(headers.items())[node == 1 :: 2]:
            choose(page, node, "file", f"checkpoints/{name}.safetensors")
            kinds = badge.locator(".isi-badge-kind")
            expect(kinds).to_have_text(list(found.candidates))
            expect(badge).to_contain_text(f"{found.channels} channels")
            expect(badge).to_contain_text(f"{found.family} · {found.layout} · {found.role}")
            expect(badge.locator(".isi-badge-bar i")).to_have_count(found.channels)


@pytest.mark.newest
def test_names_the_inputs_that_are_missing_until_they_are_connected(page, badges):
    for badge in badges:
        expect(badge).to_contain_text("ISI Concat Conditioning still needs mask, negative")
    connect(page, 2, 0, 4, "negative")
    connect(page, 3, 1, 4, "mask")
    for badge in badges:
        expect(badge).to_contain_text("ISI Concat Conditioning has all that it needs")
    choose(page, 1, "file", "checkpoints/sd1-12.safetensors")
    expect(badges[0]).to_contain_text("still needs background")
    expect(badges[1]).to_contain_text(
        "Connect the model to ISI Concat Conditioning; it needs image, mask, vae."
    )
    page.evaluate("() => app.rootGraph.remove(app.rootGraph.getNodeById(4))")
    expect(badges[0]).to_contain_text(
        "Connect the model to ISI Concat Conditioning; it needs image, background, vae."
    )


def test_follows_the_model_through_other_nodes_and_into_a_loop(page, badges):
    page.evaluate(
        """() => {
          const graph = app.rootGraph;
          const add = type => { const made = LiteGraph.createNode(type); graph.add(made); return made; };
          const [reroute, lora] = [add("Reroute"), add("LoraLoaderModelOnly")];
          graph.getNodeById(1).connect(0, reroute, 0);
          reroute.connect(0, lora, 0);
          lora.connect(0, graph.getNodeById(4), 0);
        }"""
    )
    expect(badges[0]).to_contain_text("ISI Concat Conditioning still needs mask, negative")
    page.evaluate("() => app.rootGraph.convertToSubgraph(new Set([app.rootGraph.getNodeById(4)]))")
    expect(badges[0]).to_contain_text("ISI Concat Conditioning still needs mask, negative")
    choose(page, 1, "file", "checkpoints/sd2-5.safetensors")
    page.evaluate(
        """() => {
          const graph = app.rootGraph;
          for (const node of graph.nodes.filter(node => node.subgraph)) graph.remove(node);
          const loop = LiteGraph.createNode("ISI_Iterate");
          graph.add(loop);
          graph.getNodeById(1).connect(0, loop, loop.inputs.findIndex(input => input.name === "model"));
        }"""
    )
    expect(badges[0]).to_contain_text("ISI Iterate still needs clip, vae, plan, conditioner")
    page.evaluate(
        """() => {
          const graph = app.rootGraph;
          const loop = graph.nodes.find(node => node.type === "ISI_Iterate");
          const conditioner = LiteGraph.createNode("ISI_ConcatConditioner");
          graph.add(conditioner);
          conditioner.connect(0, loop, loop.inputs.findIndex(input => input.name === "conditioner"));
        }"""
    )
    expect(badges[0]).to_contain_text("ISI Concat Conditioner still needs depth")


def test_an_ambiguous_kind_is_settled_by_the_override(page, badges):
    choose(page, 1, "file", "checkpoints/sd1-8.safetensors")
    expect(badges[0].locator(".isi-badge-head")).to_contain_text(
        "instruct-pix2pix | ic-light-fc", use_inner_text=False
    )
    expect(badges[0]).to_contain_text("choose one in the input kind")
    choose(page, 1, "kind", "ic-light-fc")
    expect(badges[0].locator(".isi-badge-kind")).to_have_text(["ic-light-fc"])
    choose(page, 1, "kind", "depth")
    expect(badges[0]).to_contain_text("`kind` is set to depth, which takes 5 input channels")


def test_a_missing_file_says_so_and_its_name_is_no_markup(page, badges):
    choose(page, 1, "file", "checkpoints/<img src=x onerror=hacked=1>.safetensors")
    expect(badges[0]).to_contain_text("<img src=x onerror=hacked=1>.safetensors' was not found")
    assert badges[0].locator("img").count() == 0
    choose(page, 1, "file", "checkpoints/sd1-9.safetensors")
    expect(badges[0]).to_contain_text("9 channels")


@pytest.mark.parametrize("way", ["mouse", "keyboard"])
def test_its_button_goes_to_the_node(page, badges, way):
    page.evaluate("() => app.canvas.deselectAll()")
    button = badges[0].get_by_role("button", name="ISI Concat Conditioning")
    if way == "mouse":
        button.click()
    else:
        button.focus()
        page.page.keyboard.press("Enter")
    assert page.evaluate("() => Object.values(app.canvas.selected_nodes).map(node => Number(node.id))") == [4]


def test_a_copy_a_reload_and_undo_keep_it(page, badges):
    page.load(page.serialize())
    expect(page.page.locator(".isi-badge").first).to_contain_text("still needs mask, negative")
    page.evaluate(
        "() => { app.canvas.selectNode(app.rootGraph.getNodeById(1));"
        " app.canvas.copyToClipboard(); app.canvas.pasteFromClipboard(); }"
    )
    badges = page.page.locator(".isi-badge")
    expect(badges).to_have_count(3)
    expect(badges.last).to_contain_text("Connect the model to ISI Concat Conditioning")
    page.page.locator("canvas#graph-canvas").focus()
    page.page.keyboard.press("Delete")
    expect(badges).to_have_count(2)
    page.page.keyboard.press("Control+z")
    expect(badges).to_have_count(3)
    expect(badges.first).to_contain_text("still needs mask, negative")
