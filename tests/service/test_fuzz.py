"""Whatever is asked, as the door's own OpenAPI schema says or not: never a 5xx, and no file outside."""

import io
import mimetypes
import os
import random

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from PIL import Image

from ..inside import kept_inside
from .doors import SAVE, door

EXAMPLES = int(os.environ.get("ISI_FUZZ", 12))
"""Requests for each endpoint; 1500 make 20,000."""


@pytest.fixture(scope="module")
def asked(tmp_path_factory):
    """A door and its schema. What is touched outside of the data folder is looked at in the end."""
    folder = tmp_path_factory.mktemp("fuzz")
    (folder / "data").mkdir()
    with door(folder / "data") as running:
        schema = schemathesis.openapi.from_url(f"{running.url}/openapi.json")
        mimetypes.init()  # which the door reads once
        with kept_inside(folder / "data", others_only=True) as outside:
            yield running, schema
            assert not outside
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


def there(running):
    """What an id or a hash in a path may be so that something is found: a job that has ended, its picture, an
    upload."""
    picture = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(picture, "PNG")
    body = b'--m\r\nContent-Disposition: form-data; name="file"; filename="p"\r\n\r\n%s\r\n--m--\r\n'
    kind = "multipart/form-data; boundary=m"
    upload = running.ask("POST", "/api/v2/assets", body % picture.getvalue(), Content_Type=kind)[2]
    job = running.end(running.submit(SAVE)[2]["id"])
    return {"id": [job["id"], job["outputs"][0]["id"], upload["id"]], "hash": [upload["hash"]]}


def test_requests_of_the_schema_are_never_answered_with_a_fault_of_ours(asked):
    running, schema = asked
    operations = [each.ok() for each in schema.get_all_operations()]
    assert len(operations) >= 15
    found = set()

    for operation in operations:
        cases, names = operation.as_strategy(), there(running)

        @seed(0)
        @settings(
            max_examples=EXAMPLES,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
            database=None,
        )
        @given(case=cases, names=st.just(names), chance=st.randoms(use_true_random=False))
        def ask(case, names, chance):
            for name in case.path_parameters or {}:
                if chance.random() < 0.5:
                    case.path_parameters[name] = chance.choice(names[name])
            answer = case.call(base_url=running.url, timeout=60)
            assert answer.status_code < 500, (answer.status_code, answer.text, case.as_curl_command())
            found.add((case.operation.label, answer.status_code // 100))

        ask()
    assert paths(running) == set()
    assert {label for label, kind in found if kind == 2} >= {
        each.label for each in operations if "{" in each.path
    }


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
