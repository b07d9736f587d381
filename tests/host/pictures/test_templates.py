"""What every shipped workflow makes is what its expectations say, with the shipped seed and two others."""

import json
import shutil

import pytest
from isi.tools import graphs
from isi.tools.mini import expect

from ..harness import CAUGHT

RUN = "ISI_RUN"


def kind(host, node, slot):
    return host.nodes[node["class_type"]].RETURN_TYPES[slot]


def catch(host, graph, wanted):
    """Runs a graph as far as the outputs in `wanted`: their pictures or masks."""
    for node_id, slot in wanted:
        source = [node_id, slot]
        if kind(host, graph[node_id], slot) == RUN:
            every = {"run": source, "first": 1, "last": 0, "every": 1}
            graph[f"images {node_id}"] = {"class_type": "ISI_RunImages", "inputs": every}
            source = [f"images {node_id}", 0]
        name = f"{node_id}.{slot}"
        graph[f"catch {name}"] = {"class_type": "Test_Catch", "inputs": {"name": name, "value": source}}
    host.run(graph, [node_id for node_id in graph if node_id.startswith("catch ")])
    return {(node_id, slot): CAUGHT.pop(f"{node_id}.{slot}") for node_id, slot in wanted}


@pytest.mark.slow
@pytest.mark.parametrize("by", [0, 101, 202], ids=["shipped", "second", "third"])
@pytest.mark.parametrize("name", graphs.names())
def test_a_template_shows_what_it_should(host, name, by):
    for picture in graphs.inputs():
        shutil.copy(picture, host.base / "input")
    expected = json.loads((graphs.WORKFLOWS / "api" / f"{name}.expect.json").read_text("utf-8"))
    graph = graphs.load(name)
    graphs.reseed(graph, by)
    assert expect.faults(expected, catch(host, graph, expect.sources(expected))) == []
