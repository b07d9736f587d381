"""Jobs on two workers, of which one after the other is killed, beside a serial run of the same jobs.

python run.py bench service_kills     (ISI_JOBS=200 in the environment: fewer jobs)

With Ray in `.venv-service` (`run.py service --ray auto` puts it there) the workers are actors on nodes of
their own, and actors and raylets are killed too. Says how far it is after every 25 jobs.
"""

from __future__ import annotations

import json
import os
import random
import sys
import tempfile
import threading
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from PIL import Image

from ..service.client.client import ServiceError
from ..tests.service.cluster import PYTHON, Cluster, comfyuis, has_ray
from ..tests.service.running import Service, graph

JOBS = int(os.environ.get("ISI_JOBS", 1000))
ROUND = 25


def job_graph(number: int) -> dict:
    """One of the jobs: three groups, of which the first is the same in ten of them."""
    return graph(f"red; blue @seed={number}; green @seed={number}", seed=number // 10, steps=2)


def send(service: Service, numbers: range) -> list[str]:
    return [service.client.submit(job_graph(number), f"bench {number}")["id"] for number in numbers]


def picture(service: Service, job: str) -> np.ndarray:
    """What a job saved, which is one picture."""
    (path,) = service.data.glob(f"output/jobs/{job}/*/made_00001_.png")
    return np.asarray(Image.open(path))


class Killer(threading.Thread):
    """SIGKILL at random moments, as long as `at_work` is set, until `over` is."""

    def __init__(self, service: Service, cluster: Cluster | None):
        super().__init__(daemon=True)
        self.service, self.cluster = service, cluster
        self.at_work, self.over = threading.Event(), threading.Event()
        self.kills: Counter[str] = Counter()
        self.chance = random.Random(0)

    def run(self) -> None:
        kinds = ("host", "host", "actor", "raylet", "door") if self.cluster else ("host", "host", "door")
        while not self.over.wait(self.chance.uniform(2, 20)):
            self.at_work.wait()
            # Mostly when both work, else a slow machine would never have a worker; but not only then.
            if self.ready() < 2 and self.chance.random() < 0.9:
                continue
            what = self.chance.choice(kinds)
            try:
                self.kills[what] += self.kill(what)
            except psutil.NoSuchProcess:  # it ended by itself in this moment
                continue

    def end(self) -> None:
        """Returns when nothing more is killed."""
        self.over.set()
        self.at_work.set()
        self.join()

    def ready(self) -> int:
        """How many workers run."""
        try:
            return json.loads(self.service.client.ask("GET", "/healthz"))["ready"]
        except ServiceError:  # none
            return 0

    def kill(self, what: str) -> bool:
        """Kills something of that kind; False where there is none right now."""
        if what == "door":
            self.service.kill()
            self.service.start()
            return True
        if not (hosts := [*comfyuis(self.service.data).values()]):
            return False
        host = self.chance.choice(hosts)
        {"host": host, **dict(zip(("actor", "raylet"), host.parents(), strict=False))}[what].kill()
        if what == "raylet":
            assert self.cluster
            self.cluster.add(1)
        return True


def is_doubled(job: dict[str, Any]) -> bool:
    """Whether an ended job has an iteration twice, or another number of saved pictures than one."""
    numbers = [output["isi"]["iteration"] for output in job["outputs"] if output["isi"]]
    saved = [output for output in job["outputs"] if output["node_id"] == "save"]
    return len(numbers) != len(set(numbers)) or len(saved) != 1


def main() -> None:
    with ExitStack() as stack:
        folders = [Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="isi-bench-"))) for _ in "123"]
        cluster, more = None, {}
        if sys.platform == "linux" and has_ray():
            cluster = stack.enter_context(Cluster(folders[2]))
            cluster.add(1)
            cluster.add(1)
            more = {"more": ("--ray", f"127.0.0.1:{cluster.first}"), "python": str(PYTHON)}
            more["environment"] = cluster.environment
        service = stack.enter_context(Service(folders[0], 2, **more))
        serial = stack.enter_context(Service(folders[1]))
        killer = Killer(service, cluster)
        killer.start()
        stack.callback(killer.end)  # before the cluster: it starts nodes
        count: Counter[str] = Counter()
        for first in range(0, JOBS, ROUND):
            numbers = range(first, min(JOBS, first + ROUND))
            killer.at_work.set()
            jobs = send(service, numbers)
            ends = [service.client.wait(job) for job in jobs]
            killer.at_work.clear()
            count["jobs"] += len(jobs)
            count["done"] += sum(end["status"] == "succeeded" for end in ends)
            count["doubled"] += (len(jobs) - len(set(jobs))) + sum(map(is_doubled, ends))
            count["begun more than once"] += sum(end["attempt"] > 1 for end in ends)
            for job, alone in zip(jobs, send(serial, numbers), strict=True):
                serial.client.wait(alone)
                count["equal to a serial run"] += bool(
                    (picture(service, job) == picture(serial, alone)).all()
                )
            print(f"{dict(count)}, killed {dict(killer.kills)}", flush=True)
