"""Webhooks: signed, tried again, and only where they may go."""

import asyncio
import hashlib
import hmac
import json
import socket
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import aiohttp
import pytest
from isi.service.jobs.store import MOST_CALLS, JobStore
from isi.service.jobs.webhooks import Resolver, check_address, is_public

from .doors import SAVE, door


@pytest.fixture
def receiver():
    """A server that refuses, then redirects, then takes; `heard` has each call's signature and body."""
    heard, answers = [], [500, 302, 204]

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            heard.append((self.path, self.headers["X-ISI-Signature"], body))
            self.send_response(answers[len(heard) - 1])
            self.send_header("Location", "/elsewhere")
            self.end_headers()

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    server.heard = heard
    yield server
    server.shutdown()
    server.server_close()


def test_it_is_called_until_it_answers_also_after_a_restart_and_proves_who_calls(
    tmp_path, receiver, monkeypatch
):
    monkeypatch.setattr("isi.service.jobs.webhooks.FIRST_PAUSE", 0.01)
    address = f"http://127.0.0.1:{receiver.server_port}/hook"
    with door(tmp_path, private_webhooks=True) as running:
        job = running.submit(SAVE, webhook=address)[2]["id"]
        while not receiver.heard:
            running.job(job)
    with door(tmp_path, private_webhooks=True) as running:
        while len(receiver.heard) < 3:
            running.job(job)
        done = running.end(job)
    secret = (tmp_path / "webhook.secret").read_bytes()
    for path, signature, body in receiver.heard:
        stamp, _, sign = signature.removeprefix("t=").partition(",v1=")
        expected = hmac.new(secret, stamp.encode() + b"." + body, hashlib.sha256).hexdigest()
        assert path == "/hook" and sign == expected
        told = json.loads(body)
        assert (told["id"], told["status"]) == (job, "succeeded")
        assert [each["id"] for each in told["outputs"]] == [each["id"] for each in done["outputs"]]


def test_one_that_never_answers_holds_up_no_job_and_no_other_for_long(tmp_path, receiver, monkeypatch):
    monkeypatch.setattr("isi.service.jobs.webhooks.FIRST_PAUSE", 0.001)
    monkeypatch.setattr("isi.service.jobs.webhooks.TIMEOUT", aiohttp.ClientTimeout(total=0.2))
    silent = socket.create_server(("127.0.0.1", 0))  # takes the call, and says nothing
    with door(tmp_path, private_webhooks=True) as running:
        lost = running.submit(SAVE, webhook=f"http://127.0.0.1:{silent.getsockname()[1]}/")[2]["id"]
        answered = running.submit(SAVE, webhook=f"http://127.0.0.1:{receiver.server_port}/hook")[2]["id"]
        assert {running.end(job)["status"] for job in (lost, answered)} == {"succeeded"}
        while len(receiver.heard) < 3:
            assert running.end(running.submit(SAVE)[2]["id"])["status"] == "succeeded"
    silent.close()
    store = JobStore(tmp_path / "jobs.sqlite")
    assert store.job(lost)["calls"] >= 1 and not store.job(lost)["calls"] > MOST_CALLS
    assert store.job(answered)["told"]
    store.close()


def test_one_that_leads_inward_is_never_called(tmp_path, receiver):
    inward = f"http://127.0.0.1:{receiver.server_port}/hook"
    with door(tmp_path) as running:
        for address in (
            inward,
            "http://localhost/",
            "http://[::1]/",
            "http://2130706433/",
            "ftp://a.example/",
        ):
            status, _, said = running.submit(SAVE, webhook=address)
            assert (status, said["error"]["code"]) == (422, "invalid_webhook")
        assert running.end(running.submit(SAVE)[2]["id"])["status"] == "succeeded"
    with door(tmp_path, private_webhooks=True) as running:
        job = running.submit({"1": {"class_type": "Wait", "inputs": {}}}, webhook=inward)[2]["id"]
    with door(tmp_path) as running:  # accepted before, but no longer allowed
        running.ask("POST", f"/api/v2/jobs/{job}/cancel")
        running.end(job)
    assert receiver.heard == []


@pytest.mark.parametrize(
    "address, public",
    [
        ("8.8.8.8", True), ("2606:4700::1111", True), ("10.0.0.1", False), ("169.254.169.254", False),
        ("127.0.0.1", False), ("0.0.0.0", False), ("::ffff:10.0.0.1", False), ("64:ff9b::7f00:1", False),
        ("2002:7f00:1::", False), ("fd00::1", False), ("fe80::1%eth0", False), ("224.0.0.1", False),
        ("100.64.0.1", False), ("no address", False),
    ],
)  # fmt: skip
def test_addresses_of_ones_own_network_are_told_from_those_of_the_internet(address, public):
    assert is_public(address) is public


def test_a_name_that_leads_inward_is_found_out_when_it_is_called():
    check_address("https://hooks.example/x", private=False)  # where that leads is seen only then

    async def look_up(private):
        return await Resolver(private).resolve("localhost", 80)

    assert {each["host"] for each in asyncio.run(look_up(True))} <= {"127.0.0.1", "::1"}
    with pytest.raises(OSError, match="private"):
        asyncio.run(look_up(False))
