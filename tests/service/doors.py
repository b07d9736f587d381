"""A door in this process, on real sockets, with stand-ins for workers: for HTTP and the list of jobs."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import uvicorn
from isi.service.door.app import Options, make_app
from isi.service.door.guard import Patient
from isi.service.jobs.answers import NotDone
from isi.service.jobs.comfyui import Cancelled, Died
from isi.service.jobs.store import JobStore

KNOWN = {
    "Save": "nodes", "Wait": "nodes", "Fail": "nodes", "Die": "nodes", "LoadImage": "nodes",
    "ISI_Script": "custom_nodes.isi-nodes", "ISI_Iterate": "custom_nodes.isi-nodes",
    "ISI_MiniCheckpoint": "custom_nodes.isi-nodes", "CheckpointLoaderSimple": "nodes",
    "Foreign": "custom_nodes.strange-pack",
}  # fmt: skip
SAVE = {"1": {"class_type": "Save", "inputs": {"filename_prefix": "x"}}}
WAIT = {"1": {"class_type": "Wait", "inputs": {}}}


class StandIn:
    """A worker whose nodes do what they are called."""

    starts, answers = 0, True

    def __init__(self, name: str, data: Path):
        self.name, self.base, self.data, self.well = name, data / "workers" / name, data, False

    def alive(self) -> bool:
        return self.well

    async def ready(self) -> bool:
        was, self.well = self.well, True
        self.starts += not was
        return not was

    async def nodes(self) -> dict[str, str]:
        return KNOWN

    async def run(self, prompt, graph, runs, tell, stop):
        outputs = {}
        for number, (run, node) in enumerate(runs.items()):
            picture = {"type": "output", "subfolder": f"isi/{run}", "filename": f"{number + 1:04d}-ab.png"}
            self.write(f"output/isi/{run}/{number + 1:04d}-ab.png")
            said = {
                "iteration": number + 1,
                "of": 1,
                "label": "a",
                "reused": False,
                "seconds": 0.1,
                "key": "ab",
            }
            tell("iteration", {**said, "run": run, "node": node, "picture": picture})
        tell("progress_state", {next(iter(graph)): (1, 2)})
        for node, each in graph.items():
            kind = each["class_type"]
            if kind == "Wait":
                await stop.wait()
                raise Cancelled
            if kind == "Fail":
                raise NotDone("Fail: it failed.", node=node, kind=kind)
            if kind == "Die":
                self.well = False
                raise Died("ComfyUI's process ended.")
            if kind == "Save":
                await asyncio.sleep(0)
                folder, _, name = each["inputs"]["filename_prefix"].rpartition("/")
                self.write(f"output/{folder}/{name}_00001_.png")
                picture = {"type": "output", "subfolder": folder, "filename": f"{name}_00001_.png"}
                outputs[node] = {"images": [picture]}
        return outputs

    def write(self, place: str) -> None:
        (self.data / place).parent.mkdir(parents=True, exist_ok=True)
        (self.data / place).write_bytes(b"picture")

    def last_words(self) -> str:
        return "the last words"

    def kill(self) -> None:
        self.well = False

    async def close(self) -> None:
        self.well = False


class Door:
    """What a test asks; `ask` gives status, headers, and the JSON or bytes that came."""

    def __init__(self, port: int, data: Path):
        self.port, self.data, self.url = port, data, f"http://127.0.0.1:{port}"
        self.headers: dict[str, str] = {}

    def ask(self, method, path, body=None, **headers):
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        sent = {"Content-Type": "application/json", **self.headers}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        request = urllib.request.Request(self.url + path, data, sent, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                status, head, raw = answer.status, answer.headers, answer.read()
        except urllib.error.HTTPError as error:
            status, head, raw = error.code, error.headers, error.read()
        return status, head, json.loads(raw) if head.get_content_type() == "application/json" else raw

    def submit(self, graph, **more):
        headers = {"Idempotency_Key": more.pop("key")} if "key" in more else {}
        return self.ask("POST", "/api/v2/jobs", {"workflow": graph, **more}, **headers)

    def job(self, name):
        return self.ask("GET", f"/api/v2/jobs/{name}")[2]

    def events(self, name):
        """All events of a job, to its end."""
        text = self.ask("GET", f"/api/v2/jobs/{name}/events")[2].decode()
        blocks = [block.split("\n") for block in text.strip().split("\n\n") if not block.startswith(":")]
        return [
            (block[0].removeprefix("event: "), json.loads(block[1].removeprefix("data: ")))
            for block in blocks
        ]

    def end(self, name):
        """The job when it has ended."""
        self.events(name)
        return self.job(name)


@contextmanager
def door(data: Path, workers: int = 1, **options):
    """A door that serves until the block ends; `waiting` is how many jobs may wait."""
    waiting = options.pop("waiting", 10_000)
    started, found = threading.Event(), {}

    data.mkdir(exist_ok=True)

    def serve() -> None:
        store = JobStore(data / "jobs.sqlite", waiting)
        stand_ins = [StandIn(f"w{n}", data) for n in range(workers)]
        app = make_app(Options(data, **options), store, stand_ins)
        settings = uvicorn.Config(app, http=Patient, ws="none", log_config=None, timeout_graceful_shutdown=1)
        server = found["server"] = uvicorn.Server(settings)
        started.set()
        server.run([listener])

    listener = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    started.wait()
    try:
        yield Door(listener.getsockname()[1], data)
    finally:
        found["server"].should_exit = True
        thread.join(30)
        listener.close()
