"""One graph, many jobs: the lines of a table, the pictures of a folder, the values of a widget.

python run.py batch graph.json --csv prompts.csv
python run.py batch graph.json --folder pictures/ --set "KSampler.seed=1..20"

The graph is in API form. A column of the table is called Title.widget, after a node's title, class or id.
Several of these options make every combination. Ctrl-C, and the same command again, goes on, and tries again
what failed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .client import ENDED, Client, ServiceError
from .rows import BatchError, Column, Graph, Row, all_rows, filled, load_graph
from .table import RowResult, write_tables

ROOT = Path(__file__).resolve().parents[2]
URL = "http://127.0.0.1:8190"
START = [sys.executable, str(ROOT / "run.py"), "service"]
AHEAD = 200
"""How many jobs wait at most: so many that no worker is idle, so few that others get their turn."""
LOOKED_AT = 16
"""How many of the oldest jobs are asked for at once: they end in about their order."""
EACH = 0.5
TABLE_EACH = 10.0


class Bar:
    """How far a batch is, and how long it will take: a line that moves, or in a file one every 30 s."""

    def __init__(self, total: int):
        self.total, self.begun, self.first, self.said = total, time.monotonic(), 0, 0.0
        self.live = sys.stdout.isatty()

    def start(self, done: int) -> None:
        """From here the time is taken; `done` was there before."""
        self.begun, self.first = time.monotonic(), done

    def show(self, done: int, failed: int, last: bool = False) -> None:
        now = time.monotonic()
        part = done / max(1, self.total)
        text = f"[{'#' * int(part * 30):30}] {done} of {self.total}" + (
            f", {failed} failed" if failed else ""
        )
        if done > self.first and done < self.total:
            left = (now - self.begun) / (done - self.first) * (self.total - done)
            text += f", {left // 60:.0f}:{left % 60:02.0f} left"
        if self.live:
            print(f"\r{text:79}", end="\n" if last else "", flush=True)
        elif last or now - self.said >= 30:
            self.said = now
            print(text, flush=True)


class Batch:
    """The rows of a batch, their jobs and their results; `folder` has all that a later call needs."""

    def __init__(self, client: Client, graph: Graph, columns: list[Column], rows: list[Row], folder: Path):
        self.client, self.graph, self.columns, self.rows, self.folder = client, graph, columns, rows, folder
        self.results = [RowResult(row.values) for row in rows]
        folder.joinpath("pictures").mkdir(parents=True, exist_ok=True)
        self.path = folder / "batch.json"
        self.state: dict[str, Any] = {"batch": uuid.uuid4().hex, "failed": {}}
        if self.path.exists():
            self.state = json.loads(self.path.read_text("utf-8"))
        else:
            self.keep()
        self.uploads: dict[Path, str] = {}
        self.keys: dict[int, str] = {}

    def keep(self) -> None:
        """Writes down what makes a row the same job the next time."""
        part = self.path.with_suffix(".part")
        part.write_text(json.dumps(self.state), "utf-8")
        os.replace(part, self.path)

    def send(self, number: int) -> dict[str, Any]:
        """Queues a row; equal values in one batch are one job, unless that has failed before."""
        values = [
            self.upload(value) if isinstance(value, Path) else value for value in self.rows[number].values
        ]
        graph = filled(self.graph, self.columns, values)
        self.keys[number] = str(uuid.uuid5(uuid.NAMESPACE_OID, json.dumps(graph, sort_keys=True)))
        tries = self.state["failed"].get(self.keys[number], 0)
        labels = {"batch": self.state["batch"], "row": str(number + 1)}
        return self.client.submit(
            graph, f"{self.state['batch']}-{self.keys[number]}-{tries}", metadata=labels
        )

    def upload(self, path: Path) -> str:
        """What the service calls a picture."""
        if path not in self.uploads:
            self.uploads[path] = self.client.upload(path)
        return self.uploads[path]

    def run(self) -> int:
        """Sends all rows and waits for them; returns how many failed."""
        bar, table = Bar(len(self.rows)), time.monotonic()
        running: dict[int, str] = {}
        following = iter(range(len(self.rows)))
        more = done = 0
        while running or more is not None:
            while more is not None and len(running) < AHEAD:
                if (more := next(following, None)) is None:
                    break
                job = self.send(more)
                running[more] = job["id"]
                if job["status"] in ENDED:  # it was done before this call
                    done += self.take(more, job, running)
                    bar.start(done)
            for number in list(running)[:LOOKED_AT]:
                done += self.take(number, self.client.get(running[number]), running)
            bar.show(done, self.failed())
            if time.monotonic() - table > TABLE_EACH:
                table = time.monotonic()
                self.write()
            if running:
                time.sleep(EACH)
        bar.show(done, self.failed(), last=True)
        self.write()
        return self.failed()

    def failed(self) -> int:
        """How many rows have ended without their pictures."""
        return sum(result.status in ("failed", "canceled") for result in self.results)

    def take(self, number: int, job: dict[str, Any], running: dict[int, str]) -> bool:
        """Where a row's job has ended: notes what became of it, and fetches its pictures.

        Those are what the graph saved, or else the last iteration.
        """
        if job["status"] not in ENDED:
            return False
        del running[number]
        result = self.results[number]
        result.job, result.status = job["id"], job["status"]
        if (took := job["metrics"]["execution_ms"]) is not None:
            result.seconds = took / 1000
        if job["status"] != "succeeded":
            result.error = (job["error"] or {}).get("message", "")
            self.state["failed"][self.keys[number]] = self.state["failed"].get(self.keys[number], 0) + 1
            self.keep()
            return True
        images = [output for output in job["outputs"] if output["type"] == "image"]
        for output in [each for each in images if not each["isi"]] or images[-1:]:
            name = f"pictures/{number + 1:05d}-{output['name']}"
            if not (self.folder / name).exists():
                self.client.download(output, self.folder / name)
            result.pictures.append(name)
        return True

    def write(self) -> None:
        """The tables, as far as they are."""
        write_tables(self.folder, [column.title for column in self.columns], self.results)


@contextmanager
def service(url: str | None, token: str | None) -> Iterator[Client]:
    """A client of the service at `url`; without one, of this machine's, which is started if need be."""
    client = Client(url or URL, token)
    probe = Client(url or URL, token, patience=0)
    try:
        probe.ask("GET", "/api/v2/health")
    except ServiceError:
        if url:
            raise
    else:
        yield client
        return
    print("Starting a service; `python run.py service` keeps one running.", flush=True)
    process = subprocess.Popen(START, stderr=subprocess.DEVNULL)
    try:
        while True:
            if process.poll() is not None:
                raise ServiceError("The service did not start: run `python run.py service` to see why.")
            try:
                probe.ask("GET", "/api/v2/health")
                break
            except ServiceError:
                time.sleep(0.5)
        yield client
    finally:
        process.terminate()
        process.wait()


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python run.py batch", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("graph", type=Path, help="graph in API form (File > Export (API))")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="a job a line; its top names Title.widget")
    parser.add_argument("--folder", type=Path, help="a job a picture")
    parser.add_argument(
        "--picture", metavar="TITLE", help="the LoadImage that takes them, if there are several"
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        dest="sets",
        metavar="TITLE.WIDGET=VALUES",
        help="1..500, or a|b|c; as often as you like",
    )
    parser.add_argument("--out", type=Path, help="folder of results (default: the graph's name, and -batch)")
    parser.add_argument("--url", help=f"a running service (default: {URL}, which is started if need be)")
    args = parser.parse_args(words)  # fmt: skip
    try:
        graph = load_graph(args.graph)
        columns, rows = all_rows(graph, args.csv, args.folder, args.picture, args.sets)
        folder = args.out or Path(f"{args.graph.stem}-batch")
        with service(args.url, os.environ.get("ISI_TOKEN")) as client:
            failed = Batch(client, graph, columns, rows, folder).run()
    except (BatchError, ServiceError) as error:
        print(f"\n{error}")
        return 1
    except KeyboardInterrupt:
        print("\nStopped here; the same command goes on. Jobs that a running service has go on there.")
        return 130
    print(f"{len(rows) - failed} done, {failed} failed: {folder / 'results.html'}")
    return 1 if failed else 0
