"""Keys on every node of the host that changes a MODEL, CLIP or VAE: each widget counts, nothing else does."""

import json
import subprocess
import sys
from pathlib import Path

import folder_paths
import pytest
from comfy_execution.graph import DynamicPrompt
from isi.host.keys.files import Files
from isi.host.keys.graph import subgraph

from ...conftest import ROOT
from .host_nodes import Builder, carriers, link, make_files, moved, spec_of


@pytest.fixture(scope="module")
def classes(booted):
    make_files(Path(folder_paths.models_dir))
    return booted.nodes


def key(classes, graph: dict, carrier: str) -> str:
    files = Files()
    files.refresh()
    output = list(classes[graph["node"]["class_type"]].RETURN_TYPES).index(carrier)
    found = subgraph(DynamicPrompt(json.loads(json.dumps(graph))), ["node", output], files)
    assert not found.doubts and not found.fresh and not found.lists
    return json.dumps([found.output, found.nodes])


def test_each_widget_of_each_node_counts_and_nothing_else(classes):
    builder, count = Builder(classes), 0
    nodes = carriers(classes)
    assert len(nodes) >= 60
    for name, carrier in nodes.items():
        graph = builder.around(name)
        same = key(classes, graph, carrier)
        assert key(classes, builder.around(name), carrier) == same
        for widget, (type_, options, _) in spec_of(classes[name]).items():
            if link(type_) or widget not in graph["node"]["inputs"]:
                continue
            value = moved(type_, options, graph["node"]["inputs"][widget])
            if value is not None:
                assert key(classes, builder.around(name, **{widget: value}), carrier) != same, (name, widget)
                count += 1
    assert count >= 300


def test_circles_and_gaps_in_a_graph_end_and_prove_nothing(classes):
    files = Files()
    patch = {"class_type": "CFGOverride", "inputs": {"model": ["node", 0], "cfg": 1.0}}
    circle = subgraph(DynamicPrompt({"node": patch}), ["node", 0], files)
    assert len(circle.nodes) == 1
    for broken in ({"model": ["gone", 0]}, {"model": ["odd", 0]}):
        graph = {"node": {**patch, "inputs": broken}, "odd": {"class_type": "No such class", "inputs": {}}}
        assert subgraph(DynamicPrompt(graph), ["node", 0], files).doubts


def test_titles_ids_order_and_neighbours_do_not_count(classes):
    graph = Builder(classes).around("LoraLoader")
    same = key(classes, graph, "MODEL")
    renamed = json.loads(json.dumps(graph).replace("a checkpoint", "17"))
    titled = {id_: {**node, "_meta": {"title": "mine"}} for id_, node in reversed(graph.items())}
    beside = {**graph, "other": {"class_type": "EmptyLatentImage", "inputs": {"width": 8}}}
    for other in (renamed, titled, beside):
        assert key(classes, other, "MODEL") == same
    floats = json.loads(json.dumps(graph))
    floats["node"]["inputs"]["strength_model"] = 1
    whole = json.loads(json.dumps(floats))
    whole["node"]["inputs"]["strength_model"] = 1.0
    text = json.loads(json.dumps(floats))
    text["node"]["inputs"]["strength_model"] = "1"
    assert key(classes, floats, "MODEL") == key(classes, whole, "MODEL") != key(classes, text, "MODEL")


CODE = """
import sys; sys.path[:0] = [{root!r}]
from pathlib import Path
from tests.host.harness import Host
host = Host(Path({base!r}))
from tests.host.keys.runs import {what}
{what}(host, Path({out!r}))
"""


def process(base: Path, what: str) -> dict:
    """What a function of `runs.py` told of a new process on the folders in `base`."""
    told = base / "report.json"
    told.unlink(missing_ok=True)
    code = CODE.format(root=str(ROOT), base=str(base), out=str(told), what=what)
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert told.exists(), ended.stderr[-3000:]
    return json.loads(told.read_text("utf-8"))


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_new_process_reuses_every_embedded_kind(tmp_path):
    first, second = process(tmp_path, "kinds"), process(tmp_path, "kinds")
    assert len(first) >= 7 and {kind: [False, False] for kind in first} == first
    assert {kind: [True, True] for kind in first} == second


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_through_iterate_nothing_is_made_twice(tmp_path):
    """All nodes on one loaded model, then each with another last group, then all again in a new process."""
    first, second = process(tmp_path, "edited"), process(tmp_path, "again")
    ran = {name: calls for name, calls in first["edited"].items() if calls is not None}
    assert len(ran) >= 40, first["errors"]
    assert first["refused"] == [], "ISI Iterate refuses what KSampler takes"
    assert {name: calls for name, calls in ran.items() if calls != 1} == {}
    again = {name: second["whole"][name] for name in ran}
    assert {name: calls for name, calls in again.items() if calls != 0} == {}
