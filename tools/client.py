"""Runs a graph in its API form on a ComfyUI server, over its HTTP and websocket interface."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import aiohttp

Graph = dict[str, dict[str, Any]]


class Refused(Exception):
    """The server did not accept the graph, or a node failed. The message is for people."""


Listener = Callable[[str, dict], None]


def execute(url: str, graph: Graph, on_event: Listener | None = None) -> Graph:
    """Queues `graph`, waits for its end, returns its outputs by node id (`{"9": {"images": [...]}}`).

    `on_event(kind, data)` is told every JSON message of the server while it runs. Raises Refused.
    """
    # A thread of its own, since Playwright keeps an event loop running in the main one.
    pool = ThreadPoolExecutor(1)
    try:
        return pool.submit(asyncio.run, _execute(url, graph, on_event)).result()
    finally:
        pool.shutdown(wait=False)


async def _execute(url: str, graph: Graph, on_event: Listener | None) -> Graph:
    client = uuid.uuid4().hex
    async with aiohttp.ClientSession(url) as session:
        async with session.ws_connect("/ws", params={"clientId": client}, max_msg_size=0) as socket:
            async with session.post("/prompt", json={"prompt": graph, "client_id": client}) as answer:
                accepted = await answer.json()
            if answer.status != 200:
                raise Refused(refusal(graph, accepted))
            prompt_id = accepted["prompt_id"]
            async for message in socket:
                if message.type is not aiohttp.WSMsgType.TEXT:
                    continue  # previews
                event = message.json()
                kind, data = event["type"], event["data"]
                if on_event:
                    on_event(kind, data)
                if data.get("prompt_id") != prompt_id:
                    continue
                if kind == "execution_error":
                    raise Refused(f"{data['node_type']}: {data['exception_message'].strip()}")
                if kind == "execution_interrupted":
                    raise Refused("The run was interrupted.")
                if kind == "execution_success":
                    break
            else:
                raise Refused("The server closed the connection.")
        # The server writes its history down a moment after it said that the run ended.
        while True:
            async with session.get(f"/history/{prompt_id}") as answer:
                history = await answer.json()
            if prompt_id in history:
                return history[prompt_id]["outputs"]
            await asyncio.sleep(0.02)


def refusal(graph: Graph, answer: dict) -> str:
    """The server's validation errors as lines of text."""
    lines = [f"{answer['error']['message']} {answer['error'].get('details', '')}".strip()]
    for node_id, node in answer.get("node_errors", {}).items():
        for error in node["errors"]:
            own = error["type"] == "custom_validation_failed"  # the node's words, after the input's name
            text = error["details"].partition(" - ")[2] if own else f"{error['message']} ({error['details']})"
            lines.append(f"{graph[node_id]['class_type']}: {text}")
    return "\n".join(lines)
