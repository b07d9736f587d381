"""What the front end asks the server about runs, models, scripts and grids; it writes stars, renames and
removes runs, queues grids."""

from __future__ import annotations

import asyncio
import functools
import json
import logging
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from aiohttp import web
from server import PromptServer

from .choosing.choosing import choose
from .grids.folder import CELL_FILE, GridFolder
from .grids.queueing import queue_grid
from .keys.identity import watch_files
from .loop import gallery
from .loop.home import request_user, watch_users
from .loop.stars import LARGEST, write_stars
from .models import model_files
from .prompts import infotext, page
from .runs.changing import remove_run, rename_run, room_of
from .runs.listing import list_runs, plan_text

log = logging.getLogger("isi")

LARGEST_GRAPH = 64 << 20
"""Bytes of a graph that is posted."""

LONGEST_SEARCH = 500

LARGEST_DROP = 128 << 20
"""Bytes of a picture or a text that the page sends to be read."""


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
        log.exception("%s of %r failed", ask.__qualname__, given)
        return web.json_response({"error": "This can't be read; ComfyUI's log says why."}, status=422)


async def get_run(request: web.Request) -> web.Response:
    """GET /isi/runs/{name}?from=1&count=1000: `gallery.overview` for who asks."""

    def look() -> dict[str, Any]:
        asked = request.query
        first, count = _number(asked, "from", 1), _number(asked, "count", gallery.PAGE)
        return gallery.overview(request.match_info["name"], first, count, request_user(request))

    return await _answer(look)


async def get_runs(request: web.Request) -> web.Response:
    """GET /isi/runs?words=oak&before=1700000000.5&name=NAME: `list_runs` for who asks.

    `before` and `name` are the `next` of the page before.
    """

    def look() -> dict[str, Any]:
        asked = request.query
        before = (_time(asked["before"]), asked.get("name", "")) if "before" in asked else None
        return list_runs(asked.get("words", "")[:LONGEST_SEARCH], before, request_user(request))

    return await _answer(look)


async def get_plan(request: web.Request) -> web.Response:
    """GET /isi/runs/{name}/plan: `plan_text` for who asks."""
    return await _of_run(plan_text, request)


async def get_room(request: web.Request) -> web.Response:
    """GET /isi/runs/{name}/room: `room_of` for who asks."""
    return await _of_run(room_of, request)


async def delete_run(request: web.Request) -> web.Response:
    """DELETE /isi/runs/{name}: `remove_run` for who asks."""
    return await _of_run(remove_run, request)


async def post_name(request: web.Request) -> web.Response:
    """POST /isi/runs/{name}/name with `{"name": "another"}`: `rename_run` for who asks."""
    body = await _body(request)
    new = body.get("name") if isinstance(body, dict) else None

    def rename() -> dict[str, str]:
        if not isinstance(new, str) or not new:
            raise ValueError("Expected the new name of the run.")
        return rename_run(request.match_info["name"], new, request_user(request))

    return await _answer(rename)


async def _of_run(ask: Callable[[str, str], Any], request: web.Request) -> web.Response:
    return await _answer(lambda: ask(request.match_info["name"], request_user(request)))


async def post_stars(request: web.Request) -> web.Response:
    """POST /isi/stars/{name} with `{"add": [...], "remove": [...]}`: `write_stars` for who asks."""
    change = await _body(request)

    def star() -> dict[str, Any]:
        return {"starred": write_stars(request.match_info["name"], change, request_user(request))}

    return await _answer(star)


async def post_choice(request: web.Request) -> web.Response:
    """POST /isi/runs/{name}/choose with `{"iteration": 3, "candidate": 2}`: `choose` for who asks."""
    asked = await _body(request)
    return await _answer(lambda: choose(request.match_info["name"], asked, request_user(request)))


async def post_script(request: web.Request) -> web.Response:
    """POST /isi/script: `page.script_words` of the JSON that is sent."""
    return await _answer(page.script_words, await _body(request), _family)


async def post_infotext(request: web.Request) -> web.Response:
    """POST /isi/infotext with a picture file, or with a text as text/plain: `infotext.in_our_words` of it."""
    body = bytearray()
    while (more := await request.content.read(1 << 20)) and len(body) <= LARGEST_DROP:
        body += more
    return await _answer(infotext.read_dropped, bytes(body), request.content_type == "text/plain")


async def get_names(request: web.Request) -> web.Response:
    """GET /isi/names: `page.names`."""
    return await _answer(page.names)


async def post_grid(request: web.Request) -> web.Response:
    """POST /isi/grid with `{"prompt": graph in API form, "dry": false}`: `queue_grid` for who asks.

    Further: `node`, the id of the ISI Grid where there are several; `client_id`, `extra_data` as of /prompt.
    """
    asked = await _body(request, LARGEST_GRAPH)
    return await _answer(lambda: queue_grid(asked, request_user(request)))


async def get_grid(request: web.Request) -> web.Response:
    """GET /isi/grids/{name}/index.html: the viewer of a grid, as it is in the grid's folder."""
    answer = await _answer(lambda: GridFolder(request.match_info["name"]).view())
    if answer.status == 200:
        answer = web.Response(text=json.loads(answer.text or ""), content_type="text/html")
    return answer


async def get_grid_picture(request: web.Request) -> web.StreamResponse:
    """GET /isi/grids/{name}/cells/{file}: a picture of a grid."""

    def find() -> str:
        file = request.match_info["file"]
        path = GridFolder(request.match_info["name"]).path / "cells" / file
        if not CELL_FILE.fullmatch(file) or not path.is_file():
            raise ValueError(f"This grid has no picture {file[:60]!r}.")
        return str(path)

    answer = await _answer(find)
    return web.FileResponse(json.loads(answer.text or "")) if answer.status == 200 else answer


async def _body(request: web.Request, most: int = LARGEST) -> Any:
    """The JSON of a request; None for what is none, or over `most` bytes."""
    with suppress(ValueError, RecursionError):
        body = await request.content.read(most + 1)
        while len(body) <= most and (more := await request.content.read(most + 1)):
            body += more
        return json.loads(body) if len(body) <= most else None


def _family(file: str) -> str:
    """The family of a model file, or of a mini model; "" where that can't be told."""
    with suppress(ValueError):
        return _family_at(file, *((0, 0) if file.startswith("mini/") else model_files.file_stamp(file)))
    return ""


@functools.lru_cache(maxsize=32)
def _family_at(file: str, time: int, size: int) -> str:
    # The mini models are of SD 1.5's family.
    return "SD1" if file.startswith("mini/") else model_files.inspect(file).family


def _time(text: str) -> float:
    """A time (s). Raises ValueError for anything else."""
    try:
        return float(text)
    except ValueError as error:
        raise ValueError(f"before is a number of seconds, not {text[:20]!r}.") from error


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
    routes.get("/isi/runs")(get_runs)
    routes.get("/isi/runs/{name}")(get_run)
    routes.get("/isi/runs/{name}/plan")(get_plan)
    routes.get("/isi/runs/{name}/room")(get_room)
    routes.delete("/isi/runs/{name}")(delete_run)
    routes.post("/isi/runs/{name}/name")(post_name)
    routes.get("/isi/model")(get_model)
    routes.get("/isi/names")(get_names)
    routes.get("/isi/grids/{name}/index.html")(get_grid)
    routes.get("/isi/grids/{name}/cells/{file}")(get_grid_picture)
    routes.post("/isi/grid")(post_grid)
    routes.post("/isi/infotext")(post_infotext)
    routes.post("/isi/runs/{name}/choose")(post_choice)
    routes.post("/isi/script")(post_script)
    routes.post("/isi/stars/{name}")(post_stars)
