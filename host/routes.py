"""What the front end asks the server about runs and model files. Read only."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from aiohttp import web
from server import PromptServer

from .loop import gallery
from .models import model_files


async def _answer(ask: Callable[..., Any], *given: str) -> web.Response:
    """What `ask` gives as JSON, or 404 with one sentence in `error`. Files are read in a thread."""
    try:
        return web.json_response(await asyncio.to_thread(ask, *given))
    except ValueError as error:
        return web.json_response({"error": str(error)}, status=404)


async def get_run(request: web.Request) -> web.Response:
    """GET /isi/runs/{name}: `gallery.overview`."""
    return await _answer(gallery.overview, request.match_info["name"])


async def get_model(request: web.Request) -> web.Response:
    """GET /isi/model?file=FOLDER/NAME&kind=auto: `model_files.overview`, from the file's header alone."""
    asked = request.query
    return await _answer(model_files.overview, asked.get("file", ""), asked.get("kind", "auto"))


def register() -> None:
    """Adds the routes to ComfyUI's server; called once, when the pack is loaded."""
    routes = PromptServer.instance.routes
    routes.get("/isi/runs/{name}")(get_run)
    routes.get("/isi/model")(get_model)
