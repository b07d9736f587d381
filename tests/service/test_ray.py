"""Workers on a real Ray cluster of two nodes: a job goes on when its actor is killed, or its node."""

import subprocess
import sys
import time

import psutil
import pytest

from run import BINARY, SERVICE_VENV

from ..conftest import ROOT
from .running import Service, graph
from .test_workers import GROUPS, after, made

PYTHON = SERVICE_VENV / BINARY
HAS_RAY = PYTHON.exists() and not subprocess.run([PYTHON, "-c", "import ray"], capture_output=True).returncode
pytestmark = [
    pytest.mark.ray,
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="Ray has clusters on Linux only"),
    pytest.mark.skipif(
        not HAS_RAY, reason=f"{SERVICE_VENV.name} has no Ray: run.py service --ray auto makes it"
    ),
]


class Cluster:
    """Nodes of a cluster on this machine: a head that has no room for workers, and one that has."""

    def __init__(self, folder):
        sys.path.insert(0, str(ROOT / "service" / "deploy"))
        import two_nodes

        self.deploy, self.folder, self.first, self.nodes = two_nodes, folder, 24_000, []
        two_nodes.RAY = PYTHON.with_name("ray")
        self.environment = two_nodes.environment(folder)
        self.add(0)

    def add(self, cpus):
        """Starts a node, and waits until it has a raylet."""
        number = len(self.nodes)
        node = self.deploy.start(self.folder, number, self.first, cpus)
        self.nodes.append(node)
        while self.deploy.raylet_of(node) is None:
            assert node.poll() is None, (self.folder / f"node{number}.log").read_text()
            time.sleep(0.2)

    def close(self):
        for node in reversed(self.nodes):
            node.terminate()
        for node in self.nodes:
            node.wait(60)


def comfyui(service):
    """The ComfyUI of a service's worker, wherever it is."""
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        if str(service.data / "output") in words and "--listen" in words:
            return process
    raise AssertionError("no worker runs")


@pytest.mark.timeout(600)
def test_a_job_goes_on_when_its_actor_is_killed_and_when_its_node_is(tmp_path):
    (tmp_path / "data").mkdir()
    cluster = Cluster(tmp_path)
    try:
        cluster.add(1)
        more = ("--ray", f"127.0.0.1:{cluster.first}")
        with Service(
            tmp_path / "data", more=more, python=str(PYTHON), environment=cluster.environment
        ) as service:
            job = service.client.submit(graph(GROUPS, seed=77, steps=40))  # longer than Ray takes to notice
            seen = {}

            def finished():
                """Each finished iteration's file is still the same file: it was not made again."""
                for path in service.data.glob("output/isi/*/*.png"):
                    assert seen.setdefault(path.name, path.stat().st_ino) == path.stat().st_ino

            after(service, job, 2)
            finished()
            host = comfyui(service)
            host.parent().kill()  # the actor
            host.wait(30)  # takes its ComfyUI along
            after(service, job, 3)
            finished()
            psutil.Process(cluster.deploy.raylet_of(cluster.nodes[1])).kill()
            cluster.add(1)
            end = service.client.wait(job["id"])
            finished()
            assert (end["status"], end["attempt"]) == ("succeeded", 3)
            assert sorted(made(service, end)) == [1, 2, 3, 4, 5, 6] and len(seen) == 6
            stuck = service.client.submit(graph("red *200", seed=99, steps=20))
            after(service, stuck, 1)
            service.client.cancel(stuck["id"])
            assert service.client.wait(stuck["id"])["status"] == "canceled"
    finally:
        cluster.close()
