"""To be watched: health, figures for Prometheus, log lines in JSON, a page for people."""

from __future__ import annotations

import json
import logging
import time
from pathlib import Path
from typing import Any

from fastapi import APIRouter
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from pydantic import BaseModel

from .jobs_api import Jobs

PAGE = Path(__file__).with_name("page.html")
SCRIPT = Path(__file__).with_name("page.js")
PLAIN = set(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}


class Lines(logging.Formatter):
    """One JSON object a line: time, level, event, and what a record has besides (job, attempt, worker)."""

    def format(self, record: logging.LogRecord) -> str:
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line: dict[str, Any] = {"time": f"{stamp}.{record.msecs:03.0f}Z", "level": record.levelname.lower()}
        line["event"] = record.getMessage()
        line |= {name: value for name, value in vars(record).items() if name not in PLAIN}
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


class Health(BaseModel):
    ok: bool
    workers: int
    ready: int
    busy: int
    jobs: dict[str, int]


def health(jobs: Jobs) -> Health:
    """Well is a door with a worker that runs."""
    workers = jobs.workers()
    ready = sum(worker.alive() and worker.answers for worker in workers.workers)
    return Health(
        ok=ready > 0,
        workers=len(workers.workers),
        ready=ready,
        busy=len(workers.running),
        jobs=jobs.store.counts(),
    )


def figures(jobs: Jobs) -> str:
    """The text that Prometheus reads."""
    workers, well = jobs.workers(), health(jobs)
    ended = workers.counted
    found = [
        ("isi_jobs", "gauge", [(f'{{status="{name}"}}', many) for name, many in well.jobs.items()]),
        ("isi_workers", "gauge", [("", well.workers)]),
        ("isi_workers_ready", "gauge", [("", well.ready)]),
        ("isi_workers_busy", "gauge", [("", well.busy)]),
        ("isi_worker_starts_total", "counter", [("", sum(worker.starts for worker in workers.workers))]),
        ("isi_worker_deaths_total", "counter", [("", ended["deaths"])]),
        ("isi_late_answers_total", "counter", [("", ended["late"])]),
        (
            "isi_jobs_ended_total",
            "counter",
            [(f'{{status="{name}"}}', ended[name]) for name in ("succeeded", "failed", "canceled")],
        ),
        ("isi_job_seconds_total", "counter", [("", round(workers.seconds, 3))]),
        ("isi_event_streams", "gauge", [("", sum(map(len, jobs.streams.values())))]),
    ]
    lines = []
    for name, kind, values in found:
        lines += [f"# TYPE {name} {kind}", *(f"{name}{labels} {value}" for labels, value in values)]
    return "\n".join(lines) + "\n"


def routes(jobs: Jobs) -> APIRouter:
    """Health, figures, and the page."""
    router = APIRouter(tags=["service"])

    @router.get("/healthz", responses={503: {"model": Health}})
    async def healthz() -> Response:
        """200 where at least one worker runs. Needs no token."""
        well = health(jobs)
        return JSONResponse(well.model_dump(), 200 if well.ok else 503)

    @router.get("/api/v2/health")
    async def alive() -> dict[str, str]:
        """That the door is there. Needs no token."""
        return {"status": "ok"}

    @router.get("/metrics", response_class=PlainTextResponse)
    async def metrics() -> str:
        """Figures in the text format of Prometheus."""
        return figures(jobs)

    @router.get("/", include_in_schema=False)
    async def page() -> HTMLResponse:
        policy = "default-src 'none'; script-src 'self'; connect-src 'self'; style-src 'unsafe-inline'"
        headers = {"Content-Security-Policy": policy}
        return HTMLResponse(PAGE.read_text("utf-8"), headers=headers)

    @router.get("/page.js", include_in_schema=False)
    async def script() -> Response:
        return Response(SCRIPT.read_text("utf-8"), media_type="text/javascript")

    return router
