"""Where ISI keeps what it makes, and for whom: ISI_HOME, the users of --multi-user, and what they set."""

from __future__ import annotations

import json
import logging
import math
import os
import uuid
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import folder_paths
from aiohttp import web
from comfy.cli_args import args
from comfy_execution.utils import get_executing_context
from server import PromptServer

log = logging.getLogger("isi")

DEFAULT_USER = "default"
MOST_JOBS = 10_000
_ASKING: ContextVar[str] = ContextVar("isi_user", default=DEFAULT_USER)
_JOBS: dict[str, str] = {}
"""Which user queued a prompt, by its id; the host tells nodes nothing of it. Only with --multi-user."""
_SAID: set[str] = set()


def home(user: str | None = None) -> Path:
    """The folder of a user's store and runs; by default, of the user whose job is running.

    It is `isi` in ComfyUI's user directory, or what the environment variable ISI_HOME names. Each further
    user of --multi-user has one of their own: nobody sees, evicts or fills what is another's.
    """
    user = user or job_user()
    moved = os.environ.get("ISI_HOME", "").strip()
    if moved:
        root = Path(moved).expanduser().absolute()
        return root if user == DEFAULT_USER else root / "users" / user
    root = Path(folder_paths.get_user_directory())
    return root / "isi" if user == DEFAULT_USER else root / user / "isi"


def job_user() -> str:
    """Whose job is running; the default user where that can't be known."""
    context = get_executing_context()
    return _JOBS.get(context.prompt_id, DEFAULT_USER) if context else DEFAULT_USER


def note_job(prompt_id: str, user: str) -> None:
    """Says whose job a prompt is that is about to be queued; only --multi-user has more than one user."""
    if args.multi_user:
        _JOBS[prompt_id] = user
        while len(_JOBS) > MOST_JOBS:
            _JOBS.pop(next(iter(_JOBS)))


def request_user(request: web.Request) -> str:
    """Who asks. Raises ValueError for a user that this ComfyUI does not have."""
    try:
        return PromptServer.instance.user_manager.get_request_user_id(request)
    except KeyError as error:
        raise ValueError("This ComfyUI does not know the user who asks: log in again.") from error


def other_users(user: str | None) -> set[str]:
    """The users of --multi-user besides one of them; nobody without it."""
    if not args.multi_user:
        return set()
    return {DEFAULT_USER, *PromptServer.instance.user_manager.users} - {user or DEFAULT_USER}


def watch_users(server: PromptServer) -> None:
    """With --multi-user, notes who queues a prompt. Called once, before the server starts."""
    if not args.multi_user:
        return

    @web.middleware
    async def remember(request: web.Request, handler: Any) -> Any:
        try:
            _ASKING.set(request_user(request))
        except ValueError:
            _ASKING.set(DEFAULT_USER)
        return await handler(request)

    def note(prompt: dict) -> dict:
        note_job(str(prompt.setdefault("prompt_id", str(uuid.uuid4()))), _ASKING.get())
        return prompt

    server.app.middlewares.append(remember)
    server.add_on_prompt_handler(note)


def setting(name: str, default: Any, user: str | None = None) -> Any:
    """A setting of the front end as ComfyUI keeps it on disk; the default where there is none."""
    path = Path(folder_paths.get_user_directory()) / (user or job_user()) / "comfy.settings.json"
    try:
        return json.loads(path.read_bytes())[name]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return default


def number_setting(name: str, default: float, user: str | None = None) -> float:
    """A setting that is a number from 0 on; anything else is the default, which is said once."""
    value = setting(name, default, user)
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < math.inf:
        return value
    if name not in _SAID:
        _SAID.add(name)
        log.warning("The setting %s is no number from 0 on: going on with %g.", name, default)
    return default
