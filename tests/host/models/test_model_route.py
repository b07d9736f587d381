"""GET /isi/model: what the page is told of a model file, and that it can't leave the model folders."""

import os
from pathlib import Path

import pytest
import torch
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from safetensors.torch import save_file

from ...core.models.header_vectors import safetensors_start, vectors


@pytest.fixture
def ask(host):
    """Asks the server's own routes: the status and the JSON of an answer."""

    async def answer(path, **query):
        app = web.Application()
        app.add_routes([route for route in host.server.routes if route.path.startswith("/isi/")])
        async with TestClient(TestServer(app)) as client:
            response = await client.get(path, params=query)
            return response.status, await response.json()

    return lambda path, **query: host.loop.run_until_complete(answer(path, **query))


@pytest.fixture
def checkpoint(booted):
    """Writes a file with the names and shapes of a real model, and no weights; returns its choice."""
    import folder_paths

    folder = Path(folder_paths.get_folder_paths("checkpoints")[0])
    folder.mkdir(parents=True, exist_ok=True)
    written = []

    def write(shapes, name):
        start, size = safetensors_start(shapes)
        written.append(folder / name)
        with written[-1].open("wb") as file:
            file.write(start)
            file.truncate(size)
        return f"checkpoints/{name}"

    yield write
    for path in written:
        path.unlink()


def test_says_what_the_node_says(host, ask, checkpoint):
    file = checkpoint(vectors()["checkpoint/sd2-5"], "depth.safetensors")
    kind, channels, report = host.call("ISI_InspectModel", file=file, kind="auto")
    status, told = ask("/isi/model", file=file)
    assert (status, told["kind"], told["channels"]) == (200, kind, channels)
    assert f"family: {told['family']}, layout: {told['layout']}" in report
    assert told["kinds"][0]["needs"] == ["depth"] and told["kinds"][0]["node"] in report


def test_the_users_choice_decides_or_is_refused_as_by_the_node(ask, checkpoint):
    file = checkpoint(vectors()["checkpoint/sd1-8"], "plain.safetensors")
    told = ask("/isi/model", file=file)[1]
    assert told["kind"].split(" | ") == [kind["name"] for kind in told["kinds"]]
    assert len(told["kinds"]) > 1
    assert ask("/isi/model", file=file, kind="ic-light-fc")[1]["kind"] == "ic-light-fc"
    for kind in ("inpaint", "no-such-kind"):
        status, told = ask("/isi/model", file=file, kind=kind)
        assert status == 404 and kind in told["error"] and told["error"].endswith("set `kind` to auto.")


SEES = {
    "checkpoint/sd1-4": (8, 4, 768), "checkpoint/sd2-5": (8, 4, 768), "checkpoint/sdxl-4": (8, 4, 1216),
    "dit/flux": (8, 16, 1216), "dit/flux2": (16, 128, 1216), "dit/ltxv": (32, 128, 1216),
    "dit/wan22-5b": (16, 48, 1216), "dit/wan-i2v": (8, 16, 1216), "dit/chroma": (8, 16, 1216),
    "dit/hidream": (8, 16, 1216), "dit/sd3": (8, 16, 1216),
}  # fmt: skip
"""Pixels a latent cell and channels of a latent, as the papers and model cards of these models say."""


@pytest.mark.parametrize("vector", SEES)
def test_geometry_is_the_models_own(ask, checkpoint, vector):
    ratio, channels, auto = SEES[vector]
    told = ask("/isi/model", file=checkpoint(vectors()[vector], "plain.safetensors"))[1]
    assert told["geometry"] == {"ratio": ratio, "channels": channels, "auto": auto}


def test_mini_models_have_a_geometry_too(ask):
    told = {
        kind: ask("/isi/model", file=f"mini/{kind}")[1].get("geometry") for kind in ("base", "upscale-x4")
    }
    assert told == {
        "base": {"ratio": 8, "channels": 4, "auto": 768},
        "upscale-x4": {"ratio": 8, "channels": 4, "auto": 1216},
    }
    status, told = ask("/isi/model", file="mini/../base")
    assert status == 404 and "There is no mini model" in told["error"]


OUTSIDE = [
    "", "checkpoints", "checkpoints/", "checkpoints/..", "checkpoints/../../secret.safetensors",
    "checkpoints/..\\..\\secret.safetensors", "loras/../secret.safetensors", "checkpoints//etc/passwd",
    "checkpoints/C:\\secret.safetensors", "/etc/passwd", "..", "user/secret.safetensors",
    "checkpoints/a\0.safetensors", "custom_nodes/secret.safetensors", "file:///etc/passwd",
]  # fmt: skip


@pytest.fixture(scope="module")
def secrets(booted):
    """A small readable file beside and above the model folders."""
    import folder_paths

    folder = Path(folder_paths.get_folder_paths("checkpoints")[0])
    files = [place / "secret.safetensors" for place in (folder.parent, folder.parent.parent)]
    for file in files:
        save_file({"conv_in.weight": torch.zeros(4, 4, 3, 3)}, file)
    yield
    for file in files:
        file.unlink()


@pytest.mark.parametrize("file", OUTSIDE)
def test_nothing_outside_the_model_folders_can_be_read(booted, ask, secrets, file):
    status, told = ask("/isi/model", file=file)
    assert status == 404 and list(told) == ["error"]
    assert str(booted.base) not in told["error"]


def test_a_damaged_or_missing_file_is_one_sentence(ask, checkpoint):
    assert ask("/isi/model", file="checkpoints/gone.safetensors")[1]["error"].startswith(
        "'checkpoints/gone.safetensors' was not found"
    )
    file = checkpoint({}, "page.safetensors")
    import folder_paths

    Path(folder_paths.get_full_path("checkpoints", "page.safetensors")).write_bytes(b"<html>" * 99)
    status, told = ask("/isi/model", file=file)
    assert status == 404 and told["error"].startswith(file)


def _fifo(path):
    if not hasattr(os, "mkfifo"):
        pytest.skip("this system has no such files")
    os.mkfifo(path)


def _link(path):
    try:
        path.symlink_to(path.with_name("gone"))
    except OSError:
        pytest.skip("links are not allowed here")


ODD = {
    "a folder.safetensors": lambda path: path.mkdir(),
    "a pipe.safetensors": _fifo,
    "a broken link.safetensors": _link,
    "empty.safetensors": lambda path: path.touch(),
    "empty.ckpt": lambda path: path.touch(),
    "empty.gguf": lambda path: path.touch(),
    "short.safetensors": lambda path: path.write_bytes(b"\x08"),
    "x" * 300 + ".safetensors": lambda path: None,
    "y" * 5000: lambda path: None,
    "/".join("z" * 1500): lambda path: None,
    "\ufffd\x7f.safetensors": lambda path: None,
}


@pytest.mark.parametrize("name", ODD, ids=lambda name: ascii(name[:20]))
def test_odd_files_are_one_sentence(booted, ask, name):
    import folder_paths

    folder = Path(folder_paths.get_folder_paths("checkpoints")[0])
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    try:
        ODD[name](path)
        status, told = ask("/isi/model", file=f"checkpoints/{name}")
    finally:
        if os.path.isdir(path):
            path.rmdir()
        elif os.path.lexists(path):
            path.unlink()
    assert status == 404 and list(told) == ["error"]
    assert (
        0 < len(told["error"]) < 6000 and "\n" not in told["error"] and str(booted.base) not in told["error"]
    )
