"""A server that is killed while it makes a grid: queued again from the API, only what is missing is made."""

import json
import time
import urllib.request

import pytest
from isi.tools.server import Server

GRAPH = {
    "model": {"class_type": "ISI_MiniCheckpoint", "inputs": {"kind": "base"}, "_meta": {"title": "Model"}},
    "words": {"class_type": "CLIPTextEncode", "inputs": {"clip": ["model", 1], "text": "a large red circle"}},
    "none": {"class_type": "CLIPTextEncode", "inputs": {"clip": ["model", 1], "text": ""}},
    "empty": {"class_type": "EmptyLatentImage", "inputs": {"width": 128, "height": 128, "batch_size": 1}},
    "sampler": {
        "class_type": "KSampler",
        "inputs": {
            "model": ["model", 0], "positive": ["words", 0], "negative": ["none", 0],
            "latent_image": ["empty", 0], "seed": 1, "steps": 12, "cfg": 5.0, "sampler_name": "euler",
            "scheduler": "normal", "denoise": 1.0,
        },
    },
    "decode": {"class_type": "VAEDecode", "inputs": {"samples": ["sampler", 0], "vae": ["model", 2]}},
    "grid": {
        "class_type": "ISI_Grid",
        "inputs": {
            "image": ["decode", 0], "name": "killed",
            "axes": 'KSampler.cfg = 3, 5 .. 7\nsampler_name = euler, heun\nprompt = replace "red": red, blue',
        },
    },
}  # fmt: skip


def post(server, body):
    request = urllib.request.Request(
        f"{server.url}/isi/grid", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def wait(condition, seconds=200):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.mark.slow
def test_killed_at_the_seventh_cell_and_queued_again(tmp_path):
    cells = tmp_path / "output" / "isi_grids" / "killed" / "cells"
    done = lambda: {path: path.stat().st_mtime_ns for path in cells.glob("*.json")}  # noqa: E731
    with Server(tmp_path) as server:
        assert post(server, {"prompt": GRAPH, "dry": True})["missing"] == 12
        post(server, {"prompt": GRAPH})
        wait(lambda: len(done()) == 7)
        server.process.kill()
        server.process.wait()
    before = done()
    assert len(before) == 7
    with Server(tmp_path) as server:
        told = post(server, {"prompt": GRAPH})
        assert told["missing"] == 5 and told["seconds"] > 0
        wait(lambda: len(done()) == 12 and len(server.get("/history")) == 6)
        jobs = server.get("/history").values()
    assert {path: done()[path] for path in before} == before
    cached = [dict(job["status"]["messages"])["execution_cached"]["nodes"] for job in jobs]
    shown = [job["outputs"]["grid"]["images"][0]["type"] for job in jobs]
    assert shown == ["output"] * 5 + ["temp"]  # five cells, and the sheet
    assert all("sampler" not in nodes for nodes in cached)
