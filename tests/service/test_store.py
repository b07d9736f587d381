"""The list of jobs, against a list in Python; and what a kill leaves."""

import json
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from isi.service.jobs.store import MOST_DEATHS, Full, InUse, JobStore, KeyReused, Made

from ..conftest import ROOT

GRAPH = {"1": {"class_type": "Save", "inputs": {}}}
WRITER = """
import sys
from pathlib import Path
from isi.service.jobs.store import JobStore
store = JobStore(Path(sys.argv[1]))
while True:
    print(store.submit({"1": {}})[0]["id"], flush=True)
    store.claim("w")
"""


@pytest.fixture
def store(tmp_path):
    jobs = JobStore(tmp_path / "jobs.sqlite")
    yield jobs
    jobs.close()


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("submit"), st.integers(-10, 10)),
        st.tuples(st.sampled_from(["claim", "end", "die", "cancel"]), st.integers(0, 20)),
    ),
    max_size=40,
)


@settings(max_examples=25)  # each commit waits for the disk
@given(steps=STEPS)
def test_jobs_are_given_out_as_a_sorted_list_would_and_end_once(tmp_path_factory, steps):
    store = JobStore(tmp_path_factory.mktemp("store") / "jobs.sqlite")
    waiting, running, deaths, ended = [], [], {}, {}  # (-priority, number, id)
    for number, (step, value) in enumerate(steps):
        if step == "submit":
            row, fresh = store.submit(GRAPH, priority=value)
            assert fresh
            waiting.append((-value, number, row["id"]))
        elif step == "claim":
            row = store.claim("w")
            assert (row["id"] if row else None) == (min(waiting)[2] if waiting else None)
            if row:
                running.append((min(waiting), row["attempt"]))
                waiting.remove(min(waiting))
        elif running:
            place, attempt = running.pop(value % len(running))
            job = place[2]
            assert not store.end(job, attempt + 1, "failed")  # nobody has that attempt
            if step == "cancel":
                assert store.ask_cancel(job) == "running"
                assert store.give_back(job, attempt, "") == "canceled"
                ended[job] = "canceled"
            elif step == "die":
                deaths[job] = deaths.get(job, 0) + 1
                expected = "failed" if deaths[job] == MOST_DEATHS else "queued"
                assert store.give_back(job, attempt, "") == expected
                waiting += [place] if expected == "queued" else []
                ended |= {job: "failed"} if expected == "failed" else {}
            else:
                assert store.end(job, attempt, "succeeded")
                assert not store.end(job, attempt, "failed")
                ended[job] = "succeeded"
    assert {name: store.job(name)["status"] for name in ended} == ended
    for place in sorted(waiting):
        assert store.position(store.job(place[2])) == sorted(waiting).index(place)
    assert store.waiting() == len(waiting)
    store.close()


def test_a_late_attempt_writes_nothing(store):
    job = store.submit(GRAPH)[0]["id"]
    first = store.claim("a")["attempt"]
    store.release(job, first)
    second = store.claim("b")["attempt"]
    assert store.add(job, first, [Made("1", "output/late.png", 1)]) == 0
    assert not store.end(job, first, "succeeded", [Made("1", "output/late.png", 1)])
    assert store.end(job, second, "succeeded", [Made("1", "output/a.png", 1)])
    assert [row["place"] for row in store.outputs(job)] == ["output/a.png"]


def test_one_key_is_one_job_and_another_graph_under_it_is_said(store):
    row, fresh = store.submit(GRAPH, "key")
    again, second = store.submit(json.loads(json.dumps(GRAPH)), "key")
    assert (fresh, second, again["id"]) == (True, False, row["id"])
    with pytest.raises(KeyReused):
        store.submit({"2": GRAPH["1"]}, "key")
    store.most_waiting = 1
    with pytest.raises(Full):
        store.submit(GRAPH, "another")
    assert not store.submit(GRAPH, "key")[1]  # what is known already is no new job


def test_a_door_that_was_killed_leaves_every_job_that_it_had_accepted(tmp_path):
    load = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from service.__main__ import import_main;"
    code = f"{load} import_main('jobs.store')\n{WRITER}"
    command = [sys.executable, "-c", code, str(tmp_path / "jobs.sqlite")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        said = [writer.stdout.readline().strip() for _ in range(30)]
        with pytest.raises(InUse):
            JobStore(tmp_path / "jobs.sqlite")
        writer.kill()
        said += [line.strip() for line in writer.stdout.read().splitlines() if len(line.strip()) == 36]
    assert len(said) >= 30 and all(said)
    store = JobStore(tmp_path / "jobs.sqlite")
    assert [store.job(name)["status"] for name in said] == ["queued"] * len(said)
    assert store.claim("w")["id"] == said[0] and store.job(said[0])["attempt"] == 2
    store.close()
