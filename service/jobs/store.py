"""The durable list of jobs: one SQLite file that one door alone may open.

A job is claimed with a new attempt number, its fencing token. Only the attempt that holds the claim may add
outputs or end the job: a late answer of an attempt that was given up changes no row: a job ends exactly once.
The work itself may be done twice; that is harmless, for ISI's own store names iterations by their content.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import sqlite3
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

SCHEMA = """
CREATE TABLE IF NOT EXISTS jobs(
  seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT UNIQUE NOT NULL, idem TEXT UNIQUE, digest TEXT NOT NULL,
  graph TEXT NOT NULL, metadata TEXT NOT NULL, status TEXT NOT NULL, priority INTEGER NOT NULL,
  attempt INTEGER NOT NULL DEFAULT 0, deaths INTEGER NOT NULL DEFAULT 0, worker TEXT,
  cancel INTEGER NOT NULL DEFAULT 0, created REAL NOT NULL,
  started REAL, ended REAL, error TEXT, webhook TEXT, told INTEGER NOT NULL DEFAULT 0,
  calls INTEGER NOT NULL DEFAULT 0);
CREATE INDEX IF NOT EXISTS waiting ON jobs(priority DESC, seq) WHERE status = 'queued';
CREATE INDEX IF NOT EXISTS by_status ON jobs(status, seq);
CREATE INDEX IF NOT EXISTS to_tell ON jobs(seq) WHERE webhook IS NOT NULL AND told = 0;
CREATE TABLE IF NOT EXISTS outputs(
  n INTEGER PRIMARY KEY AUTOINCREMENT, job TEXT NOT NULL, node TEXT NOT NULL, place TEXT NOT NULL,
  size INTEGER NOT NULL, about TEXT, UNIQUE(job, place));
"""
ENDED = ("succeeded", "failed", "canceled")
MOST_DEATHS = 3
"""How many workers a job may kill before it is given up. A door that was restarted counts for none."""
MOST_CALLS = 8
"""How often a webhook is called before it is given up."""


class Full(Exception):
    """As many jobs wait as may."""


class KeyReused(Exception):
    """The idempotency key came with another job before."""


class InUse(Exception):
    """Another door has the file open."""


class Made(NamedTuple):
    """A file that a job made: the node, its place below the data folder, its size, what ISI says of it."""

    node: str
    place: str
    size: int
    about: Mapping[str, Any] | None = None


class JobStore:
    """Jobs and their outputs. All calls come from one thread, the door's."""

    def __init__(self, path: Path, most_waiting: int = 10_000):
        """Opens or makes the file, and puts jobs that a killed door left running back in their places.

        Raises InUse. The lock is SQLite's own: it ends with the process, however that ends.
        """
        self.most_waiting = most_waiting
        self.db = sqlite3.connect(path, isolation_level=None, timeout=0.5)
        self.db.row_factory = sqlite3.Row
        try:
            self.db.execute("PRAGMA locking_mode=EXCLUSIVE")
            self.db.execute("PRAGMA journal_mode=WAL")
            self.db.execute("PRAGMA synchronous=NORMAL")
            self.db.executescript(SCHEMA)
            self.db.execute("PRAGMA user_version=1")  # writes in any case: from now on there is a log
            self.db.execute(
                "UPDATE jobs SET status='queued', worker=NULL WHERE status='running' AND cancel=0"
            )
            self.db.execute(
                "UPDATE jobs SET status='canceled', ended=? WHERE status='running'", (time.time(),)
            )
        except sqlite3.OperationalError as error:
            self.db.close()
            if "locked" in str(error):
                raise InUse(
                    f"Another service has {path} open: stop it, or take another --data folder."
                ) from error
            raise
        self.log = os.open(f"{path}-wal", os.O_RDWR)

    def close(self) -> None:
        os.close(self.log)
        self.db.close()

    @contextmanager
    def together(self) -> Iterator[None]:
        """A transaction."""
        self.db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self.db.execute("COMMIT")
        except BaseException:
            self.db.execute("ROLLBACK")
            raise

    async def flush(self) -> None:
        """Returns when all that was written before is on the disk, and survives a power cut. Raises OSError.

        Writing alone survives the death of the process. What SQLite does at each commit with
        `synchronous=FULL`, but beside the event loop, and for all that wait for it at once.
        """
        await asyncio.to_thread(os.fsync, self.log)

    def submit(
        self,
        graph: Mapping[str, Any],
        idem: str | None = None,
        metadata: Mapping[str, str] | None = None,
        priority: int = 0,
        webhook: str | None = None,
    ) -> tuple[sqlite3.Row, bool]:
        """The job, and whether it is new: an idempotency key gives the same job, however often it comes.

        Raises Full, or KeyReused where the key came with another job.
        """
        text = json.dumps(graph)
        digest = hashlib.sha256(json.dumps([graph, priority, webhook], sort_keys=True).encode()).hexdigest()
        if idem is not None:
            row = self.db.execute("SELECT * FROM jobs WHERE idem=?", (idem,)).fetchone()
            if row is not None:
                if row["digest"] != digest:
                    raise KeyReused
                return row, False
        if self.waiting() >= self.most_waiting:
            raise Full
        name = str(uuid.uuid4())
        with self.together():
            self.db.execute(
                "INSERT INTO jobs(id, idem, digest, graph, metadata, status, priority, created, webhook) "
                "VALUES(?, ?, ?, ?, ?, 'queued', ?, ?, ?)",
                (name, idem, digest, text, json.dumps(metadata or {}), priority, time.time(), webhook),
            )
        return self.job(name), True

    def get(self, name: str) -> sqlite3.Row | None:
        """A job by its id."""
        return self.db.execute("SELECT * FROM jobs WHERE id=?", (name,)).fetchone()

    def job(self, name: str) -> sqlite3.Row:
        """A job that is known to be there."""
        row = self.get(name)
        assert row is not None
        return row

    def waiting(self) -> int:
        """How many jobs wait."""
        return self.db.execute("SELECT count(*) FROM jobs WHERE status='queued'").fetchone()[0]

    def counts(self) -> dict[str, int]:
        """How many jobs there are of each status."""
        return dict(map(tuple, self.db.execute("SELECT status, count(*) FROM jobs GROUP BY status")))

    def position(self, row: sqlite3.Row) -> int:
        """How many waiting jobs come before a waiting one."""
        sql = "SELECT count(*) FROM jobs WHERE status='queued' AND (priority>? OR (priority=? AND seq<?))"
        return self.db.execute(sql, (row["priority"], row["priority"], row["seq"])).fetchone()[0]

    def page(
        self,
        limit: int,
        before: int | None = None,
        status: str | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> list[sqlite3.Row]:
        """The newest jobs, or those older than the job with the number `before`; without their graphs."""
        columns = "seq, id, status, cancel, metadata, priority, attempt, created, started, ended"
        sql, given = f"SELECT {columns} FROM jobs WHERE seq < ?", [before or 2**62]
        if status:
            sql, given = f"{sql} AND status = ?", [*given, status]
        for key, value in (metadata or {}).items():
            sql += " AND EXISTS(SELECT 1 FROM json_each(metadata) WHERE key = ? AND value = ?)"
            given += [key, value]
        return self.db.execute(f"{sql} ORDER BY seq DESC LIMIT ?", [*given, limit]).fetchall()

    def claim(self, worker: str) -> sqlite3.Row | None:
        """The waiting job of the highest priority, the oldest of those; from now on it is this worker's."""
        return self.db.execute(
            "UPDATE jobs SET status='running', worker=?, attempt=attempt+1, started=coalesce(started, ?) "
            "WHERE seq=(SELECT seq FROM jobs WHERE status='queued' ORDER BY priority DESC, seq LIMIT 1) "
            "RETURNING *",
            (worker, time.time()),
        ).fetchone()

    def add(self, name: str, attempt: int, made: Iterable[Made]) -> int:
        """Writes down what a running attempt has made; returns how much of it is new."""
        new = 0
        for one in made:
            about = json.dumps(one.about) if one.about is not None else None
            new += self.db.execute(
                "INSERT OR IGNORE INTO outputs(job, node, place, size, about) SELECT id,?,?,?,? FROM jobs "
                "WHERE id=? AND attempt=? AND status='running'",
                (one.node, one.place, one.size, about, name, attempt),
            ).rowcount
        return new

    def outputs(self, name: str, after: int = 0) -> list[sqlite3.Row]:
        """What a job has made, in its order; only what came after the output `after`."""
        return self.db.execute(
            "SELECT * FROM outputs WHERE job=? AND n>? ORDER BY n", (name, after)
        ).fetchall()

    def output(self, number: int) -> sqlite3.Row | None:
        """One output, of whatever job."""
        return self.db.execute("SELECT * FROM outputs WHERE n=?", (number,)).fetchone()

    def end(
        self,
        name: str,
        attempt: int,
        status: str,
        made: Iterable[Made] = (),
        error: Mapping[str, Any] | None = None,
    ) -> bool:
        """Ends a job; True for the one attempt that does. Its last outputs come with it, or not at all."""
        with self.together():
            self.add(name, attempt, made)
            ended = self.db.execute(
                "UPDATE jobs SET status=?, error=?, ended=? WHERE id=? AND attempt=? AND status='running'",
                (status, json.dumps(error) if error else None, time.time(), name, attempt),
            ).rowcount
        return ended == 1

    def give_back(self, name: str, attempt: int, why: str) -> str:
        """The worker died: the job goes back to its old place. One that kills its workers fails.

        Returns what the job is now; `stale` where another attempt has it.
        """
        row = self.job(name)
        if row["attempt"] != attempt or row["status"] != "running":
            return "stale"
        if row["cancel"]:
            self.end(name, attempt, "canceled")
        elif row["deaths"] + 1 >= MOST_DEATHS:
            message = f"Its worker died {MOST_DEATHS} times at this job, so it is not tried again. {why}"
            self.end(name, attempt, "failed", error={"code": "worker_died", "message": message})
        else:
            self.db.execute("UPDATE jobs SET deaths=deaths+1 WHERE id=?", (name,))
            self.release(name, attempt)
        return self.job(name)["status"]

    def release(self, name: str, attempt: int) -> None:
        """Puts a running job back to its old place."""
        sql = "UPDATE jobs SET status='queued', worker=NULL WHERE id=? AND attempt=? AND status='running'"
        self.db.execute(sql, (name, attempt))

    def ask_cancel(self, name: str) -> str:
        """What the job is now: a waiting one has ended, a running one is marked."""
        self.db.execute("UPDATE jobs SET cancel=1 WHERE id=? AND status IN ('queued', 'running')", (name,))
        sql = "UPDATE jobs SET status='canceled', ended=? WHERE id=? AND status='queued'"
        self.db.execute(sql, (time.time(), name))
        return self.job(name)["status"]

    def to_tell(self) -> list[sqlite3.Row]:
        """Ended jobs whose webhook has not been answered yet, the least called first."""
        due = "webhook IS NOT NULL AND told=0 AND ended IS NOT NULL"
        sql = f"SELECT * FROM jobs WHERE {due} ORDER BY calls, seq LIMIT 50"
        return self.db.execute(sql).fetchall()

    def told(self, name: str, answered: bool) -> None:
        """Notes a call of a job's webhook: it was answered, or is tried again, MOST_CALLS times at most."""
        sql = "UPDATE jobs SET calls=calls+1, told=(? OR calls+1>=?) WHERE id=?"
        self.db.execute(sql, (answered, MOST_CALLS, name))
