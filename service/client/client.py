"""A client in one file that needs nothing but Python: copy it where you need it.

python client.py URL graph.json          submits a graph (API form), and prints each iteration as it is made
ISI_TOKEN in the environment             the service's token, if it has one
"""

from __future__ import annotations

import json
import mimetypes
import os
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ENDED = ("succeeded", "failed", "canceled")
PATIENCE = 120.0
"""Seconds in which a service that does not answer is asked again: it may be starting anew."""


class ServiceError(Exception):
    """What the service says against a request; `code` is for programs, `status` is HTTP's."""

    def __init__(self, message: str, code: str = "error", status: int = 0):
        self.code, self.status = code, status
        super().__init__(message)


class Client:
    """One service. Every call may be repeated: a job that is sent twice with one key is one job."""

    def __init__(self, url: str, token: str | None = None, patience: float = PATIENCE):
        self.url, self.patience = url.rstrip("/"), patience
        self.headers = {"Authorization": f"Bearer {token}"} if token else {}

    def ask(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> bytes:
        """The answer's bytes. `body` is bytes, or a value that is sent as JSON. Raises ServiceError.

        A service that is full (429) or away is asked again for `patience` seconds.
        """
        own = {**self.headers, **(headers or {})}
        data = body
        if body is not None and not isinstance(body, bytes):
            data, own = json.dumps(body).encode(), {"Content-Type": "application/json", **own}
        until = time.monotonic() + self.patience
        while True:
            request = urllib.request.Request(self.url + path, data, own, method=method)
            try:
                with urllib.request.urlopen(request, timeout=60) as answer:
                    return answer.read()
            except urllib.error.HTTPError as error:
                if error.code != 429 or time.monotonic() > until:
                    raise _problem(error) from error
                pause = float(error.headers.get("Retry-After") or 5)
            except (urllib.error.URLError, ConnectionError, TimeoutError) as error:
                if time.monotonic() > until:
                    raise ServiceError(f"The service at {self.url} does not answer: {error}.") from error
                pause = 0.5
            time.sleep(pause)

    def submit(self, graph: dict[str, Any], key: str | None = None, **more: Any) -> dict[str, Any]:
        """Queues a graph; `more` are priority, metadata, webhook. Without a key of yours it gets one."""
        headers = {"Idempotency-Key": key or str(uuid.uuid4())}
        return json.loads(self.ask("POST", "/api/v2/jobs", {"workflow": graph, **more}, headers))

    def isi(self, script: str, key: str | None = None, **more: Any) -> dict[str, Any]:
        """Queues a script without a graph; `more` as /docs shows for /v1/isi."""
        headers = {"Idempotency-Key": key or str(uuid.uuid4())}
        return json.loads(self.ask("POST", "/v1/isi", {"script": script, **more}, headers))

    def upload(self, path: Path) -> str:
        """Uploads a picture; returns what a LoadImage node calls it."""
        mark = uuid.uuid4().hex
        kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        head = f'--{mark}\r\nContent-Disposition: form-data; name="file"; filename="picture"\r\n'
        body = (
            f"{head}Content-Type: {kind}\r\n\r\n".encode()
            + path.read_bytes()
            + f"\r\n--{mark}--\r\n".encode()
        )
        headers = {"Content-Type": f"multipart/form-data; boundary={mark}"}
        return json.loads(self.ask("POST", "/api/v2/assets", body, headers))["file_path"]

    def get(self, job: str) -> dict[str, Any]:
        """A job, with what it has made so far."""
        return json.loads(self.ask("GET", f"/api/v2/jobs/{job}"))

    def cancel(self, job: str) -> dict[str, Any]:
        """Cancels a job."""
        return json.loads(self.ask("POST", f"/api/v2/jobs/{job}/cancel"))

    def follow(self, job: str, every: float = 0.5) -> Iterator[dict[str, Any]]:
        """Each output of a job once, as soon as it is there, until the job ends. Asks again and again."""
        seen: set[str] = set()
        while True:
            now = self.get(job)
            for output in now["outputs"]:
                if output["id"] not in seen:
                    seen.add(output["id"])
                    yield output
            if now["status"] in ENDED:
                return
            time.sleep(every)

    def wait(self, job: str) -> dict[str, Any]:
        """The job when it has ended."""
        for _ in self.follow(job):
            pass
        return self.get(job)

    def download(self, output: dict[str, Any], path: Path) -> None:
        """Writes the file behind an output."""
        path.write_bytes(self.ask("GET", f"/api/v2/assets/{output['id']}/content"))


def _problem(error: urllib.error.HTTPError) -> ServiceError:
    try:
        said = json.loads(error.read())["error"]
        return ServiceError(said["message"], said["code"], error.code)
    except (ValueError, KeyError, TypeError, OSError):
        return ServiceError(f"HTTP {error.code}", status=error.code)


def main() -> int:
    if len(sys.argv) != 3:
        print(__doc__)
        return 2
    client = Client(sys.argv[1], os.environ.get("ISI_TOKEN"))
    try:
        job = client.submit(json.loads(Path(sys.argv[2]).read_text("utf-8")))
        for output in client.follow(job["id"]):
            step = output["isi"] or {}
            print(step.get("iteration", ""), step.get("label", output["name"]), output["url"], flush=True)
        end = client.get(job["id"])
    except ServiceError as error:
        print(error)
        return 1
    print(end["status"], (end["error"] or {}).get("message", ""))
    return 0 if end["status"] == "succeeded" else 1


if __name__ == "__main__":
    sys.exit(main())
