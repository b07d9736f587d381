"""Jobs in Comfy API v2: submit, list, look, follow, cancel."""

from __future__ import annotations

import asyncio
import json
import re
import sqlite3
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import StreamingResponse

from ..jobs.dispatch import Dispatcher
from ..jobs.graphs import BadGraph, check_form, check_nodes, packs_of_page, with_assets
from ..jobs.sizes import check_sizes
from ..jobs.store import ENDED, Full, JobStore, KeyReused
from ..jobs.webhooks import check_address
from .assets import AssetFiles
from .schemas import (
    Extras,
    JobView,
    Page,
    Refusal,
    Status,
    Submit,
    Summary,
    Urls,
    Workflow,
    check_text,
    moment,
)

HEARTBEAT = 15.0
"""Seconds of silence after which a stream says that it is still there."""
METADATA = re.compile(r"metadata\[(.{1,500})\]")
IdempotencyKey = Annotated[
    str | None,
    Header(max_length=200, description="The same key gives the same job, however often it is sent."),
]


class Jobs:
    """What the door does with jobs; `Jobs.changed` wakes the streams of one."""

    def __init__(self, store: JobStore, files: AssetFiles, private_webhooks: bool):
        self.store, self.files, self.private = store, files, private_webhooks
        self.dispatcher: Dispatcher | None = None
        self.streams: dict[str, set[asyncio.Event]] = {}

    def workers(self) -> Dispatcher:
        """The dispatcher, which is there once the door has started."""
        assert self.dispatcher
        return self.dispatcher

    def changed(self, job: str) -> None:
        """Wakes whoever follows a job."""
        for event in self.streams.get(job, ()):
            event.set()

    async def accept(self, graph: dict[str, Any], extras: Extras, key: str | None, base: str) -> JobView:
        """Checks a graph and puts it on the list. Raises Refusal.

        A worker may begin at once; the answer waits until the job can't be lost any more.
        """
        limits, known = self.files.limits, self.workers().known
        check_text([graph, extras.metadata, extras.webhook])
        try:
            check_form(graph, limits)
            if known:  # before the first worker is ready nothing is known; the try checks again
                check_nodes(graph, known, self.workers().allowed)
            graph = with_assets(graph, self.files.named)
            check_sizes(graph, limits, self.files.size)
            if extras.webhook is not None:
                check_address(extras.webhook, self.private)
        except BadGraph as bad:
            packs = packs_of_page(graph, known) if bad.code == "workflow_format_ui" else ""
            raise Refusal(422, bad.code, bad.message + packs, bad.details or None) from bad
        except ValueError as error:
            raise Refusal(422, "invalid_webhook", str(error)) from error
        try:
            row, fresh = self.store.submit(graph, key, extras.metadata, extras.priority, extras.webhook)
        except Full as full:
            text = f"{limits.waiting:,} jobs wait, and no more may: try again later."
            raise Refusal(429, "queue_full", text) from full
        except KeyReused as reused:
            text = "This Idempotency-Key came with another job before."
            raise Refusal(422, "idempotency_key_reuse", text) from reused
        if fresh:
            self.workers().wake.set()
        await self.store.flush()
        return self.view(self.store.job(row["id"]), base)

    def row(self, job: str) -> sqlite3.Row:
        """A job of the list. Raises Refusal."""
        row = self.store.get(job)
        if row is None:
            raise Refusal(404, "not_found", f"There is no job {job[:60]!r}.")
        return row

    def summary(self, row: sqlite3.Row) -> dict[str, Any]:
        """What a list says of a job."""
        address = f"/api/v2/jobs/{row['id']}"
        return {
            "id": row["id"],
            "status": status_of(row),
            "created_at": moment(row["created"]),
            "started_at": moment(row["started"]),
            "completed_at": moment(row["ended"]),
            "metadata": json.loads(row["metadata"]),
            "priority": row["priority"],
            "attempt": row["attempt"],
            "urls": Urls(self=address, events=f"{address}/events", cancel=f"{address}/cancel"),
        }

    def view(self, row: sqlite3.Row, base: str) -> JobView:
        """All that is said of a job. `base` is the address that it was asked at, for the files' own."""
        running = self.workers().running.get(row["id"])
        until = row["ended"], row["started"]
        return JobView(
            **self.summary(row),
            queue_position=self.store.position(row) if row["status"] == "queued" else None,
            progress=running.progress if running else None,
            outputs=[self.files.output(each, base) for each in self.store.outputs(row["id"])],
            error=json.loads(row["error"] or "null"),
            metrics={
                "queue_ms": between(row["created"], row["started"]),
                "execution_ms": between(until[1], until[0]),
            },
        )

    async def follow(self, job: str, base: str) -> AsyncIterator[str]:
        """What happens to a job, as server-sent events, from what has happened already until its end."""
        changed = asyncio.Event()
        self.streams.setdefault(job, set()).add(changed)
        said, sent, progress = None, 0, None
        try:
            while True:
                changed.clear()
                row = self.row(job)
                for each in self.store.outputs(job, sent):
                    sent = each["n"]
                    yield event("output", self.files.output(each, base).model_dump(mode="json"))
                running = self.workers().running.get(job)
                if running and running.progress not in (None, progress):
                    progress = running.progress
                    yield event("progress", progress)
                if status_of(row) != said:
                    said = status_of(row)
                    position = self.store.position(row) if said == "queued" else None
                    yield event("status", {"status": said, "queue_position": position})
                if row["status"] in ENDED:
                    return
                try:
                    await asyncio.wait_for(changed.wait(), HEARTBEAT)
                except asyncio.TimeoutError:
                    yield ": still here\n\n"
        finally:
            self.streams[job].discard(changed)
            if not self.streams[job]:
                del self.streams[job]


def between(begin: float | None, end: float | None) -> int | None:
    """Milliseconds; a clock that was set back makes none of them negative."""
    return None if begin is None or end is None else max(0, round((end - begin) * 1000))


def status_of(row: sqlite3.Row) -> Status:
    """A job's status in the words of the contract."""
    return "canceling" if row["status"] == "running" and row["cancel"] else row["status"]


def event(name: str, data: Any) -> str:
    """One server-sent event."""
    return f"event: {name}\ndata: {json.dumps(data)}\n\n"


def routes(jobs: Jobs) -> APIRouter:
    """The endpoints of jobs."""
    router = APIRouter(prefix="/api/v2/jobs", tags=["jobs"])

    @router.post("", status_code=201)
    async def submit(job: Submit, request: Request, idempotency_key: IdempotencyKey = None) -> JobView:
        """Queues a graph. A graph can read the files in ComfyUI's folders: let in whom you trust."""
        return await jobs.accept(job.workflow, job, idempotency_key, str(request.base_url))

    @router.get("")
    async def listing(
        request: Request,
        limit: Annotated[int, Query(ge=1, le=500)] = 50,
        cursor: Annotated[str | None, Query(pattern="^[0-9]{1,18}$")] = None,
        status: Status | None = None,
    ) -> Page:
        """The newest jobs. `metadata[NAME]=VALUE` keeps to those with that label."""
        wanted = {}
        for name, value in request.query_params.multi_items():
            if match := METADATA.fullmatch(name):
                wanted[match[1]] = value
        check_text(wanted)
        before = int(cursor) if cursor is not None else None
        rows = jobs.store.page(limit + 1, before, "running" if status == "canceling" else status, wanted)
        more = str(rows[limit - 1]["seq"]) if len(rows) > limit else None
        return Page(jobs=[Summary(**jobs.summary(row)) for row in rows[:limit]], next_cursor=more)

    @router.get("/{id}")
    async def job(id: str, request: Request) -> JobView:
        """A job, with what it has made so far."""
        return jobs.view(jobs.row(id), str(request.base_url))

    @router.get("/{id}/workflow")
    async def workflow(id: str) -> Workflow:
        """The graph of a job, as it was submitted."""
        return Workflow(workflow=json.loads(jobs.row(id)["graph"]))

    @router.post("/{id}/cancel")
    async def cancel(id: str, request: Request) -> JobView:
        """Ends a job: at once where it waits, after the sampler's step where it runs. What it made stays."""
        jobs.row(id)
        jobs.workers().cancel(id)
        return jobs.view(jobs.row(id), str(request.base_url))

    @router.get("/{id}/events", response_class=StreamingResponse)
    async def events(id: str, request: Request) -> StreamingResponse:
        """Server-sent events: `status`, `progress`, `output` (each ISI iteration, when it is on disk).

        A new stream begins with all outputs so far: whoever loses the connection loses nothing else.
        """
        jobs.row(id)
        if sum(map(len, jobs.streams.values())) >= jobs.files.limits.streams:
            raise Refusal(429, "too_many_streams", "Too many event streams: ask for the job again and again.")
        stream = jobs.follow(id, str(request.base_url))
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return StreamingResponse(stream, media_type="text/event-stream", headers=headers)

    return router
