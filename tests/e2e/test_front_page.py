"""What does not depend on the renderer: settings, commands and their menu, a server that goes away and
comes back."""

import pytest
from isi.tools import client
from isi.tools.browser import front_end
from playwright.sync_api import expect

from .front import keep_seed, open_strip, run_graph, show, write_run

pytestmark = pytest.mark.usefixtures("faultless")

SET = "([id, value]) => app.extensionManager.setting.set(id, value)"
PROGRESS = """async () => {
  const url = new URL("/extensions/isi-nodes/lib/run_progress.js", location.href);
  const { RunProgress } = await import(url.href);
  const real = performance.now;
  const at = seconds => { performance.now = () => 1000 * seconds; };
  const said = [];
  try {
    at(100);
    const run = new RunProgress();
    run.begin();
    said.push(String(run));
    run.step(10, 40); at(120); said.push(String(run));
    run.iteration({ iteration: 1, of: 4 }); said.push(String(run));
    run.step(20, 40); run.iteration({ iteration: 2, of: 4, reused: true });
    run.step(25, 40); at(130); said.push(String(run));
    run.step(40, 40); at(3800); said.push(String(run), run.share);
  } finally {
    performance.now = real;
  }
  return said;
}"""
COMMANDS = {
    "ISI.AddLoop": "ISI: Add a script and its loop",
    "ISI.ShowIterations": "ISI: Look at the iterations",
    "ISI.ContinueFromLast": "ISI: Continue from the last iteration",
}


@pytest.fixture(scope="module")
def page(server, chromium):
    with front_end(chromium, server, nodes2=True) as opened:
        opened.page.set_default_timeout(90_000)
        yield opened


@pytest.fixture(scope="module")
def graph(page, server):
    """The UI form of a small run, beside a finished one on disk that a strip can show."""
    write_run(server.base, "page", [(8, 8)] * 3)
    page.load_api(run_graph("page"), "page")
    return page.serialize()


def kinds(page):
    return sorted(node["class_type"] for node in page.prompt().values())


def test_the_size_of_the_store_reaches_the_server_and_is_obeyed(page, server):
    def stored(size, seed):
        page.evaluate(SET, ["ISI.StoreGiB", size])
        client.execute(server.url, run_graph("stored", seed=seed))
        return len(list((server.base / "user/isi/store").glob("*/*.safetensors")))

    at_first = len(list((server.base / "user/isi/store").glob("*/*.safetensors")))
    assert stored(0, 1001) == at_first
    assert stored(1, 1002) == at_first + 3
    page.evaluate(SET, ["ISI.StoreGiB", 2])


def test_the_size_of_thumbnails_is_obeyed(page, graph):
    for size in (160, 96):
        page.evaluate(SET, ["ISI.StripSize", size])
        cell = open_strip(page, graph, "page").locator(".isi-cell").first
        expect(cell).to_have_css("width", f"{size}px")


@pytest.mark.newest
def test_commands_from_the_list_and_none_takes_a_key(page, graph):
    found = page.evaluate(
        "() => app.extensionManager.command.commands.filter(each => each.id.startsWith('ISI.'))"
        ".map(each => [each.id, each.label, each.keybinding?.combo ?? null])"
    )
    assert sorted(found) == [[name, label, None] for name, label in sorted(COMMANDS.items())]
    run = "id => app.extensionManager.command.execute(id)"
    expect(open_strip(page, graph, "page").locator(".isi-cell")).to_have_count(3)
    page.evaluate(run, "ISI.ShowIterations")
    expect(page.page.locator("dialog.isi-viewer")).to_contain_text("3 / 3")
    page.page.keyboard.press("Escape")
    page.evaluate(run, "ISI.ContinueFromLast")
    page.evaluate(run, "ISI.AddLoop")
    loop = ["ISI_Iterate", "ISI_Script"]
    assert kinds(page) == sorted(["ISI_MiniCheckpoint", "ISI_OpenRun", *loop, *loop, *loop])


@pytest.mark.newest
def test_the_menu_adds_a_loop_that_is_one_step_to_undo(page, graph):
    page.load({**graph, "nodes": [], "links": []})
    page.page.locator(".comfyui-logo").first.click()
    for entry in ("Extensions", "ISI", COMMANDS["ISI.AddLoop"]):
        item = page.page.get_by_role("menuitem", name=entry, exact=True).first
        item.hover()
    item.click()
    page.page.wait_for_function("app.rootGraph.nodes.length === 2")
    assert (
        page.evaluate(
            "() => { const loop = app.rootGraph.nodes.find(node => node.type === 'ISI_Iterate');"
            " return loop.getInputNode(loop.inputs.findIndex(input => input.name === 'plan')).type; }"
        )
        == "ISI_Script"
    )
    page.evaluate("async () => { for (let n = 0; n < 20; n++) await new Promise(requestAnimationFrame); }")
    page.page.locator("canvas#graph-canvas").focus()
    page.page.keyboard.press("Control+z")
    page.page.wait_for_function("app.rootGraph.nodes.length === 0")


def test_a_server_killed_in_the_middle_of_a_run_and_started_again(page, server):
    page.load_api(run_graph("restarted", script="red @steps=12 *30"), "restarted")
    show(page)
    keep_seed(page)
    queue = page.page.locator("[data-testid=queue-button]")
    status = page.page.locator(".isi-strip-status")
    queue.click()
    expect(page.page.locator(".isi-cell").nth(1)).to_be_visible()
    server.process.kill()
    try:
        expect(status).to_have_text("The server does not answer.")
    finally:  # the tests after this one need it too
        server.stop()
        server.__enter__()
    expect(status).to_contain_text("of 30: queue again to go on.")
    assert page.page.locator(".isi-cell").count() >= 2
    queue.click()
    expect(status).to_contain_text("30 iterations in")


def test_progress_says_where_a_run_is_and_how_long_it_takes(page):
    """10 of 40 steps in 20 s leave 60 s; after 20 steps only taken from the store, 5 in 10 s leave 30 s."""
    assert page.evaluate(PROGRESS) == [
        "First iteration · 0:00",
        "First iteration · step 10 · 0:20 · about 1:00 left",
        "Iteration 2 of 4 · 0:20 · about 1:00 left",
        "Iteration 3 of 4 · step 5 · 0:30 · about 0:30 left",
        "Iteration 3 of 4 · step 20 · 1:01:40",
        1,
    ]
