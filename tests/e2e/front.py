"""What the tests of the page share: a small run to queue, and runs as finished ones lie on disk."""

import json

import pytest
from PIL import Image

RUN = {
    "1": {"class_type": "ISI_MiniCheckpoint", "inputs": {"kind": "base"}},
    "2": {
        "class_type": "ISI_Script",
        "inputs": {
            "script": "red; <b>green</b>; blue", "steps": 2, "cfg": 5.0, "denoise": 0.7, "final_denoise": 0.7,
            "curve": "constant", "seed": 3, "seed_mode": "increment",
        },
    },
    "3": {
        "class_type": "ISI_Iterate",
        "inputs": {
            "model": ["1", 0], "clip": ["1", 1], "vae": ["1", 2], "plan": ["2", 0], "negative": "",
            "sampler_name": "euler", "scheduler": "normal", "width": 64, "height": 64, "run_name": "",
        },
    },
}  # fmt: skip
SHOW = """type => {
  const node = app.canvas.graph.nodes.find(node => node.type === type);
  node.setSize([520, node.size[1]]);
  app.canvas.ds.scale = 1;
  app.canvas.ds.offset = [300 - node.pos[0], 100 - node.pos[1]];
  app.canvas.setDirty(true, true);
}"""
# What each of our nodes that has one does with its seed after a queueing, when it is new.
SEEDS = """() => Object.keys(LiteGraph.registered_node_types)
  .filter(type => type.startsWith("ISI_"))
  .flatMap(type => {
    // Where the default is given the older pages call the widget by it; it stands below its seed.
    const { widgets = [] } = LiteGraph.createNode(type);
    const at = widgets.findIndex(widget => widget.name === "seed" || widget.name === "noise_seed");
    return at < 0 ? [] : [[type, widgets[at + 1]?.value]];
  })"""
DRAWN = "async () => { for (let n = 0; n < 3; n++) await new Promise(requestAnimationFrame); }"
WATCH_RUN = """() => {
  window.ended = null;
  for (const kind of ["execution_success", "execution_error"])
    app.api.addEventListener(kind, () => { window.ended = kind; });
}"""


def run_graph(run_name, **script):
    """The API form of a run of that name; `script` are inputs of its ISI Script."""
    graph = json.loads(json.dumps(RUN))
    graph["2"]["inputs"] |= script
    graph["3"]["inputs"]["run_name"] = run_name
    return graph


def keep_seed(page):
    """Queueing again shall mean the same run."""
    page.evaluate(
        "() => { app.rootGraph.nodes.find(node => node.type === 'ISI_Script')"
        ".widgets.filter(widget => widget.name === 'control_after_generate')"
        ".forEach(widget => { widget.value = 'fixed'; }); }"
    )


def arrange(page, script, *given):
    """Moves nodes or the canvas by a script, and waits until the page has drawn them where they are now.

    The page draws its canvas with its next frame, and moves what lies over it after that: until then a place
    that is measured is not the place that a click meets.
    """
    page.evaluate(script, *given)
    page.evaluate(DRAWN)


def show(page, node_type="ISI_Iterate"):
    """Moves the canvas to a node of that type."""
    arrange(page, SHOW, node_type)


def open_strip(page, graph, run):
    """Opens `graph` (UI form) with an ISI Iterate that shows the run of that name; returns the strip."""
    graph = json.loads(json.dumps(graph))
    next(node for node in graph["nodes"] if node["type"] == "ISI_Iterate")["properties"]["isi_run"] = run
    page.load(graph)
    show(page)
    return page.page.locator(".isi-strip")


def write_run(base, name, pictures, labels=None):
    """A run of that name as a finished one lies on disk; `pictures` are PIL images or sizes."""
    keys = [f"{number:08x}{0:024x}" for number in range(len(pictures))]
    labels = labels or [f"step {number}" for number in range(1, len(pictures) + 1)]
    runs, folder = base / "user/isi/runs", base / "output/isi" / name
    runs.mkdir(parents=True, exist_ok=True)
    folder.mkdir(parents=True, exist_ok=True)
    plan = {"version": 1, "steps": [{"label": label, "prompt": ""} for label in labels]}
    manifest = {"version": 1, "name": name, "keys": keys, "plan": plan}
    (runs / f"{name}.json").write_text(json.dumps(manifest), "utf-8")
    for index, (key, picture) in enumerate(zip(keys, pictures, strict=True)):
        if isinstance(picture, tuple):
            picture = Image.new("RGB", picture, (index % 256, 90, 160))
        picture.save(folder / f"{index + 1:04d}-{key[:8]}.png")
    return folder


def choose(page, node, name, value):
    """Sets a widget as a click on it, or on its list, does."""
    page.evaluate(
        "([id, name, value]) => { const node = app.rootGraph.getNodeById(id);"
        " const widget = node.widgets.find(widget => widget.name === name);"
        " widget.value = value; widget.callback?.(value); }",
        [node, name, value],
    )


def serious(view, *parts):
    """What axe-core has against parts of a page (CSS selectors), or all of it: `[(rule, elements)]`."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    context = {"include": [[part] for part in parts]} if parts else None
    found = axe.run(view, context=context).response["violations"]
    return [
        (each["id"], [node["html"][:200] for node in each["nodes"]])
        for each in found
        if each["impact"] in ("serious", "critical")
    ]
