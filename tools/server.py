"""A ComfyUI server of one's own: headless, on 127.0.0.1, on a free port, in a base directory of its own.

The one way in which the demo, the browser tests and the tools start ComfyUI. Standard library only.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from . import graphs

ROOT = Path(__file__).resolve().parents[1]
COMFYUI = Path(os.environ.get("COMFYUI_PATH") or ROOT / ".host" / "comfyui-0.30.0")
PACK = "isi-nodes"
FOLDERS = ("custom_nodes", "input", "models/checkpoints", "output", "temp", "user")


class ServerError(Exception):
    """ComfyUI did not start; the message ends with the last lines of its log."""


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def link_folder(target: Path, link: Path) -> None:
    """Makes `link` lead to the folder `target`: a symbolic link, on Windows a junction (needs no rights)."""
    if os.path.lexists(link):
        if link.resolve() == target.resolve():
            return
        os.unlink(link)
    if os.name == "nt":
        subprocess.run(["cmd", "/c", "mklink", "/J", str(link), str(target)], check=True, capture_output=True)
    else:
        link.symlink_to(target, target_is_directory=True)


def prepare(base: Path) -> None:
    """Fills a base directory: ComfyUI's folders, this pack as a custom node, the example pictures."""
    for folder in FOLDERS:
        (base / folder).mkdir(parents=True, exist_ok=True)
    link_folder(ROOT, base / "custom_nodes" / PACK)
    for picture in graphs.inputs():
        shutil.copyfile(picture, base / "input" / picture.name)


class Server:
    """`with Server(base) as server:` runs ComfyUI with this pack until the block ends.

    `cpu` keeps it off the accelerator; `frontend` is the folder of another web page than the installed
    one, `options` are further ones of ComfyUI's command line. `url` is where it listens, `log` what it
    printed.
    """

    def __init__(
        self,
        base: Path,
        *,
        comfyui: Path = COMFYUI,
        cpu: bool = True,
        port: int = 0,
        frontend: Path | None = None,
        options: Sequence[str] = (),
    ):
        self.base, self.comfyui = base.resolve(), comfyui
        self.log = self.base / "comfyui.log"
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.command = [sys.executable, str(comfyui / "main.py"), "--listen", "127.0.0.1"]
        self.command += ["--port", str(self.port), "--base-directory", str(self.base)]
        self.command += [
            "--disable-auto-launch",
            "--disable-api-nodes",
            "--database-url",
            "sqlite:///:memory:",
        ]
        self.command += ["--cpu"] if cpu else []
        self.command += ["--front-end-root", str(frontend)] if frontend else []
        self.command += options

    def __enter__(self) -> Server:
        prepare(self.base)
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                self.command,
                cwd=self.comfyui,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, "PYTHONUTF8": "1", "PYTHONDONTWRITEBYTECODE": "1"},
            )
        try:
            self.wait_until_ready()
            if "--multi-user" not in self.command:  # there, whoever asks must say who it is
                self.post("/settings/Comfy.TutorialCompleted", True)  # no window of templates
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def wait_until_ready(self, seconds: float = 300) -> None:
        """Returns when the server answers. Raises ServerError if it ends or takes longer."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                self.get("/system_stats")
                return
            except (urllib.error.URLError, ConnectionError, TimeoutError):
                time.sleep(0.1)
        tail = "\n".join(self.log.read_text("utf-8", "replace").splitlines()[-25:])
        raise ServerError(f"ComfyUI did not start. The end of {self.log}:\n{tail}")

    def stop(self) -> None:
        """Ends the server, by force after ten seconds.

        The link to this pack goes too: a base directory inside the repository would be a circle of links.
        """
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        os.unlink(self.base / "custom_nodes" / PACK)

    def get(self, path: str) -> Any:
        """What the server answers to GET, parsed from JSON."""
        with urllib.request.urlopen(self.url + path, timeout=30) as answer:
            return json.load(answer)

    def post(self, path: str, value: Any) -> None:
        """POSTs a JSON value."""
        request = urllib.request.Request(
            self.url + path, json.dumps(value).encode(), {"Content-Type": "application/json"}
        )
        urllib.request.urlopen(request, timeout=30).close()
