"""Makes workflows/NAME.json and workflows/NAME.jpg from workflows/api/NAME.json.

    .venv/bin/python -m tools.make_workflow [--form] NAME [NAME ...]

The real front end loads the API form, so the UI form is what a user would have saved; we lay it out from
left to right. The API form itself is rewritten with every widget that it left at its default. The graph is
then run, and the picture that it makes becomes its thumbnail (`tools/thumbnail.py`): the last picture of the
node given with --picture ID, else the one that shows an ISI_ContactSheet or an ISI_Grid, else the last that
is saved. If there is a workflows/api/NAME.md, its text stands beside the graph as a note.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
import uuid
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

from . import browser, client, graphs, thumbnail
from .server import Server

WORKFLOWS = graphs.WORKFLOWS
GAP_X, GAP_Y, TITLE = 44, 40, 30
WIDEST = 1600
"""The longest line of nodes."""
SCALE = 0.72
"""The saved view: a line of nodes fits into a window of 1280 pixels, with its text."""
BARS = (80, 130)
"""Pixels of a window beside and above the canvas that the front end's own bars lie over."""
NOTE_COLUMN = -1
WIDE = {"ISI_Script": (420, 420), "CLIPTextEncode": (380, 160)}
PICTURE = (320, 360)
# Queueing a shipped graph again has to give the same picture again.
KEEP_SEEDS = """() => app.rootGraph.nodes.flatMap(node => node.widgets ?? [])
    .filter(widget => widget.name === "control_after_generate")
    .forEach(widget => { widget.value = "fixed"; })"""
SWAP = (
    "**Your own model**: put *Load Checkpoint* in the place of *ISI Mini Checkpoint*; it has the same three"
    " outputs. The mini model only knows coloured shapes, so that this graph runs anywhere."
)


def sources(node: dict) -> set[str]:
    """The ids of the nodes that a node takes something from."""
    return {str(value[0]) for value in node["inputs"].values() if isinstance(value, list) and value}


def columns(graph: graphs.Graph) -> dict[str, int]:
    """The column of each node: right of everything it takes, and sources close to what they feed."""
    column: dict[str, int] = {}

    def place(node_id: str) -> int:
        if node_id not in column:
            column[node_id] = max((place(source) + 1 for source in sources(graph[node_id])), default=0)
        return column[node_id]

    for node_id in graph:
        place(node_id)
    for node_id in graph:
        users = [column[user] for user in graph if node_id in sources(graph[user])]
        if not sources(graph[node_id]) and users:
            column[node_id] = min(users) - 1
    return column


def size(node: dict, own: list[float]) -> list[float]:
    """How large to draw a node: what it asks for, more for long texts and for pictures."""
    shows = "Image" in node["class_type"] and node["class_type"].startswith(("Load", "Save", "Preview"))
    least = WIDE.get(node["class_type"], PICTURE if shows else (300, 0))
    return [max(own[0], least[0]), max(own[1], least[1])]


def lay_out(workflow: dict, graph: graphs.Graph) -> None:
    """Gives every node of the UI form a place and a size.

    Columns go from left to right in lines, as words do, none wider than WIDEST: what is further away than
    the view below is drawn by the front end as grey boxes.
    """
    column = columns(graph)
    groups: dict[int, list[dict]] = {}
    for node in workflow["nodes"]:
        if str(node["id"]) in graph:
            node["size"] = size(graph[str(node["id"])], node["size"])
        groups.setdefault(column.get(str(node["id"]), NOTE_COLUMN), []).append(node)
    x = y = bottom = 0.0
    for _, members in sorted(groups.items()):
        width = max(node["size"][0] for node in members)
        if x and x + width > WIDEST:
            x, y = 0.0, bottom
        at = y
        for node in members:
            node["pos"] = [x, at]
            at += node["size"][1] + TITLE + GAP_Y
        bottom = max(bottom, at)
        x += width + GAP_X


def add_note(workflow: dict, text: str) -> None:
    """Puts a note into the graph. Notes live in the UI form only."""
    workflow["last_node_id"] += 1
    note = {
        "id": workflow["last_node_id"], "type": "MarkdownNote", "pos": [0, 0], "size": [340, 300],
        "flags": {}, "order": 0, "mode": 0, "inputs": [], "outputs": [], "title": "Note",
        "properties": {}, "widgets_values": [text],
    }  # fmt: skip
    workflow["nodes"].append(note)


def make_ui(name: str, opened: browser.FrontEnd) -> graphs.Graph:
    """Writes both forms of the workflow; returns the completed API form."""
    graph = graphs.load(name)
    opened.load_api(graph, name)
    opened.evaluate(KEEP_SEEDS)
    workflow = opened.serialize()
    workflow["id"] = str(uuid.uuid5(uuid.NAMESPACE_URL, f"isi-nodes/workflows/{name}"))
    text = WORKFLOWS / "api" / f"{name}.md"
    notes = [text.read_text("utf-8").strip()] if text.exists() else []
    loaders = [node["inputs"]["kind"] for _, node in graphs.nodes_of(graph, "ISI_MiniCheckpoint")]
    notes += [SWAP] if set(loaders) - {"unclip"} else []  # which takes another loader, and says so
    if notes:
        add_note(workflow, "\n\n".join(notes))
    lay_out(workflow, graph)
    workflow["extra"]["ds"] = {"scale": SCALE, "offset": [edge / SCALE for edge in BARS]}
    opened.load(workflow)
    completed = opened.prompt()
    lost = {node["class_type"] for node_id, node in graph.items() if node_id not in completed}
    if lost:
        raise SystemExit(f"{name}: the front end does not know {', '.join(sorted(lost))}")
    write(WORKFLOWS / f"{name}.json", workflow)
    write(WORKFLOWS / "api" / f"{name}.json", completed)
    return completed


def write(path: Path, value: dict) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", "utf-8")


def make_picture(name: str, graph: graphs.Graph, server: Server, chosen: str | None) -> None:
    """Runs the graph and writes its thumbnail."""
    outputs = client.execute(server.url, graph)
    if any(graphs.nodes_of(graph, "ISI_Grid")):  # its cells are prompts of their own; the next one shows them
        while any(server.get("/queue").values()):
            time.sleep(0.2)
        outputs = client.execute(server.url, graph)
    found = graphs.pictures(outputs, server.base)
    if not found:
        raise SystemExit(f"{name}: no output node made a picture")
    sheets = {node_id for node_id, _ in graphs.nodes_of(graph, "ISI_ContactSheet")}
    ids = [node_id for node_id in graph if node_id in found]
    of_sheets = [
        node_id
        for node_id in ids
        if sources(graph[node_id]) & sheets or graph[node_id]["class_type"] == "ISI_Grid"
    ]
    saved = [node_id for node_id, _ in graphs.nodes_of(graph, "SaveImage") if node_id in found]
    after = found[chosen or (of_sheets or saved or ids)[-1]][-1]
    loaded = [node["inputs"]["image"] for _, node in graphs.nodes_of(graph, "LoadImage")]
    before = server.base / "input" / loaded[0] if len(loaded) == 1 and not of_sheets else None
    thumbnail.make(after, before).save(WORKFLOWS / f"{name}.jpg", quality=88, optimize=True)


def make(names: list[str], chosen: str | None, only_form: bool, window: Browser, base: Path) -> None:
    with Server(base) as server:
        with browser.front_end(window, server) as opened:
            done = {name: make_ui(name, opened) for name in names}
        for name, graph in ({} if only_form else done).items():
            make_picture(name, graph, server, chosen)
            print(f"workflows/{name}.json, workflows/{name}.jpg, workflows/api/{name}.json")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="+", metavar="NAME")
    parser.add_argument("--picture", metavar="ID", help="the node whose picture becomes the thumbnail")
    parser.add_argument("--form", action="store_true", help="leave the thumbnail as it is, and run nothing")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        executable = browser.find(playwright)
        if not executable:
            print(browser.how_to_get_one())
            return 1
        make(args.names, args.picture, args.form, browser.launch(playwright, executable), Path(folder))
    return 0


if __name__ == "__main__":
    sys.exit(main())
