"""Gives each worker that is free the next job, and writes down what comes of it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import shutil
import sqlite3
import time
import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from .answers import NotDone, kept_files
from .comfyui import Cancelled, Died, Worker
from .graphs import BadGraph, Limits, check_nodes, for_attempt, job_folder
from .store import ENDED, JobStore, Made

log = logging.getLogger("isi.service")
T = TypeVar("T")
REST = 300.0
"""Seconds that a worker beyond the least stays when it has nothing to do."""
SLOWEST = 60.0
"""Seconds between two tries to start a worker that does not start."""


@dataclass
class Running:
    """The job that a worker works on: `stop` ends it; `late` says that its time is over, `too_long` how many
    iterations it would have made where those are more than may be."""

    worker: Worker
    attempt: int
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    late: bool = False
    too_long: int = 0
    progress: dict[str, Any] | None = None
    iterations: list[Made] = field(default_factory=list)


class Dispatcher:
    """The workers of a service. `changed(job)` is told whenever a job has something new.

    The first `least` workers are always there; the others while jobs wait for which nobody has time.
    """

    def __init__(
        self,
        store: JobStore,
        workers: Sequence[Worker],
        limits: Limits,
        allowed: tuple[str, ...],
        data: Path,
        changed: Callable[[str], None],
        least: int | None = None,
    ):
        self.store, self.workers, self.limits, self.allowed = store, workers, limits, allowed
        self.data, self.changed = data, changed
        self.least = len(workers) if least is None else least
        self.up: set[str] = set()
        """Workers that are there, or about to be."""
        self.running: dict[str, Running] = {}
        self.known: dict[str, str] = {}
        """Where each node comes from, as the worker that was started last said; empty before the first."""
        self.wake = asyncio.Event()
        self.tasks: list[asyncio.Task] = []
        self.announcing: set[asyncio.Task] = set()
        self.counted: Counter[str] = Counter()
        self.seconds = 0.0
        with contextlib.suppress(OSError, ValueError):
            self.known = json.loads((data / "nodes.json").read_bytes())

    def start(self) -> None:
        """Starts serving; needs a running event loop."""
        self.tasks = [asyncio.create_task(self.serve(worker)) for worker in self.workers]

    async def close(self) -> None:
        """Ends all workers. What they work on is given back: another start goes on with it."""
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, *self.announcing, return_exceptions=True)
        await asyncio.gather(*(worker.close() for worker in self.workers), return_exceptions=True)

    def cancel(self, job: str) -> None:
        """Cancels a job that waits or runs; anything else stays as it is."""
        self.store.ask_cancel(job)
        if running := self.running.get(job):
            running.stop.set()
        self.changed(job)

    async def serve(self, worker: Worker) -> None:
        """Does one job after the other."""
        pause, busy = 1.0, time.monotonic()
        while True:
            if not self.wanted(worker):
                await self.until_woken()
                continue
            self.up.add(worker.name)
            try:
                if await worker.ready():
                    await self.learn(worker)
                pause = 1.0
            except (Died, OSError) as error:
                log.error("worker does not start", extra={"worker": worker.name, "reason": str(error)})
                self.up.discard(worker.name)
                await asyncio.sleep(pause)
                pause = min(2 * pause, SLOWEST)
                continue
            self.wake.clear()
            row = await self.surely(lambda: self.store.claim(worker.name))
            if row is not None:
                await self.one(worker, row)
                busy = time.monotonic()
            elif len(self.up) > self.least and time.monotonic() - busy > REST:
                self.up.discard(worker.name)
                await worker.close()
                log.info("worker rests", extra={"worker": worker.name})
            else:
                await self.until_woken()

    def wanted(self, worker: Worker) -> bool:
        """Whether a worker should be there, or be started."""
        if worker.name in self.up or len(self.up) < self.least:
            return True
        return self.store.waiting() > len(self.up) - len(self.running)

    async def until_woken(self) -> None:
        """Waits for a job; a second at most, so that a worker that died while it was idle is noticed."""
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self.wake.wait(), 1)

    async def learn(self, worker: Worker) -> None:
        """Asks a worker which nodes it has, and keeps that for the next start."""
        self.known = await worker.nodes()
        with contextlib.suppress(OSError):
            (self.data / "nodes.json").write_text(json.dumps(self.known), "utf-8")
        log.info("worker is ready", extra={"worker": worker.name, "start": worker.starts})

    async def one(self, worker: Worker, row: sqlite3.Row) -> None:
        """Tries one job."""
        job, attempt = row["id"], row["attempt"]
        running = self.running[job] = Running(worker, attempt)
        about = {"job": job, "attempt": attempt, "worker": worker.name}
        log.info("job is running", extra=about)
        begun = time.monotonic()
        self.changed(job)
        watch = asyncio.create_task(self.watch(running))
        try:
            status, made, error = await self.tried(worker, row, running)
        except Died as died:
            worker.kill()  # it may still work on what is about to be done elsewhere
            words = f"{died} {worker.last_words()}"[-2000:]
            status = await self.surely(lambda: self.store.give_back(job, attempt, words))
            self.counted["deaths"] += 1
            log.warning("worker died", extra={**about, "reason": str(died), "status": status})
        except asyncio.CancelledError:
            self.store.release(job, attempt)
            raise
        else:
            made = running.iterations + made
            if not await self.surely(lambda: self.store.end(job, attempt, status, made, error)):
                self.counted["late"] += 1
            self.sweep(job, attempt)
        finally:
            watch.cancel()
            self.running.pop(job, None)
        if status in ENDED:
            self.counted[status] += 1
            self.seconds += time.monotonic() - begun
            log.info("job has ended", extra={**about, "status": status})
            # The worker does not wait for the disk; whoever follows the job does.
            saying = asyncio.create_task(self.announce(job))
            self.announcing.add(saying)
            saying.add_done_callback(self.announcing.discard)
        else:
            self.wake.set()
            self.changed(job)

    async def announce(self, job: str) -> None:
        """Tells of an end that no power cut undoes."""
        try:
            await self.store.flush()
        except OSError as error:  # it is written, and told all the same
            log.error("the disk does not confirm what was written", extra={"reason": str(error)})
        self.changed(job)

    async def watch(self, running: Running) -> None:
        """Stops a job that takes longer than a job may."""
        await asyncio.sleep(self.limits.hours * 3600)
        running.late = True
        running.stop.set()

    async def tried(
        self, worker: Worker, row: sqlite3.Row, running: Running
    ) -> tuple[str, list[Made], dict[str, Any] | None]:
        """How a try ends: status, files, error. Raises Died."""
        job, attempt = row["id"], row["attempt"]
        graph, runs = for_attempt(json.loads(row["graph"]), job, attempt)
        shutil.rmtree(self.data / "output" / job_folder(job, attempt), ignore_errors=True)

        def tell(kind: str, data: dict[str, Any]) -> None:
            if kind == "iteration":
                self.note(job, running, data)
            else:
                running.progress = _progress(graph, data)
                self.changed(job)

        try:
            check_nodes(graph, self.known, self.allowed)  # once more: what is known may have changed since
            prompt = str(uuid.uuid5(uuid.UUID(job), str(attempt)))
            said = await worker.run(prompt, graph, runs, tell, running.stop)
            places = await asyncio.to_thread(
                kept_files, said, graph, self.data, worker.base / "temp", f"output/{job_folder(job, attempt)}"
            )
        except BadGraph as bad:
            return "failed", [], {"code": bad.code, "message": bad.message}
        except NotDone as no:
            return "failed", [], {
                "code": no.code, "message": no.message[:4000], "node_id": no.node, "class_type": no.kind,
            }  # fmt: skip
        except Cancelled:
            if running.late:
                text = (
                    f"A job may take {self.limits.hours:g} hours; this one was stopped. What it made is kept."
                )
                return "failed", [], {"code": "time_limit", "message": text}
            if running.too_long:
                text = (
                    f"The script makes {running.too_long:,} steps; {self.limits.steps:,} are allowed. "
                    "What it made is kept."
                )
                return "failed", [], {"code": "invalid_workflow", "message": text}
            return "canceled", [], None
        except Died:
            raise
        except OSError as error:
            return "failed", [], {"code": "disk", "message": f"What the job made can't be kept: {error}."}
        except Exception as error:  # no job, however strange, takes its worker along
            log.exception("a job could not be tried", extra={"job": job, "attempt": attempt})
            text = f"The service failed at this job ({type(error).__name__}); its log says why."
            return "failed", [], {"code": "internal_error", "message": text}
        return "succeeded", [Made(node, place, self.size(place)) for node, place in places], None

    def note(self, job: str, running: Running, data: dict[str, Any]) -> None:
        """Writes down an iteration, whose picture is on disk."""
        picture = data["picture"]
        place = f"{picture['type']}/{picture['subfolder']}/{picture['filename']}"
        about = {
            name: data.get(name) for name in ("run", "iteration", "of", "label", "reused", "seconds", "key")
        }
        # A script that another node wrote, which no submit could read.
        if (data.get("of") or 0) > self.limits.steps:
            running.too_long = data["of"]
            running.stop.set()
        made = Made(data["node"], place, self.size(place), about)
        running.iterations.append(made)
        with contextlib.suppress(sqlite3.OperationalError):  # a full disk: it comes with the job's end
            if self.store.add(job, running.attempt, [made]):
                self.changed(job)

    def size(self, place: str) -> int:
        """Bytes of a file of ours; 0 where it is gone."""
        try:
            return (self.data / place).stat().st_size
        except OSError:
            return 0

    def sweep(self, job: str, attempt: int) -> None:
        """Removes what earlier attempts of an ended job left half done."""
        for number in range(1, attempt):
            shutil.rmtree(self.data / "output" / job_folder(job, number), ignore_errors=True)

    async def surely(self, do: Callable[[], T]) -> T:
        """`do`, again each second while the disk is full: an end that can't be written down is not lost."""
        while True:
            try:
                return do()
            except sqlite3.OperationalError as error:
                log.error("the list of jobs can't be written", extra={"reason": str(error)})
                await asyncio.sleep(1)


def _progress(graph: dict[str, Any], nodes: dict[str, tuple[float, float]]) -> dict[str, Any]:
    """Progress as Comfy API v2 has it, from what each node that has begun says of itself."""
    total = max(len(graph), len(nodes))
    done = sum(value >= most for value, most in nodes.values())
    part = sum(min(1.0, value / most) for value, most in nodes.values() if most > 0)
    found: dict[str, Any] = {
        "value": min(1.0, part / max(1, total)), "nodes_done": done, "nodes_total": total,
    }  # fmt: skip
    current = next((node for node, (value, most) in nodes.items() if value < most), None)
    if current is not None:
        value, most = nodes[current]
        kind = graph.get(current, {}).get("class_type")
        found |= {"current_node": current, "current_node_class": kind, "step": int(value), "steps": int(most)}
        found["message"] = f"{kind or current} {value:.0f}/{most:.0f}"
    return found
