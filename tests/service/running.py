"""A real service: the door as a process of its own, and its workers are ComfyUI."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psutil
from isi.service.client.client import Client
from isi.service.jobs.comfyui import free_port

from ..conftest import ROOT

THREADS = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
"""Of each ComfyUI whose pictures are compared: another count rounds otherwise."""
COMFYUI = os.environ.get("COMFYUI_PATH") or str(ROOT / ".host" / "comfyui-0.30.0")


class Service:
    """`with Service(data) as service:`; `start` and `kill` in between, as often as a test likes."""

    def __init__(
        self,
        data: Path,
        workers: int = 1,
        comfyui: str = COMFYUI,
        more: tuple[str, ...] = (),
        python: str = sys.executable,
        environment: dict[str, str] | None = None,
    ):
        self.data, self.workers, self.comfyui, self.port = data, workers, comfyui, free_port()
        self.more, self.python, self.environment = more, python, environment or {}
        self.client = Client(f"http://127.0.0.1:{self.port}")

    def __enter__(self) -> Service:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        try:
            self.process.wait(60)
        finally:
            self.process.kill()

    def start(self) -> None:
        """Starts the door; the client waits until it answers."""
        command = [
            self.python,
            "-m",
            "service",
            "--cpu",
            "--port",
            str(self.port),
            "--data",
            str(self.data),
        ]
        command += ["--workers", str(self.workers), *self.more]
        one = {"COMFYUI_PATH": self.comfyui, "PYTHONUTF8": "1", "ISI_PYTHON": sys.executable, **THREADS}
        with (self.data / "door.log").open("ab") as log:
            self.process = subprocess.Popen(
                command, cwd=ROOT, env={**os.environ, **one, **self.environment}, stdout=log, stderr=log
            )

    def hosts(self) -> list[psutil.Process]:
        """The processes of ComfyUI."""
        return psutil.Process(self.process.pid).children()

    def kill(self) -> None:
        """SIGKILL to the door."""
        self.process.kill()
        self.process.wait()


def graph(groups: str, seed: int = 3, steps: int = 4) -> dict:
    """A loop of the mini model, 64 px."""
    script = {
        "script": "{a large circle} " + groups, "steps": steps, "cfg": 5.0, "denoise": 0.7,
        "final_denoise": 0.7, "curve": "constant", "seed": seed, "seed_mode": "increment",
    }  # fmt: skip
    run = {
        "model": ["model", 0], "clip": ["model", 1], "vae": ["model", 2], "plan": ["script", 0],
        "negative": "", "sampler_name": "euler", "scheduler": "normal", "width": 64, "height": 64,
    }  # fmt: skip
    return {
        "model": {"class_type": "ISI_MiniCheckpoint", "inputs": {"kind": "base"}},
        "script": {"class_type": "ISI_Script", "inputs": script},
        "run": {"class_type": "ISI_Iterate", "inputs": run},
        "save": {"class_type": "SaveImage", "inputs": {"images": ["run", 0], "filename_prefix": "made"}},
    }
