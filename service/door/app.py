"""The door: everything that is asked over HTTP, put together."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException

from ..jobs.comfyui import Worker
from ..jobs.dispatch import Dispatcher
from ..jobs.graphs import Limits
from ..jobs.store import JobStore
from ..jobs.webhooks import Webhooks
from . import assets, isi_api, jobs_api, watch
from .guard import Guard
from .schemas import Envelope, Refusal

log = logging.getLogger("isi.service")
ABOUT = """
Runs ComfyUI graphs, and ISI scripts without a graph, on the workers of this machine. Built on ComfyUI; speaks
Comfy API v2, so `comfy-sdk` is a client.

**A graph can read files**: a node may open any picture, model or text in ComfyUI's folders, and everybody who
may use this service can see what a job makes. Let in whom you would let at ComfyUI. Nodes of other packs run
only if the service was started with `--allow-nodes`.
"""
CODES = {400: "invalid_request", 404: "not_found", 405: "method_not_allowed"}


@dataclass(frozen=True)
class Options:
    """What a door is started with. `allowed` are patterns of nodes of other packs, `least` how many workers
    are there when there is nothing to do (all)."""

    data: Path
    token: str | None = None
    limits: Limits = Limits()
    allowed: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    private_webhooks: bool = False
    least: int | None = None


def make_app(options: Options, store: JobStore, workers: Sequence[Worker]) -> FastAPI:
    """The application; its workers start and end with it."""
    files = assets.AssetFiles(options.data, store, options.limits)
    jobs = jobs_api.Jobs(store, files, options.private_webhooks)

    @contextlib.asynccontextmanager
    async def life(_: FastAPI):
        hooks = Webhooks(
            store,
            options.data,
            options.private_webhooks,
            lambda row: jobs.view(row, "/").model_dump(mode="json"),
        )

        def changed(job: str) -> None:
            jobs.changed(job)
            hooks.wake.set()

        jobs.dispatcher = Dispatcher(
            store, workers, options.limits, options.allowed, options.data, changed, options.least
        )
        jobs.dispatcher.start()
        calls = asyncio.create_task(hooks.serve())
        yield
        calls.cancel()
        await asyncio.gather(calls, return_exceptions=True)
        await jobs.dispatcher.close()
        store.close()

    errors: dict[int | str, dict[str, Any]] = {
        status: {"model": Envelope} for status in (400, 401, 403, 404, 405, 408, 409, 413, 415, 422, 429, 507)
    }
    app = FastAPIOffline(
        redoc_url=None,
        title="ISI service",
        version="2.0.0",
        description=ABOUT,
        lifespan=life,
        responses=errors,
    )
    for router in (jobs_api.routes(jobs), assets.routes(files), isi_api.routes(jobs), watch.routes(jobs)):
        app.include_router(router)
    _say_errors(app)
    app.add_middleware(Guard, token=options.token, limits=options.limits, origins=options.origins)
    return app


def _say_errors(app: FastAPI) -> None:
    """Every error in the contract's form. What came in is never sent back."""

    @app.exception_handler(Refusal)
    async def refusal(_: Any, error: Refusal) -> Response:
        return problem(error.status, error.code, error.message, error.details)

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Any, error: RequestValidationError) -> Response:
        said = [f"{'.'.join(map(str, each['loc']))[:200]}: {each['msg']}" for each in error.errors()[:10]]
        return problem(422, "invalid_request", "; ".join(said))

    @app.exception_handler(HTTPException)
    async def http(_: Any, error: HTTPException) -> Response:
        code = CODES.get(error.status_code, "error")
        return problem(error.status_code, code, str(error.detail), headers=error.headers)

    async def full(_: Any, error: Exception) -> Response:
        log.error("nothing can be written", extra={"reason": str(error)})
        return problem(507, "disk_full", "The service's disk does not take this: is there room?")

    app.add_exception_handler(sqlite3.OperationalError, full)
    app.add_exception_handler(OSError, full)


def problem(status: int, code: str, message: str, details: Any = None, headers: Any = None) -> Response:
    """An error as an answer. ASCII, so that half a character in it can be sent."""
    body = json.dumps({"error": {"code": code, "message": message, "details": details}})
    more = {"Retry-After": "5"} if status == 429 else {}
    return Response(body, status, {**(headers or {}), **more}, "application/json")
