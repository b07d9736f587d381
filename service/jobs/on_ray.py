"""Workers as Ray actors, wherever a cluster has room: each actor has one ComfyUI, as a worker here has.

Ray places and notices; the list of jobs, its claims and its tries stay the door's. An actor is never started
or called again by Ray (`max_restarts=0`, `max_task_retries=0`): the door makes a new one.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from typing import Any

import ray
from ray.exceptions import RayError

from .answers import NotDone
from .comfyui import ROOT, Cancelled, Comfy, Died, Graph, Listener, Worker, last_words

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")


def join(address: str) -> None:
    """Joins the cluster at `address`; its processes find this pack at the path where it lies here.

    Raises ConnectionError or another error of Ray's where there is no such cluster.
    """
    environment = {
        "env_vars": {"PYTHONPATH": str(ROOT)},
        "worker_process_setup_hook": "service.__main__.import_pack",
    }
    ray.init(address=address, namespace="isi", runtime_env=environment, log_to_driver=False)


@ray.remote(max_restarts=0, max_task_retries=0)
class Seat:
    """The actor: a ComfyUI on the machine that Ray has chosen, and what the door asks of it."""

    def __init__(self, name: str, comfy: Comfy, cpu: bool, threads: Mapping[str, str]):
        os.environ.pop("PYTHONPATH", None)  # it was for this process; ComfyUI has its own `nodes`
        for variable in THREADS:  # Ray sets them; ComfyUI has what the door has
            os.environ.pop(variable, None)
        os.environ.update(threads)
        self.worker = Worker(name, comfy, cpu=cpu)
        self.stopping = asyncio.Event()

    async def ready(self) -> str:
        """Starts ComfyUI; returns why it does not start, or nothing."""
        try:
            await self.worker.ready()
        except (Died, OSError) as error:
            return str(error) or type(error).__name__
        return ""

    async def nodes(self) -> dict[str, str]:
        return await self.worker.nodes()

    async def gone(self) -> None:
        """Returns when ComfyUI's process has ended."""
        while self.worker.alive():
            await asyncio.sleep(0.2)

    async def stop(self) -> None:
        """Interrupts the job that runs."""
        self.stopping.set()

    async def run(self, prompt: str, graph: Graph, runs: Mapping[str, str]) -> AsyncIterator[tuple[str, Any]]:
        """What `Worker.run` tells, as it comes, and at last how it ended."""
        said: asyncio.Queue[tuple[str, Any] | None] = asyncio.Queue()
        self.stopping.clear()
        task = asyncio.create_task(
            self.worker.run(prompt, graph, runs, lambda *each: said.put_nowait(each), self.stopping)
        )
        task.add_done_callback(lambda _: said.put_nowait(None))
        while (each := await said.get()) is not None:
            yield each
        try:
            yield "done", task.result()
        except NotDone as no:
            yield "refused", (no.message, no.code, no.node, no.kind)
        except Cancelled:
            yield "cancelled", None
        except Died as died:
            yield "died", str(died)


class RayWorker:
    """To the door what `Worker` is: one ComfyUI and the one job that it works on, somewhere in a cluster."""

    def __init__(self, name: str, comfy: Comfy, *, cpu: bool, gpus: float):
        self.name, self.comfy, self.cpu, self.gpus = name, comfy, cpu, gpus
        self.base = comfy.data / "workers" / name
        self.starts = 0
        self.answers = False
        self.actor: Any = None
        self.gone: asyncio.Future | None = None

    def alive(self) -> bool:
        return self.gone is not None and not self.gone.done()

    async def ready(self) -> bool:
        """Has Ray start an actor, once the cluster has room, unless there is one; True where it did.

        Raises Died.
        """
        if self.alive():
            return False
        self.kill()
        threads = {name: os.environ[name] for name in THREADS if name in os.environ}
        place = Seat.options(num_cpus=1, num_gpus=self.gpus)
        self.actor = place.remote(self.name, self.comfy, self.cpu, threads)
        if why := await self.ask("ready"):
            self.kill()
            raise Died(why)
        self.gone = asyncio.ensure_future(self.ask("gone"))
        self.gone.add_done_callback(lambda gone: gone.cancelled() or gone.exception())
        self.starts += 1
        self.answers = True
        return True

    async def ask(self, method: str) -> Any:
        """What the actor answers. Raises Died."""
        try:
            return await getattr(self.actor, method).remote()
        except RayError as error:
            raise Died(f"The Ray actor is gone ({type(error).__name__}).") from error

    async def nodes(self) -> dict[str, str]:
        """As `Worker.nodes`."""
        return await self.ask("nodes")

    async def run(
        self, prompt: str, graph: Graph, runs: Mapping[str, str], tell: Listener, stop: asyncio.Event
    ) -> dict[str, Any]:
        """As `Worker.run`."""
        stopping = asyncio.create_task(self.stop_after(stop))
        try:
            async for each in self.actor.run.options(num_returns="streaming").remote(prompt, graph, runs):
                kind, data = await each
                if kind == "done":
                    return data
                if kind == "refused":
                    raise NotDone(*data)
                if kind == "cancelled":
                    raise Cancelled
                if kind == "died":
                    raise Died(data)
                tell(kind, data)
        except RayError as error:
            raise Died(f"The Ray actor is gone ({type(error).__name__}).") from error
        finally:
            stopping.cancel()
        raise Died("The Ray actor said no end.")

    async def stop_after(self, stop: asyncio.Event) -> None:
        await stop.wait()
        await self.ask("stop")

    def last_words(self) -> str:
        """The end of ComfyUI's log, which is in the folder that all machines share."""
        return last_words(self.base)

    def kill(self) -> None:
        """Ends the actor, and with it its ComfyUI, at once."""
        if self.gone is not None:
            self.gone.cancel()
        if self.actor is not None:
            ray.kill(self.actor)
        self.actor = self.gone = None

    async def close(self) -> None:
        """Ends the actor; its place in the cluster is free again."""
        self.kill()
