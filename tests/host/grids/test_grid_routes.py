"""Grids over HTTP: planned and queued from the API alone, and shown without a way out of their folder."""

import json

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from .queued import Queue, flat, node

COLOURS = "Paint.color = 0, 255, 65280, 16711680"


@pytest.fixture
def queue(host):
    yield Queue(host)
    host.server.prompt_queue.wipe_queue()


@pytest.fixture
def ask(host):
    """Asks the server's own routes: the status, the type and the body of an answer."""

    async def answer(method, path, body):
        app = web.Application()
        app.add_routes([route for route in host.server.routes if route.path.startswith("/isi/")])
        async with TestClient(TestServer(app)) as client:
            response = await client.request(method, path, data=body)
            return response.status, response.content_type, await response.read()

    return lambda method, path, body=None: host.loop.run_until_complete(answer(method, path, body))


@pytest.fixture
def post(ask):
    def send(**body):
        status, _, told = ask("POST", "/isi/grid", json.dumps(body).encode())
        return status, json.loads(told)

    return send


def test_a_dry_run_says_how_many_and_how_long_and_queues_nothing(queue, post):
    status, told = post(prompt=flat(COLOURS, "dry"), dry=True)
    assert (status, told["cells"], told["missing"], told["seconds"]) == (200, 4, 4, None)
    assert queue.drain() == [] and not queue.folder("dry").exists()


def test_a_grid_from_the_api_alone(queue, post, host):
    graph = flat(COLOURS, "api")
    status, told = post(prompt=graph, client_id="me", extra_data={"extra_pnginfo": {"a": 1}})
    assert status == 200 and len(told["prompt_ids"]) == 5
    items = host.server.prompt_queue.get_current_queue()[1]
    assert {item[1] for item in items} == set(told["prompt_ids"])
    assert all(item[3]["client_id"] == "me" and item[3]["extra_pnginfo"] == {"a": 1} for item in items)
    assert queue.drain() == [True] * 5
    assert all(picture is not None for picture in queue.pictures("api"))
    cells = queue.folder("api") / "cells"
    for path, seconds in zip(sorted(cells.glob("*.json")), (1, 2, 3, 100), strict=True):
        path.write_text(json.dumps({"seconds": seconds, "pictures": 1}))
    graph["grid"]["inputs"]["axes"] = COLOURS.replace("255", "254, 253")
    assert post(prompt=graph, dry=True)[1] | {"folder": ""} == {
        "name": "api", "folder": "", "cells": 5, "missing": 2, "seconds": 5.0,
    }  # fmt: skip


def test_what_the_history_says_of_the_same_graph_is_known(host, queue, post, monkeypatch):
    graph = flat(COLOURS, "history")
    times = [("execution_start", {"timestamp": 1000}), ("execution_success", {"timestamp": 4500})]
    job = {"prompt": (0, "", graph), "status": {"messages": times}}
    monkeypatch.setitem(host.server.prompt_queue.history, "job", job)
    assert post(prompt=graph, dry=True)[1]["seconds"] == 14.0


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "Expected a JSON object"),
        (b"[]", "Expected a JSON object"),
        (b'{"prompt": {}}', "A graph in API form is expected"),
        (b'{"prompt": {"1": {"class_type": "ISI_Grid"}}}', "A graph in API form is expected"),
        (b'{"prompt": {"1": {"class_type": "EmptyImage", "inputs": {}}}}', "this graph has 0: none"),
        (json.dumps({"prompt": flat("", "x")}).encode(), "A grid needs an axis"),
        (json.dumps({"prompt": flat(COLOURS, "../x")}).encode(), "can't be used for a grid"),
        (json.dumps({"prompt": flat(COLOURS, "a/b")}).encode(), "can't be used for a grid"),
        (json.dumps({"prompt": flat(COLOURS), "node": "1"}).encode(), "this graph has 1: grid"),
        (json.dumps({"prompt": flat(["1", 0])}).encode(), "are texts"),
        (
            json.dumps({"prompt": flat(COLOURS) | {"grid": node("ISI_Grid", axes="a = 1")}}).encode(),
            "no image",
        ),
    ],
)
def test_what_can_not_be_a_grid_is_one_sentence(queue, ask, body, says):
    status, _, told = ask("POST", "/isi/grid", body)
    assert status == 404 and says in json.loads(told)["error"]
    assert queue.drain() == []


def test_a_grid_behind_a_grid_is_refused(post):
    graph = flat(COLOURS)
    graph["4"] = node("ISI_Grid", image=["grid", 0], axes="Paint.width = 8")
    status, told = post(prompt=graph, node="4")
    assert status == 404 and "behind the picture of another one" in told["error"]


def test_the_viewer_and_the_pictures_over_http_and_nothing_else(host, queue, ask):
    queue.run(flat(COLOURS, "web"))
    folder = queue.folder("web")
    (folder / "cells" / "secret.txt").write_text("secret")
    status, kind, page = ask("GET", "/isi/grids/web/index.html")
    assert (status, kind, page) == (200, "text/html", (folder / "index.html").read_bytes())
    key = queue.grid("web")["keys"][1]
    status, kind, picture = ask("GET", f"/isi/grids/web/cells/{key}.png")
    assert (status, kind, picture) == (200, "image/png", (folder / "cells" / f"{key}.png").read_bytes())
    for name, file in (
        ("web", "secret.txt"), ("web", f"{key}.json"), ("web", "..%2Fgrid.json"),
        ("..%2Fisi_grids%2Fweb", f"{key}.png"),
        ("..", f"{key}.png"), ("web%00", f"{key}.png"), ("gone", f"{key}.png"), ("web", "%2Fetc%2Fpasswd"),
        ("web", f"{key}.png%00"), ("%2E%2E", "index.html"),
    ):  # fmt: skip
        status, _, told = ask("GET", f"/isi/grids/{name}/cells/{file}")
        assert status == 404 and b"secret" not in told.replace(b"secret.txt", b""), (name, file)
    for name in ("gone", "..", "..%2Fisi_grids%2Fweb", "web%2F..%2Fweb"):
        assert ask("GET", f"/isi/grids/{name}/index.html")[0] == 404


def test_what_is_written_down_of_a_grid_may_be_broken(queue, ask):
    queue.run(flat(COLOURS, "cut"))
    (queue.folder("cut") / "grid.json").write_text('{"axes": [')
    status, _, told = ask("GET", "/isi/grids/cut/index.html")
    assert status == 404 and json.loads(told)["error"] == "There is no grid named 'cut': queue it."
