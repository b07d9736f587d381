"""The service: two workers beside one, what a job costs, events, cancel, a long list.

python run.py bench service      (ISI_WAITING in the environment: a shorter list)
"""

from __future__ import annotations

import copy
import os
import statistics
import tempfile
import time
from pathlib import Path

import psutil

from ..service.client.client import ENDED, Client
from ..tests.service.running import Service, graph
from ..tools.client import execute

WAITING = int(os.environ.get("ISI_WAITING", 10_000))
SMALL = {
    "1": {"class_type": "EmptyImage", "inputs": {"width": 8, "height": 8, "batch_size": 1, "color": 0}},
    "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "a"}},
}


def folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="isi-bench-"))


def job_graph(number: int) -> dict:
    """One of the jobs: three groups, of which the first is the same in ten of them."""
    return graph(f"red; blue @seed={number}; green @seed={number}", seed=number // 10)


def warm(client: Client, count: int) -> None:
    """Waits until every worker has run a job."""
    jobs = [client.submit(graph("red", seed=10_000 + n)) for n in range(4 * count)]
    for job in jobs:
        client.wait(job["id"])


def measure_throughput() -> None:
    """Jobs of one size, none of which is in the store."""
    seconds = {}
    for workers in (1, 2):
        with Service(folder(), workers) as service:
            warm(service.client, workers)
            begun = time.monotonic()
            graphs = [graph("red; blue", seed=50_000 + 100 * n, steps=20) for n in range(24)]
            jobs = [service.client.submit(each) for each in graphs]
            for job in jobs:
                service.client.wait(job["id"])
            seconds[workers] = time.monotonic() - begun
    print(f"throughput of 2 workers over 1: {seconds[1] / seconds[2]:.2f}", flush=True)


def measure_cost() -> None:
    """A job of next to nothing, one at a time: to a ComfyUI directly and over the service, in turns."""
    with Service(folder()) as service:
        warm(service.client, 1)
        ports = [each.laddr.port for each in service.hosts()[0].net_connections() if each.status == "LISTEN"]
        direct, over = [], []
        for number in range(60):
            mine = copy.deepcopy(SMALL)
            mine["1"]["inputs"]["color"] = number
            begun = time.perf_counter()
            execute(f"http://127.0.0.1:{ports[0]}", mine)
            direct.append(time.perf_counter() - begun)
            mine["1"]["inputs"]["color"] += 1000
            begun = time.perf_counter()
            job = service.client.submit(mine)["id"]
            service.client.ask("GET", f"/api/v2/jobs/{job}/events")  # until it has ended
            over.append(time.perf_counter() - begun)
    for name, part in (("median", 5), ("fastest tenth", 1)):  # other work on the machine tells less in that
        alone, with_door = (statistics.quantiles(each, n=10)[part - 1] for each in (direct, over))
        cost = with_door - alone
        print(
            f"a job, {name}: {alone * 1e3:.1f} ms directly, {cost * 1e3:+.1f} ms over the service", flush=True
        )


def measure_events_and_cancel() -> None:
    """From the picture's time on disk to the client; from a cancel to the end and the next job's start."""
    late, ends, steps = [], [], []
    with Service(folder()) as service:
        warm(service.client, 1)
        for number in range(6):
            job = service.client.submit(graph("red *8", seed=900 + 20 * number, steps=8))["id"]
            for output in service.client.follow(job, 0.02):
                if output["isi"]:
                    place = service.data / "output" / "isi" / output["isi"]["run"] / output["name"]
                    late.append(time.time() - place.stat().st_mtime)
        for number in range(5):
            long = graph("red *500", seed=5_000 * (number + 9), steps=20)
            job = service.client.submit(long)["id"]
            following = service.client.submit(graph("red", seed=77_000 + number))["id"]
            next(service.client.follow(job, 0.05))
            time.sleep(0.5)
            begun = time.monotonic()
            service.client.cancel(job)
            while service.client.get(job)["status"] not in ENDED:
                time.sleep(0.005)
            ends.append(time.monotonic() - begun)
            while service.client.get(following)["status"] == "queued":
                time.sleep(0.005)
            steps.append(time.monotonic() - begun - ends[-1])
            service.client.wait(following)
    print(f"from disk to client: median {statistics.median(late):.2f} s, at most {max(late):.2f} s")
    print(f"cancel: at most {max(ends):.2f} s, then {max(steps):.2f} s to the next job", flush=True)


def measure_list() -> None:
    """Many jobs that wait, since no ComfyUI starts."""
    with Service(folder(), comfyui=str(folder())) as service:
        submits, lists = [], []
        for number in range(WAITING):
            begun = time.perf_counter()
            service.client.submit(job_graph(number))
            submits.append(time.perf_counter() - begun)
        for _ in range(20):
            begun = time.perf_counter()
            service.client.ask("GET", "/api/v2/jobs?limit=50")
            lists.append(time.perf_counter() - begun)
        size = psutil.Process(service.process.pid).memory_info().rss / 2**20
    last = submits[-100:]
    print(f"{WAITING} waiting jobs: door {size:.0f} MiB, submit {statistics.median(last) * 1e3:.1f} ms, "
          f"list {statistics.median(lists) * 1e3:.1f} ms", flush=True)  # fmt: skip


def main() -> None:
    measure_cost()
    measure_events_and_cancel()
    measure_list()
    measure_throughput()
