"""The runs on disk, over HTTP: how long the sidebar waits for its list and for a search among five thousand
runs, and the strip for a page of a very long run.

The list is asked of a server that never saw the runs (the index is made as one asks), and of one that was
started anew, with the index of before on disk. Wall time, and the processor time of the server, since wall
time on a busy machine says little.
"""

from __future__ import annotations

import json
import os
import random
import statistics
import tempfile
import time
import urllib.parse
from pathlib import Path
from typing import Any

import psutil
from PIL import Image

from ..core.loop.plan import Plan, Step
from ..core.store.index import RunIndex
from ..tools.server import Server

RUNS, STEPS = 5_000, 8
LONG = 300_000
ASKED = 15
LETTERS = "abcdefghijklmnopqrstuvwxyz"


def write_runs(base: Path) -> None:
    """Finished runs of eight steps with prompts of forty words, and one of very many steps."""
    rng = random.Random(5)
    words = ["".join(rng.choices(LETTERS, k=rng.randint(3, 9))) for _ in range(4_000)]
    runs, output = base / "user/isi/runs", base / "output/isi"
    runs.mkdir(parents=True)
    output.mkdir(parents=True)
    picture = output / "picture.png"
    Image.effect_noise((512, 512), 40).convert("RGB").save(picture, compress_level=1)
    for number in range(RUNS):
        keys = [f"{rng.getrandbits(128):032x}" for _ in range(STEPS)]
        plan = Plan(tuple(Step(" ".join(rng.choices(words, k=40)), seed=at) for at in range(STEPS)))
        write(runs, f"run {number}", keys, plan.to_json()["steps"], number)
        folder = output / f"run {number}"
        folder.mkdir()
        for at, key in enumerate(keys, 1):
            os.link(picture, folder / f"{at:04d}-{key[:8]}.png")
    steps = [Step(f"step {at % 500}", seed=at).to_json() for at in range(LONG)]
    write(runs, "long", [f"{at:032x}" for at in range(LONG)], steps, RUNS)
    (output / "long").mkdir()
    for at in range(1, 21):
        os.link(picture, output / "long" / f"{at:04d}-00000000.png")


def write(runs: Path, name: str, keys: list[str], steps: list[Any], saved: float) -> None:
    plan = {"version": 1, "steps": steps}
    value = {"version": 2, "name": name, "family": name, "keys": keys, "plan": plan, "saved": 1e9 + saved}
    (runs / f"{name}.json").write_text(json.dumps(value), "utf-8")


def timed(server: Server, path: str) -> tuple[float, float, Any]:
    """Milliseconds of wall time, those of the server's processor time, and what was answered."""
    process = psutil.Process(server.process.pid)
    used, began = sum(process.cpu_times()[:2]), time.perf_counter()
    told = server.get(path)
    wall = time.perf_counter() - began
    return 1000 * wall, 1000 * (sum(process.cpu_times()[:2]) - used), told


def many(server: Server, what: str, paths: list[str]) -> None:
    """Prints what the answers to some questions cost; processor time is counted in steps of 10 ms."""
    walls, used, _ = zip(*(timed(server, path) for path in paths), strict=True)
    print(
        f"{what}: {statistics.median(walls):.0f} ms, at most {max(walls):.0f}; processor "
        f"{statistics.mean(used):.0f} ms ({len(paths)} times)"
    )


def ask(server: Server) -> None:
    """The list, further pages, searches, room, and the strip of the long run."""
    many(server, "first page, the first time", ["/isi/runs"])
    many(server, "first page", ["/isi/runs"] * ASKED)
    page, paths = server.get("/isi/runs"), []
    for _ in range(ASKED):
        before, name = page["next"]
        paths.append(f"/isi/runs?{urllib.parse.urlencode({'before': repr(before), 'name': name})}")
        page = server.get(paths[-1])
    many(server, "a further page", paths)
    prompt = page["runs"][0]["prompt"].split()
    searches = [prompt[0], " ".join(prompt[:3]), "step 7", "words that none has", "a"]
    found = [server.get(f"/isi/runs?words={urllib.parse.quote(words)}")["total"] for words in searches]
    many(server, f"a search ({found} runs found)", [
        f"/isi/runs?words={urllib.parse.quote(words)}" for words in searches for _ in range(3)
    ])  # fmt: skip
    many(server, "how much room a run takes", [f"/isi/runs/run%20{number}/room" for number in range(3)])
    many(server, f"a page of a run of {LONG:,} steps", ["/isi/runs/long"] * ASKED)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder) / "comfyui"
        write_runs(base)
        with Server(base) as server:
            many(server, f"a run of {LONG:,} steps that was never read", ["/isi/runs/long"])
            wall, used, told = timed(server, "/isi/runs")
            left = f"{told['unread']:,} runs left to read"
            print(f"first page, nothing known: {wall:.0f} ms, processor {used:.0f} ms, {left}")
        began, used = time.perf_counter(), time.process_time()
        RunIndex(base / "user/isi/runs").update()
        wall, used = time.perf_counter() - began, time.process_time() - used
        print(f"reading all of them: {wall:.1f} s, processor {used:.1f} s")
        with Server(base) as server:
            ask(server)


if __name__ == "__main__":
    main()
