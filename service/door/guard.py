"""Who may come in: nobody whom a page of another site sends, without a token, with too much or too slowly."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hmac
import ipaddress
import json
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from ..jobs.graphs import Limits

OPEN = frozenset({"/healthz", "/api/v2/health"})
"""What needs no token: whether the service is well."""
HEADER_SECONDS = 15.0
UPLOADS = "/api/v2/assets"
ROOM = 64 << 10
"""Bytes of an upload besides the picture: names, boundaries."""


def is_loopback(host: str) -> bool:
    """Whether a name or address can only mean this machine."""
    if host.lower() in ("localhost", "localhost."):
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


class TooMuch(Exception):
    """A body is too large or comes too slowly; what to answer is in `Body`."""


class Guard:
    """ASGI middleware. Without a token only requests for this machine's own name are answered.

    The name matters, for a page of another site can have its own name lead to 127.0.0.1. A token comes as
    `Authorization: Bearer TOKEN`, or as the password of Basic, which browsers ask for.
    """

    def __init__(self, app: Any, token: str | None, limits: Limits, origins: Iterable[str] = ()):
        self.app, self.token, self.limits, self.origins = app, token, limits, frozenset(origins)
        self.uploads = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers: dict[str, str] = {}
        for name, value in scope["headers"]:
            headers.setdefault(name.decode("latin-1"), value.decode("latin-1"))
        refused = self.refusal(scope, headers)
        upload = scope["method"] == "POST" and scope["path"] == UPLOADS
        if refused is None and upload and self.uploads >= self.limits.uploads:
            refused = 429, "too_many_uploads", "Too many uploads at once: try again in a moment."
        if refused is not None:
            await answer(send, *refused)
            return
        self.uploads += upload
        body = Body(scope, headers, receive, send, self.limits, upload)
        try:
            await self.app(scope, body.receive, body.send)
        except TooMuch:
            if not body.answered and body.problem:
                await answer(send, *body.problem)
        finally:
            self.uploads -= upload

    def refusal(self, scope: Any, headers: dict[str, str]) -> tuple[int, str, str] | None:
        """Why a request is not answered at all: status, code, sentence."""
        host = headers.get("host", "")
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            name = ""
        if not self.token and not is_loopback(name):
            return 403, "forbidden", "Without a token this service answers to localhost and 127.0.0.1 alone."
        origin = headers.get("origin")
        if origin is not None and origin not in self.origins:
            own = urlsplit(origin).netloc if origin.startswith(("http://", "https://")) else ""
            if not own or own.lower() != host.lower():
                text = (
                    "A page of another site may not use this service: start it with --allow-origin to let it."
                )
                return 403, "forbidden", text
        if self.token and scope["path"] not in OPEN and not self.known(headers.get("authorization", "")):
            return 401, "unauthorized", "Send the service's token: `Authorization: Bearer TOKEN`."
        return None

    def known(self, authorization: str) -> bool:
        """Whether that is the token; takes as long for a near miss as for a far one."""
        scheme, _, given = authorization.partition(" ")
        if scheme.lower() == "basic":
            try:
                given = base64.b64decode(given).decode("utf-8", "replace").partition(":")[2]
            except (binascii.Error, ValueError):
                given = ""
        elif scheme.lower() != "bearer":
            given = ""
        assert self.token
        return hmac.compare_digest(given.strip().encode(), self.token.encode())


class Body:
    """A request's body as it comes in, held to a size and a time, and the answer to it."""

    def __init__(
        self, scope: Any, headers: dict[str, str], receive: Any, send: Any, limits: Limits, upload: bool
    ):
        self.take, self.give = receive, send
        self.most = limits.upload + ROOM if upload else limits.body
        self.until = asyncio.get_running_loop().time() + limits.slow * (10 if upload else 1)
        self.seen, self.whole, self.answered = 0, False, False
        self.problem: tuple[int, str, str] | None = None
        self.docs = scope["path"].startswith(("/docs", "/static-offline-docs"))
        length = headers.get("content-length", "0")
        if not length.isdigit() or int(length[:19]) > self.most:
            self.problem = self.too_large()

    def too_large(self) -> tuple[int, str, str]:
        return 413, "too_large", f"A request like this may have {self.most:,} bytes."

    async def receive(self) -> Any:
        if self.problem:
            raise TooMuch
        if self.whole:
            return await self.take()  # here the application waits for the client to leave
        try:
            left = self.until - asyncio.get_running_loop().time()
            message = await asyncio.wait_for(self.take(), max(0.0, left))
        except asyncio.TimeoutError as error:
            self.problem = 408, "too_slow", "The request took too long to arrive."
            raise TooMuch from error
        if message["type"] == "http.request":
            self.seen += len(message.get("body", b""))
            self.whole = not message.get("more_body", False)
            if self.seen > self.most:
                self.problem = self.too_large()
                raise TooMuch
        return message

    async def send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            if self.problem:  # whatever the application made of a body that was cut
                await answer(self.give, *self.problem)
                self.answered = True
                return
            more = [(b"x-content-type-options", b"nosniff"), (b"referrer-policy", b"no-referrer")]
            if not self.docs and not any(
                name == b"content-security-policy" for name, _ in message["headers"]
            ):
                more.append((b"content-security-policy", b"default-src 'none'; sandbox"))
            message = {**message, "headers": [*message["headers"], *more]}
        elif self.answered:
            return
        await self.give(message)


async def answer(send: Any, status: int, code: str, text: str) -> None:
    """An error in the form of Comfy API v2, after which the connection ends."""
    body = json.dumps({"error": {"code": code, "message": text, "details": None}}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    headers.append((b"connection", b"close"))
    if status == 401:
        headers.append((b"www-authenticate", b'Basic realm="ISI service", charset="UTF-8"'))
    if status == 429:
        headers.append((b"retry-after", b"5"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


class Patient(H11Protocol):
    """uvicorn's protocol, which waits for the lines and headers of a request for ever; this one does not."""

    timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self.watch()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self.watch()

    def connection_lost(self, exc: Exception | None) -> None:
        if self.timer:
            self.timer.cancel()
        super().connection_lost(exc)

    def watch(self) -> None:
        """Has the time run as long as a request has begun to arrive and its headers are not all there."""
        waiting = self.conn.their_state is h11.IDLE
        if waiting and self.timer is None:
            self.timer = self.loop.call_later(HEADER_SECONDS, self.too_slow)
        elif not waiting and self.timer is not None:
            self.timer.cancel()
            self.timer = None

    def too_slow(self) -> None:
        self.timer = None
        if self.conn.their_state is h11.IDLE and not self.transport.is_closing():
            self.transport.close()
