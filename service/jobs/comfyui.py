"""A worker: one unmodified ComfyUI as a child process, spoken to over its own HTTP and websocket.

The websocket only tells early. What decides is /history, and what a run has on disk is seen twice a second: a
socket that is cut, falls silent or drops messages costs half a second.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp

from .answers import NotDone, refusal

ROOT = Path(__file__).resolve().parents[2]
HERE = "127.0.0.1"
EACH = 0.5
"""Seconds between two looks at what a run has on disk."""
PATIENCE = 30.0
"""Seconds in which ComfyUI must have stopped a job that is cancelled; then its process is ended."""
REMEMBERED = 50
"""How many ended prompts ComfyUI may remember: to drop each by itself costs as much as to run a small one."""
LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


class Died(Exception):
    """ComfyUI went away under the job: another attempt may well succeed."""


class Cancelled(Exception):
    """The job was cancelled."""


@dataclass(frozen=True)
class Comfy:
    """What all workers of a service have in common: which ComfyUI, which Python, and the service's folder."""

    tree: Path
    data: Path
    python: str = sys.executable
    options: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def inputs(self) -> Path:
        return self.data / "input"

    @property
    def made(self) -> Path:
        return self.data / "output"

    def own_pack(self) -> str:
        """The folder of ComfyUI's that has this pack already, so that it is not loaded twice; or nothing."""
        for file in (self.tree / "custom_nodes").glob("*/pyproject.toml"):
            if 'name = "isi-nodes"' in file.read_text("utf-8", "replace"):
                return str(file.parent)
        return ""


def free_port() -> int:
    """A TCP port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind((HERE, 0))
        return probe.getsockname()[1]


def last_words(base: Path) -> str:
    """The end of the log of the ComfyUI that has the folder `base`."""
    with contextlib.suppress(OSError):
        return "\n".join((base / "comfyui.log").read_text("utf-8", "replace").splitlines()[-12:])
    return ""


def end_with_parent() -> None:
    """In the child, before it starts (Linux): whoever kills the door, by SIGKILL too, takes ComfyUI along."""
    if LIBC is not None:
        LIBC.prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


Graph = Mapping[str, Any]
Listener = Callable[[str, dict[str, Any]], None]


@dataclass
class Hearing:
    """Who wants to know what the websocket says of a prompt; `ended` is set when it says that it ended."""

    prompt: str
    iteration: Callable[[str, dict[str, Any]], None]
    tell: Listener
    ended: asyncio.Event = field(default_factory=asyncio.Event)


class Worker:
    """One ComfyUI, and the one job that it works on. `card` is the one GPU that it may see, if any."""

    def __init__(self, name: str, comfy: Comfy, *, cpu: bool = True, card: int | None = None):
        self.name, self.comfy = name, comfy
        self.base = comfy.data / "workers" / name
        self.cpu, self.card = cpu, card
        self.process: subprocess.Popen | None = None
        self.url = ""
        self.starts = 0
        self.answers = False
        self.ended: list[str] = []
        """Prompts that ComfyUI still remembers."""
        self.forgetting: asyncio.Task | None = None
        self.session: aiohttp.ClientSession | None = None
        self.socket: aiohttp.ClientWebSocketResponse | None = None
        self.reader: asyncio.Task | None = None
        self.client = ""
        self.hearing: Hearing | None = None

    def command(self, port: int) -> list[str]:
        """How this ComfyUI is started: with its models and packs, and the service's input and output."""
        words = [self.comfy.python, str(self.comfy.tree / "main.py"), "--listen", HERE, "--port", str(port)]
        words += ["--input-directory", str(self.comfy.inputs), "--output-directory", str(self.comfy.made)]
        words += ["--temp-directory", str(self.base), "--user-directory", str(self.base / "user")]
        words += ["--disable-auto-launch", "--disable-api-nodes", "--database-url", "sqlite:///:memory:"]
        if not self.comfy.own_pack():
            # JSON is YAML: a folder of custom nodes that holds a link to this pack and nothing else.
            more = self.base / "paths.yaml"
            more.write_text(json.dumps({"isi": {"custom_nodes": str(self.base / "custom_nodes")}}), "utf-8")
            words += ["--extra-model-paths-config", str(more)]
        return [*words, *(["--cpu"] if self.cpu else []), *self.comfy.options]

    def prepare(self) -> None:
        """Makes the folders, and the link to this pack."""
        for folder in (self.base / "user", self.base / "custom_nodes", self.comfy.inputs, self.comfy.made):
            folder.mkdir(parents=True, exist_ok=True)
        link = self.base / "custom_nodes" / "isi-nodes"
        if os.path.lexists(link):
            if link.resolve() == ROOT:
                return
            os.unlink(link)
        if os.name == "nt":
            subprocess.run(
                ["cmd", "/c", "mklink", "/J", str(link), str(ROOT)], check=True, capture_output=True
            )
        else:
            link.symlink_to(ROOT, target_is_directory=True)

    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    async def ready(self, seconds: float = 600) -> bool:
        """Starts ComfyUI unless it runs, and waits until it answers; True where it did. Raises Died."""
        if self.alive():
            return False
        self.prepare()
        self.answers = False
        port = free_port()
        environment = {"PYTHONUTF8": "1", "ISI_HOME": str(self.comfy.data / "isi"), **self.comfy.environment}
        if self.card is not None:
            environment["CUDA_VISIBLE_DEVICES"] = str(self.card)
        # Each start has its own log, the one before is kept: it tells why a worker died.
        log = self.base / "comfyui.log"
        if log.exists():
            os.replace(log, self.base / "comfyui.before.log")
        with log.open("wb") as out:
            self.process = subprocess.Popen(
                self.command(port),
                cwd=self.comfy.tree,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                env={**os.environ, **environment},
                # A session of its own, so that Ctrl-C reaches the door first.
                start_new_session=os.name != "nt",
                preexec_fn=end_with_parent if LIBC is not None else None,
            )
        self.starts += 1
        self.url = f"http://{HERE}:{port}"
        await self.hang_up()
        if self.session is None:
            self.session = aiohttp.ClientSession()
        until = time.monotonic() + seconds
        while self.alive() and time.monotonic() < until:
            try:
                await self.ask("GET", "/system_stats")
                self.answers = True
                return True
            except Died:
                await asyncio.sleep(0.1)
        self.kill()
        raise Died(f"ComfyUI did not start. The end of {log}:\n{self.last_words()}")

    def last_words(self) -> str:
        """The end of ComfyUI's log."""
        return last_words(self.base)

    async def ask(self, method: str, path: str, body: Any = None) -> Any:
        """What ComfyUI answers, from JSON; None where it says no (but for `/prompt`). Raises Died."""
        assert self.session is not None
        try:
            timeout = aiohttp.ClientTimeout(total=30)
            async with self.session.request(method, self.url + path, json=body, timeout=timeout) as answer:
                text = await answer.text()
                if answer.status >= 400 and path != "/prompt":
                    return None
                return json.loads(text) if text.startswith(("{", "[")) else None
        except (aiohttp.ClientError, OSError, asyncio.TimeoutError, ValueError) as error:
            raise Died(f"ComfyUI does not answer ({type(error).__name__}).") from error

    async def nodes(self) -> dict[str, str]:
        """Where each node that this ComfyUI has comes from: its class, and the Python module. Raises Died."""
        known = await self.ask("GET", "/object_info") or {}
        return {name: str(node.get("python_module", "")) for name, node in known.items()}

    async def run(
        self, prompt: str, graph: Graph, runs: Mapping[str, str], tell: Listener, stop: asyncio.Event
    ) -> dict[str, Any]:
        """Runs a graph, as the prompt `prompt`; returns what its nodes say, `{"9": {"images": [...]}}`.

        `runs` names ISI's runs in it, and the nodes that make them. `tell(kind, data)` hears of `iteration`
        (once each, as soon as its picture is on disk) and `progress_state`. Raises NotDone, Died, or after
        `stop` Cancelled.
        """
        told: dict[str, set[int]] = {run: set() for run in runs}

        def iteration(run: str, data: dict[str, Any]) -> None:
            if run in told and data["iteration"] not in told[run]:
                told[run].add(data["iteration"])
                tell("iteration", {**data, "run": run, "node": runs[run]})

        tasks: list[asyncio.Task] = []
        hearing = self.hearing = Hearing(prompt, iteration, tell)
        try:
            await self.connect()
            body = {"prompt": graph, "client_id": self.client, "prompt_id": prompt}
            answer = await self.ask("POST", "/prompt", body)
            if not answer or answer.get("node_errors") or "error" in answer:
                raise refusal(graph, answer or {})
            tasks = [
                asyncio.create_task(self.look(told, iteration)),
                asyncio.create_task(self.stopper(prompt, stop)),
            ]
            entry = await self.wait_for_end(prompt, hearing.ended)
        except (aiohttp.ClientError, OSError, asyncio.TimeoutError) as error:
            raise Died(f"ComfyUI does not answer ({type(error).__name__}).") from error
        finally:
            self.hearing = None
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        for name, data in entry["status"]["messages"]:
            if name == "execution_interrupted":
                raise Cancelled
            if name == "execution_error":
                message = f"{data['node_type']}: {data['exception_message'].strip()}"
                raise NotDone(message, node=str(data["node_id"]), kind=data["node_type"])
        await self.look_once(told, iteration)
        self.ended.append(prompt)
        if len(self.ended) >= REMEMBERED:
            self.forgetting = asyncio.create_task(self.forget())
        return entry["outputs"]

    async def forget(self) -> None:
        """Has ComfyUI drop what it remembers of prompts: thousands of them would fill its memory."""
        ended, self.ended = self.ended, []
        with contextlib.suppress(Died):
            await self.ask("POST", "/history", {"delete": ended})

    async def connect(self) -> None:
        """Opens the websocket, unless it is open: one for all jobs, for it takes longer than a small job.

        Each has an id of its own: ComfyUI forgets a new socket with the old one's id when it notices that the
        old one is gone.
        """
        if self.socket is not None and not self.socket.closed:
            return
        assert self.session is not None
        self.client = uuid.uuid4().hex
        address = f"{self.url}/ws?clientId={self.client}"
        self.socket = await self.session.ws_connect(address, max_msg_size=0, heartbeat=20)
        self.reader = asyncio.create_task(self.listen(self.socket))

    async def hang_up(self) -> None:
        """Closes the websocket, if there is one."""
        if self.reader is not None:
            self.reader.cancel()
            await asyncio.gather(self.reader, return_exceptions=True)
        if self.socket is not None:
            await self.socket.close()
        self.socket = self.reader = None

    async def listen(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        """Reads a websocket as long as it is there, for the prompt that runs. Nothing depends on it."""
        async for message in socket:
            hearing = self.hearing
            if hearing is None or message.type is not aiohttp.WSMsgType.TEXT:
                continue  # previews
            event = json.loads(message.data)
            kind, data = event.get("type"), event.get("data") or {}
            if kind == "isi.iteration":
                hearing.iteration(data["run"], data)
            elif data.get("prompt_id") != hearing.prompt:
                continue
            elif kind == "progress_state":
                nodes = {node: (each["value"], each["max"]) for node, each in data["nodes"].items()}
                hearing.tell(kind, nodes)
            elif kind in ("execution_success", "execution_error", "execution_interrupted"):
                hearing.ended.set()

    async def look(self, told: dict[str, set[int]], iteration: Callable) -> None:
        """Again and again, what the runs have on disk."""
        while told:
            await asyncio.sleep(EACH)
            with contextlib.suppress(Died):
                await self.look_once(told, iteration)

    async def look_once(self, told: dict[str, set[int]], iteration: Callable) -> None:
        """Tells of iterations whose pictures are on disk and that nobody spoke of."""
        for run, known in told.items():
            first = next(n for n in range(1, len(known) + 2) if n not in known)
            while first:
                page = await self.ask("GET", f"/isi/runs/{quote(run)}?from={first}")
                if page is None:
                    break  # not there yet
                for each in page["iterations"]:
                    iteration(run, {**each, "of": page["of"], "reused": None, "seconds": None})
                first = page["next"]

    async def wait_for_end(self, prompt: str, ended: asyncio.Event) -> dict[str, Any]:
        """What /history says of the prompt, once it is there. Raises Died."""
        missing = 0
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(ended.wait(), 1)
        while True:
            said, history = ended.is_set(), None
            with contextlib.suppress(Died):  # a busy ComfyUI may take its time; one that ended is seen below
                history = await self.ask("GET", f"/history/{prompt}")
            if history and prompt in history:
                return history[prompt]
            if not self.alive():
                raise Died("ComfyUI's process ended.")
            if said:  # the host writes its history a moment after it said that the prompt ended
                await asyncio.sleep(0.005)
            else:
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(ended.wait(), 1)
                    continue
            queue = None
            if not said:
                with contextlib.suppress(Died):
                    queue = await self.ask("GET", "/queue")
            items = [*queue["queue_running"], *queue["queue_pending"]] if queue else []
            known = queue is None or any(item[1] == prompt for item in items)
            missing = 0 if known else missing + 1
            if missing > 3:
                raise Died("ComfyUI no longer knows the job.")

    async def stopper(self, prompt: str, stop: asyncio.Event) -> None:
        """After `stop`, has ComfyUI interrupt the prompt, again until it ends, and by force at last."""
        await stop.wait()
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            with contextlib.suppress(Died):
                if await self.ask("POST", f"/api/jobs/{prompt}/cancel") is None:  # before ComfyUI 0.30
                    await self.ask("POST", "/queue", {"delete": [prompt]})
                    await self.ask("POST", "/interrupt", {"prompt_id": prompt})
            await asyncio.sleep(1)
        self.kill()

    def kill(self) -> None:
        """Ends the process at once."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    async def close(self) -> None:
        """Ends the process and the connection."""
        if self.alive():
            assert self.process is not None
            self.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                await asyncio.to_thread(self.process.wait, 5)
            self.kill()
        await self.hang_up()
        if self.session is not None:
            await self.session.close()
        self.session = None
