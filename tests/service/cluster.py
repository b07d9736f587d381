"""A Ray cluster on this machine, of which a test kills what it likes. None of its processes outlives it."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import psutil
from isi.service.deploy import two_nodes

from run import BINARY, SERVICE_VENV

PYTHON = SERVICE_VENV / BINARY
TOKEN = "RAY_AUTH_TOKEN_PATH"
"""In the environment of every process of a cluster: it tells them from all others."""


def has_ray() -> bool:
    """Whether `.venv-service` has Ray."""
    return (
        PYTHON.exists() and not subprocess.run([PYTHON, "-c", "import ray"], capture_output=True).returncode
    )


def free_base() -> int:
    """The first of 3,000 ports that nobody listens on: another cluster may be here."""
    listening = [each.laddr for each in psutil.net_connections("tcp") if each.status == "LISTEN"]
    taken = {address.port for address in listening if address}
    return next(n for n in range(21_000, 30_000, 3000) if not taken.intersection(range(n, n + 3000)))


class Cluster:
    """`with Cluster(folder) as cluster:` a head that has no room for workers; `add(1)` is a node that has."""

    def __init__(self, folder: Path):
        self.folder, self.first = folder, free_base()
        self.nodes: list[subprocess.Popen] = []
        two_nodes.RAY = PYTHON.with_name("ray")
        self.environment = two_nodes.environment(folder)

    def __enter__(self) -> Cluster:
        try:
            self.add(0)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def add(self, cpus: int) -> None:
        """Starts a node with room for `cpus` workers; again where a busy machine outlasts Ray's patience."""
        number = len(self.nodes)  # 0 is the head, however often it is tried
        for _ in range(10):
            self.nodes[number:] = [two_nodes.start(self.folder, number, self.first, cpus)]
            if two_nodes.is_up(self.folder, number, self.nodes[number]):
                return
        raise AssertionError((self.folder / f"node{number}.log").read_text("utf-8", "replace"))

    def processes(self) -> list[psutil.Process]:
        """All that runs in this cluster or has joined it: Ray's own, actors, ComfyUIs, a door."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get(TOKEN) == self.environment[TOKEN]:
                    found.append(process)
            except psutil.Error:  # ended, or another user's
                continue
        return found

    def close(self, patience: float = 20) -> None:
        """Ends the nodes, in order if that takes no longer than `patience` seconds; then whatever is left."""
        for node in reversed(self.nodes):
            node.terminate()
        until = time.monotonic() + patience
        while self.processes() and time.monotonic() < until:
            for node in self.nodes:
                node.poll()
            time.sleep(0.2)
        while left := self.processes():
            for process in left:
                os.kill(process.pid, signal.SIGKILL)
            psutil.wait_procs(left, 10)


def comfyuis(data: Path) -> dict[str, psutil.Process]:
    """The ComfyUIs that work on a data folder, wherever they are, by their workers' names.

    The parent of each is the door, or its actor, whose parent is the raylet.
    """
    found = {}
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        if str(data / "output") in words and "--temp-directory" in words:
            found[Path(words[words.index("--temp-directory") + 1]).name] = process
    return found
