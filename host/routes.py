"""What the front end asks the server about runs and model files; it writes stars, and nothing else."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import Callable, Mapping
from typing import Any

from aiohttp import web
from server import PromptServer

from .keys.identity import watch_files
from .loop import gallery
from .loop.home import request_user, watch_users
from .loop.stars import LARGEST, write_stars
from .models import model_files

log = logging.getLogger("isi")


async def _answer(ask: Callable[..., Any], *given: Any) -> web.Response:
    """What `ask` gives as JSON, or 404 with one sentence in `error`. Files are read in a thread."""
    try:
        return web.json_response(await asyncio.to_thread(ask, *given))
    except ValueError as error:
        return web.json_response({"error": str(error)}, status=404)
    except model_files.Stopped:
        return web.json_response({"error": "The page went on to another file."}, status=410)
    except Exception:
        # What a strange file made of us is our fault, not the server's: said in the log, and in a sentence.
        log.exception("%s of %r failed", ask.__name__, given)
        return web.json_response({"error": "This can't be read; ComfyUI's log says why."}, status=422)


async def get_run(request: web.Request) -> web.Response:
    """GET /isi/runs/{name}?from=1&count=1000: `gallery.overview` for who asks."""

    def look() -> dict[str, Any]:
        asked = request.query
        first, count = _number(asked, "from", 1), _number(asked, "count", gallery.PAGE)
        return gallery.overview(request.match_info["name"], first, count, request_user(request))

    return await _answer(look)


async def post_stars(request: web.Request) -> web.Response:
    """POST /isi/stars/{name} with `{"add": [...], "remove": [...]}`: `write_stars` for who asks."""
    try:
        body = await request.content.read(LARGEST + 1)
        change = json.loads(body) if len(body) <= LARGEST else None
    except (ValueError, RecursionError):
        change = None

    def star() -> dict[str, Any]:
        return {"starred": write_stars(request.match_info["name"], change, request_user(request))}

    return await _answer(star)


def _number(asked: Mapping[str, str], name: str, default: int) -> int:
    """A whole number of a query. Raises ValueError for anything else."""
    text = asked.get(name, str(default))
    if not re.fullmatch(r"[0-9]{1,9}", text):
        raise ValueError(f"{name} is a whole number from 0 on, not {text[:20]!r}.")
    return int(text)


async def get_model(request: web.Request) -> web.Response:
    """GET /isi/model?file=FOLDER/NAME&kind=auto: `model_files.overview`, from the file's header alone.

    Reading ends as soon as the page has turned to another file.
    """

    def gone() -> bool:
        return request.transport is None or request.transport.is_closing()

    asked = request.query
    return await _answer(model_files.overview, asked.get("file", ""), asked.get("kind", "auto"), gone)


def register() -> None:
    """Adds the routes to ComfyUI's server; called once, when the pack is loaded."""
    watch_users(PromptServer.instance)
    watch_files(PromptServer.instance)
    routes = PromptServer.instance.routes
    routes.get("/isi/runs/{name}")(get_run)
    routes.get("/isi/model")(get_model)
    routes.post("/isi/stars/{name}")(post_stars)
