"""Tells a job's webhook that it has ended: signed, tried again, and never inside one's own network.

What is still to be told is in the list of jobs, so that a restart forgets nobody.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import ipaddress
import json
import logging
import os
import secrets
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from .store import JobStore

log = logging.getLogger("isi.service")
TIMEOUT = aiohttp.ClientTimeout(total=10)
FIRST_PAUSE = 5.0
"""Seconds before the second call; each further one waits twice as long."""
NAT64 = ipaddress.ip_network("64:ff9b::/96")


def is_public(address: str) -> bool:
    """Whether an IP address is one of the internet, also where it stands inside an IPv6 address."""
    try:
        ip = ipaddress.ip_address(address.split("%")[0])
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour
        if ip in NAT64:
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(str(inner))
    return ip.is_global and not ip.is_multicast


def check_address(url: str, private: bool) -> None:
    """Raises ValueError for a webhook that can't be called: no http, or a private address written out."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ValueError(f"The webhook is no address: {error}.") from error
    if parts.scheme not in ("http", "https") or not host or parts.username is not None or port == 0:
        raise ValueError("A webhook is an address with http:// or https://, without a user name.")
    literal = host.replace(".", "").isdigit() or ":" in host
    if not private and (host.rstrip(".").lower() == "localhost" or (literal and not is_public(host))):
        raise ValueError(
            f"The webhook points at {host}, which is no address of the internet: start the service with "
            "--private-webhooks if it should be called."
        )


class Resolver(AbstractResolver):
    """Looks names up, and keeps to public addresses: a name that leads inward is no way in."""

    def __init__(self, private: bool):
        self.private, self.own = private, aiohttp.ThreadedResolver()

    async def resolve(self, host: str, port: int = 0, family: Any = socket.AF_INET) -> list[ResolveResult]:
        found = await self.own.resolve(host, port, family)
        if not self.private and not all(is_public(each["host"]) for each in found):
            raise OSError(f"{host} leads to a private address")
        return found

    async def close(self) -> None:
        await self.own.close()


def secret_of(data: Path) -> bytes:
    """What calls are signed with: ISI_WEBHOOK_SECRET, or a secret that the service makes once."""
    if given := os.environ.get("ISI_WEBHOOK_SECRET"):
        return given.encode()
    path = data / "webhook.secret"
    if not path.exists():
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_hex(32))
    return path.read_bytes().strip()


def signature(secret: bytes, stamp: int, body: bytes) -> str:
    """`t=SECONDS,v1=HEX`: HMAC-SHA256 of `SECONDS.BODY`, so that an old call can't be played again."""
    return f"t={stamp},v1=" + hmac.new(secret, f"{stamp}.".encode() + body, hashlib.sha256).hexdigest()


class Webhooks:
    """Calls what is due. `view(row)` is the job as its webhook gets it."""

    def __init__(self, store: JobStore, data: Path, private: bool, view: Callable[[Any], dict[str, Any]]):
        self.store, self.private, self.view = store, private, view
        self.secret = secret_of(data)
        self.due: dict[str, float] = {}
        self.wake = asyncio.Event()

    async def serve(self) -> None:
        """Calls webhooks until it is cancelled. A slow one holds up those of its round, 10 s at most."""
        connector = aiohttp.TCPConnector(resolver=Resolver(self.private), use_dns_cache=False)
        async with aiohttp.ClientSession(connector=connector, timeout=TIMEOUT, trust_env=False) as session:
            while True:
                self.wake.clear()
                now = time.monotonic()
                rows = [row for row in self.store.to_tell() if self.due.get(row["id"], 0) <= now]
                await asyncio.gather(*(self.call(session, row) for row in rows))
                if not rows:
                    try:
                        await asyncio.wait_for(self.wake.wait(), 1)
                    except asyncio.TimeoutError:
                        continue

    async def call(self, session: aiohttp.ClientSession, row: Any) -> None:
        """One call of one webhook. Only an answer of 2xx counts; redirects are not followed."""
        job, url = row["id"], row["webhook"]
        body = json.dumps(self.view(row)).encode()
        stamp = int(time.time())
        headers = {"Content-Type": "application/json", "X-ISI-Signature": signature(self.secret, stamp, body)}
        try:
            check_address(url, self.private)
            async with session.post(url, data=body, headers=headers, allow_redirects=False) as answer:
                said = f"HTTP {answer.status}"
                answered = answer.status // 100 == 2
        except (aiohttp.ClientError, OSError, ValueError, asyncio.TimeoutError) as error:
            said, answered = str(error) or type(error).__name__, False
        self.store.told(job, answered)
        self.due[job] = time.monotonic() + FIRST_PAUSE * 2 ** row["calls"]
        done = answered or self.store.job(job)["told"]
        if done:
            self.due.pop(job, None)
        log.info(
            "webhook",
            extra={"job": job, "answered": answered, "reason": said, "given_up": done and not answered},
        )
