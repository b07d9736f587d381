"""Whatever is asked, as the door's own OpenAPI schema says or not: never a 5xx, and no file outside."""

import os
import random

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from .doors import door

EXAMPLES = int(os.environ.get("ISI_FUZZ", 12))
"""Requests for each endpoint; 1500 make 20,000."""


@pytest.fixture(scope="module")
def asked(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fuzz")
    (folder / "data").mkdir()
    with door(folder / "data") as running:
        yield running, schemathesis.openapi.from_url(f"{running.url}/openapi.json")
    assert [path.name for path in folder.iterdir()] == ["data"]


def paths(running):
    """What lies in the data folder besides the door's own files."""
    own = {
        "jobs.sqlite",
        "jobs.sqlite-wal",
        "nodes.json",
        "webhook.secret",
        "input",
        "output",
        "isi",
        "workers",
    }
    return {path.name for path in running.data.iterdir()} - own


def test_requests_of_the_schema_are_never_answered_with_a_fault_of_ours(asked):
    running, schema = asked
    operations = [each.ok() for each in schema.get_all_operations()]
    assert len(operations) >= 14

    for operation in operations:
        if operation.path.endswith("/events"):
            continue  # a stream ends with its job; here it would wait
        cases = operation.as_strategy()

        @seed(0)
        @settings(
            max_examples=EXAMPLES,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
            database=None,
        )
        @given(case=cases)
        def ask(case):
            answer = case.call(base_url=running.url, timeout=60)
            assert answer.status_code < 500, (answer.status_code, answer.text, case.as_curl_command())

        ask()
    assert paths(running) == set()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
NODE = st.fixed_dictionaries(
    {
        "class_type": st.sampled_from(["Save", "ISI_Script", "ISI_Iterate", "LoadImage", "Die", "Fail"])
        | JSON,
        "inputs": st.dictionaries(
            st.sampled_from(["script", "choices", "image", "width", "height", "filename_prefix", "run_name"]),
            JSON | st.sampled_from(["all", "../x", "{a|b} *3; c", "(a:1e9)", "/x", "a" * 200]),
        )
        | JSON,
    }
)


@settings(max_examples=5 * EXAMPLES, phases=[Phase.generate], database=None)
@given(
    graph=st.dictionaries(st.text(max_size=4), NODE, max_size=4) | JSON,
    chance=st.randoms(use_true_random=False),
)
def test_graphs_of_any_shape_are_refused_or_end(asked, graph, chance: random.Random):
    running, _ = asked
    status, _, said = running.submit(graph, priority=chance.randint(-10, 10))
    assert status in (201, 422)
    if status == 201:
        assert running.end(said["id"])["status"] in ("succeeded", "failed")
    assert paths(running) == set()
