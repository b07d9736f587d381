"""The workflow in a picture opens with the strip at that picture; nothing else in it is touched."""

import json

import pytest

GRAPH = {
    "nodes": [{"id": 7, "type": "ISI_Iterate", "properties": {"a": 1}}, {"id": 3, "type": "sub"}],
    "definitions": {"subgraphs": [{"id": "sub", "nodes": [{"id": 7, "type": "ISI_Iterate"}]}]},
    "extra": {"ds": {"scale": 1}},
}


@pytest.fixture
def noted(booted):
    from comfy_execution.utils import CurrentNodeContext
    from isi.host.loop.notes import with_shown

    def note(node_id, notes):
        with CurrentNodeContext("job", node_id):
            return with_shown(notes, "blue", "k" * 32)

    return note


@pytest.mark.parametrize("node_id, within", [("7", GRAPH), ("3:7", GRAPH["definitions"]["subgraphs"][0])])
def test_the_node_that_ran_is_told_its_run(noted, node_id, within):
    notes = {"prompt": "{}", "workflow": json.dumps(GRAPH)}
    told = noted(node_id, notes)
    assert notes["workflow"] == json.dumps(GRAPH) and told["prompt"] == "{}"
    wanted = json.loads(json.dumps(GRAPH))
    at = wanted if within is GRAPH else wanted["definitions"]["subgraphs"][0]
    at["nodes"][0].setdefault("properties", {}).update({"isi_run": "blue", "isi_key": "k" * 32})
    assert json.loads(told["workflow"]) == wanted


@pytest.mark.parametrize("workflow", ["null", "[]", '{"nodes": null}', '{"nodes": [{"id": 3}]}', "{}"])
@pytest.mark.parametrize("node_id", ["7", "3:7"])
def test_a_graph_without_the_node_stays_as_it_is(noted, node_id, workflow):
    assert noted(node_id, {"workflow": workflow}) == {"workflow": workflow}
    assert noted(node_id, {}) == {}
