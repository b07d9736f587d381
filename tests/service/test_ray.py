"""Workers on a real Ray cluster of three nodes: a job outlives its actor, its node and the door."""

import itertools
import json
import subprocess
import sys
import time

import psutil
import pytest
from isi.service.client.client import ENDED

from run import SERVICE_VENV

from ..conftest import ROOT
from .cluster import PYTHON, Cluster, comfyuis, has_ray
from .running import Service, graph
from .test_workers import GROUPS, made

pytestmark = [
    pytest.mark.ray,
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="Ray has clusters on Linux only"),
    pytest.mark.skipif(
        not has_ray(), reason=f"{SERVICE_VENV.name} has no Ray: run.py service --ray auto makes it"
    ),
]
KILLS = ("actor", "raylet", "door")
DEPLOY = ROOT / "service" / "deploy"


class Loop:
    """A job of six pictures. What is killed, is killed in its middle: first its ComfyUI is held still."""

    def __init__(self, service, steps):
        self.service = service
        self.job = service.client.submit(graph(GROUPS, seed=steps, steps=steps))["id"]
        self.seen = {}

    def finished(self):
        """How many pictures there are; each is the file that it was before: none was made again."""
        for path in self.service.data.glob(f"output/isi/{self.job}/*.png"):
            assert self.seen.setdefault(path.name, path.stat().st_ino) == path.stat().st_ino
        return len(self.seen)

    def held(self, attempt):
        """The ComfyUI of an attempt, stopped when there are as many pictures; None where it was faster."""
        while True:
            job = self.service.client.get(self.job)
            if job["status"] in ENDED:
                return None
            if job["status"] == "running" and job["attempt"] == attempt and self.finished() >= attempt:
                break
            time.sleep(0.01)
        host = comfyuis(self.service.data)[self.worker(attempt)]
        host.suspend()
        if self.service.client.get(self.job)["status"] in ENDED or self.finished() == 6:
            host.resume()
            return None
        return host

    def worker(self, attempt):
        """The name of the worker that an attempt runs on, from the door's log."""
        lines = (self.service.data / "door.log").read_text("utf-8").splitlines()
        told = [json.loads(line) for line in lines if line.startswith("{")]  # Ray writes there too
        runs = [each for each in told if each.get("job") == self.job and each["event"] == "job is running"]
        return {each["attempt"]: each["worker"] for each in runs}[attempt]


def killed(service, steps):
    """A job through all kills, at the end; None where it was too fast to be killed in its middle."""
    loop = Loop(service, steps)
    for attempt, what in enumerate(KILLS, 1):
        if (host := loop.held(attempt)) is None:
            return None
        actor, raylet = host.parents()[:2]
        assert raylet.name() == "raylet"
        if what == "door":
            service.kill()
        else:
            {"actor": actor, "raylet": raylet}[what].kill()
        host.wait(60)  # whoever is killed takes the ComfyUI along
    service.start()
    end = service.client.wait(loop.job)
    assert loop.finished() == 6
    return end


@pytest.mark.timeout(1200)
def test_a_job_goes_on_when_its_actor_is_killed_its_node_and_its_door(tmp_path):
    (tmp_path / "data").mkdir()
    with Cluster(tmp_path) as cluster:
        cluster.add(1)
        cluster.add(1)
        more = ("--ray", f"127.0.0.1:{cluster.first}")
        with Service(
            tmp_path / "data", 2, more=more, python=str(PYTHON), environment=cluster.environment
        ) as service:
            while b"isi_workers_ready 2" not in service.client.ask("GET", "/metrics"):
                time.sleep(0.1)
            tries = (killed(service, 20 * 4**n) for n in itertools.count())
            end = next(each for each in tries if each is not None)
            assert (end["status"], end["attempt"]) == ("succeeded", len(KILLS) + 1)
            assert sorted(made(service, end)) == [1, 2, 3, 4, 5, 6]
            stuck = service.client.submit(graph("red *200", seed=99, steps=20))["id"]
            next(service.client.follow(stuck, 0.05))
            service.client.cancel(stuck)
            assert service.client.wait(stuck)["status"] == "canceled"
    assert not cluster.processes()


def test_no_process_outlives_its_cluster_or_whoever_started_it(tmp_path):
    cluster = Cluster(tmp_path)
    deaf = "import signal, time; signal.signal(15, signal.SIG_IGN); print(1, flush=True); time.sleep(600)"
    command = [sys.executable, "-c", deaf]
    with subprocess.Popen(command, env=cluster.environment, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        assert [each.pid for each in cluster.processes()] == [process.pid]
        cluster.close(patience=0)
        assert not cluster.processes()

    slow = tmp_path / "ray"
    slow.write_text("#!/bin/sh\nexec sleep 600\n")
    slow.chmod(0o755)
    code = "import os, pathlib, sys, two_nodes; two_nodes.RAY = pathlib.Path(sys.argv[1])\n"
    code += "two_nodes.start(two_nodes.RAY.parent, 0, 21_000); os.kill(os.getpid(), 9)"
    subprocess.run([sys.executable, "-c", code, slow], env={"PYTHONPATH": str(DEPLOY)}, check=False)
    psutil.wait_procs(cluster.processes(), 10)
    left = cluster.processes()
    cluster.close(patience=0)
    assert not left
