"""What a page sets and asks, broken from a seed: settings fall back, routes answer in one sentence."""

import json
import math
import random

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from ...fuzzing import STRANGE, dumped, sentence, strange

SETTINGS = {"ISI.StoreGiB": 4, "Comfy.Locale": "en", "ISI.Strip": {"open": True, "sizes": [1, 2]}}
TEXTS = [
    "",
    "0",
    "1",
    "-1",
    "1e9",
    "9" * 30,
    "nan",
    "１",
    "a\0b",
    "../..",
    "..",
    "é" * 300,
    "x" * 3000,
    "%00",
    "a/b",
    "'",
]


@pytest.mark.parametrize("seed", range(4))
def test_a_store_opens_whatever_is_set(booted, tmp_path, monkeypatch, seed):
    import folder_paths
    from isi.host.loop.gallery import open_store

    monkeypatch.setattr(folder_paths, "get_user_directory", lambda: str(tmp_path))
    path, rng = tmp_path / "default" / "comfy.settings.json", random.Random(seed)
    path.parent.mkdir()
    for _ in range(150):
        value = strange(SETTINGS, rng)
        if rng.random() < 0.5:
            value = SETTINGS | {"ISI.StoreGiB": rng.choice([*STRANGE, -0.0, 5e-324, 1e308, "4", math.inf])}
        path.write_bytes(dumped(value, rng))
        limit = open_store().limit
        assert type(limit) is int and 0 <= limit < 2**63


def asked(rng):
    """A method, a path, a query and a body that the pack's routes may get."""
    name = rng.choice(TEXTS).replace("/", "%2F").replace("\0", "%00") or "a"
    query = {rng.choice(("from", "count", "file", "kind", "other")): rng.choice(TEXTS) for _ in range(3)}
    if rng.random() < 0.5:
        query["file"] = f"checkpoints/{rng.choice(TEXTS)}"
    body = dumped(strange({"add": ["0001-0123abcd.png"], "remove": []}, rng), rng)
    path = rng.choice((f"/isi/runs/{name}", "/isi/model", f"/isi/stars/{name}"))
    return "post" if "stars" in path else "get", path, query, body


@pytest.mark.parametrize("seed", range(4))
def test_a_route_answers_in_one_sentence(host, seed, caplog):
    rng = random.Random(seed)

    async def ask():
        app = web.Application()
        app.add_routes([route for route in host.server.routes if route.path.startswith("/isi/")])
        async with TestClient(TestServer(app)) as client:
            for _ in range(100):
                method, path, query, body = asked(rng)
                given = {"data": body} if method == "post" else {"params": query}
                answer = await client.request(method, path, **given)
                text = await answer.text()
                assert answer.status in (200, 404), (
                    method,
                    path,
                    query,
                    body[:200],
                    answer.status,
                    text[:200],
                )
                if answer.status == 404 and answer.content_type == "application/json":
                    sentence(ValueError(json.loads(text)["error"]))

    host.loop.run_until_complete(ask())
    assert not [one for one in caplog.records if one.levelname == "ERROR"]
