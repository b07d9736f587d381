"""What the front end asks the server about runs. Read only."""

from __future__ import annotations

import asyncio

from aiohttp import web
from server import PromptServer

from .gallery import overview


async def get_run(request: web.Request) -> web.Response:
    """GET /isi/runs/{name}: `gallery.overview`, or 404 with one sentence in `error`."""
    try:
        return web.json_response(await asyncio.to_thread(overview, request.match_info["name"]))
    except ValueError as error:
        return web.json_response({"error": str(error)}, status=404)


def register() -> None:
    """Adds the routes to ComfyUI's server; called once, when the pack is loaded."""
    PromptServer.instance.routes.get("/isi/runs/{name}")(get_run)
