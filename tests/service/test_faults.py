"""Where the machine fails: a disk that is full or does not answer, a clock that jumps."""

import os
import random
import sys
import time
from types import SimpleNamespace

import pytest
from isi.service.jobs.graphs import Limits

from .doors import SAVE, WAIT, door


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such limit")
def test_a_full_disk_refuses_new_jobs_and_loses_no_end(tmp_path):
    import resource

    with door(tmp_path, limits=Limits(hours=5e-4)) as running:
        job = running.submit(WAIT)[2]["id"]  # is stopped, and so has to be written, after 1.8 s
        while running.job(job)["status"] == "queued":
            pass
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, ((tmp_path / "jobs.sqlite-wal").stat().st_size, hard))
        try:
            status, _, said = running.submit(SAVE)
            assert (status, said["error"]["code"]) == (507, "disk_full")
            time.sleep(3)  # its end is due, and can't be written
            assert running.job(job)["status"] in ("running", "canceling")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert running.end(job)["error"]["code"] == "time_limit"
        assert running.end(running.submit(SAVE)[2]["id"])["status"] == "succeeded"


def test_no_job_is_accepted_before_it_is_on_the_disk(tmp_path, monkeypatch):
    with door(tmp_path) as running:
        with monkeypatch.context() as patch:

            def refuses(_):
                raise OSError("the disk does not answer")

            patch.setattr(os, "fsync", refuses)
            assert running.submit(SAVE)[0] == 507
        assert running.submit(SAVE)[0] == 201


def test_a_clock_that_jumps_changes_no_order_and_no_end(tmp_path, monkeypatch):
    chance = random.Random(0)
    jumpy = SimpleNamespace(time=lambda: chance.uniform(0, 4e9))
    monkeypatch.setattr("isi.service.jobs.store.time", jumpy)
    with door(tmp_path) as running:
        first = running.submit(WAIT)[2]["id"]
        jobs = [running.submit(SAVE)[2]["id"] for _ in range(8)]
        assert [running.job(job)["queue_position"] for job in jobs][1:] == [*range(1, 8)]
        running.ask("POST", f"/api/v2/jobs/{first}/cancel")
        ends = [running.end(job) for job in jobs]
        assert {end["status"] for end in ends} == {"succeeded"}
        numbers = [int(end["outputs"][0]["id"].removeprefix("o")) for end in ends]
        assert numbers == sorted(numbers)  # they were made in the order in which they came
        assert all(end["metrics"]["queue_ms"] >= 0 and end["metrics"]["execution_ms"] >= 0 for end in ends)
        listed = running.ask("GET", "/api/v2/jobs?limit=50")[2]["jobs"]
        assert [job["id"] for job in listed] == [*reversed(jobs), first]
