"""The runs on disk over HTTP: listed and searched as their files say, renamed and removed without touching
anything that is not theirs alone."""

import errno
import itertools
import json
import os
import random
import shutil
import unicodedata
from pathlib import Path
from urllib.parse import quote

import pytest
import torch
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from isi.core.loop.plan import Plan, Step
from isi.core.store.entries import Entry
from isi.host.loop import gallery, home, manifest
from isi.host.loop import run as loop
from isi.host.loop.gallery import Run
from isi.host.runs import changing
from PIL import Image
from yarl import URL

WORDS = ["Oak", "birch", "fog", "at night", "橡树", "snow", "ｆｏｇ", "<b>bold</b>", "100%", "_", "'quoted\""]
numbers = itertools.count(1)


@pytest.fixture
def ask(host, tmp_path, monkeypatch):
    """Asks the server's own routes, with a home and an output folder of their own: `(status, JSON)`."""
    monkeypatch.setenv("ISI_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(gallery.folder_paths, "output_directory", str(tmp_path / "output"))

    async def answer(method, path, body, query):
        app = web.Application()
        app.add_routes([route for route in host.server.routes if route.path.startswith("/isi/")])
        async with TestClient(TestServer(app)) as client:
            response = await client.request(method, path, data=body, params=query)
            told = await response.read()
            return response.status, json.loads(told) if response.content_type == "application/json" else told

    def send(method, path, body=None, **query):
        data = None if body is None else json.dumps(body).encode()
        return host.loop.run_until_complete(answer(method, path, data, query))

    return send


def key():
    return f"{next(numbers):032x}"


def make(name, prompts, keys=None, unnamed=False):
    """A finished run as the loop leaves it: manifest, pictures, entries of the store."""
    keys = tuple(keys or (key() for _ in prompts))
    plan = Plan(tuple(Step(prompt, seed=at) for at, prompt in enumerate(prompts)))
    run = Run(name, keys, plan, f"@{0:016x}" if unnamed else name)
    run.save(keys[-1])
    store = gallery.open_store()
    for at, each in enumerate(keys):
        path = gallery.picture_path(gallery.picture_name(name, at, each))
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (24, 16), (at, 0, 0)).save(path)
        if not store.has(each):
            torch.manual_seed(at)
            store.put(each, Entry({"picture": torch.rand(1, 16, 24, 3), "latent": torch.rand(1, 4, 2, 3)}))
    return run


def every(ask, words=""):
    """All runs of a search, page by page, once all are known."""
    while ask("GET", "/isi/runs")[1]["unread"]:
        pass
    found, more = [], {}
    while more is not None:
        status, page = ask("GET", "/isi/runs", words=words, **more)
        assert status == 200
        found += page["runs"]
        more = page["next"] and {"before": repr(page["next"][0]), "name": page["next"][1]}
    assert page["total"] == len(found)
    return found


def snapshot(folder):
    return {str(path): path.lstat().st_size for path in Path(folder).rglob("*") if not path.is_dir()}


def rows(tmp_path):
    """All that lies on disk but the index, which is a copy."""
    return {path: size for path, size in snapshot(tmp_path).items() if "runs.sqlite" not in path}


def test_list_and_search_find_what_the_manifests_say(ask):
    rng = random.Random(7)
    told = {}
    for number in range(42):
        prompts = [" ".join(rng.choices(WORDS, k=3)) for _ in range(rng.randint(1, 4))]
        make(f"run {number}", prompts)
        told[f"run {number}"] = prompts
    found = every(ask)
    assert [run["name"] for run in found] == [f"run {number}" for number in reversed(range(42))]
    newest = found[0]
    assert newest["of"] == newest["done"] == len(told["run 41"]) and newest["size"] == [24, 16]
    folder = gallery.picture_path(newest["pictures"][0]).parent
    assert newest["bytes"] == sum(path.stat().st_size for path in folder.iterdir())
    assert all(gallery.picture_path(picture).is_file() for picture in newest["pictures"])

    def folded(text):
        return unicodedata.normalize("NFKC", text).casefold()

    for words in ("oak", "OAK birch", "fog", "橡", "<b>", "%", "_", "'quoted\"", "run 4", "nothing"):
        expected = {
            name
            for name, prompts in told.items()
            if all(folded(word) in folded("\n".join([name, *prompts])) for word in words.split())
        }
        assert {run["name"] for run in every(ask, words)} == expected, words
    # An index that is broken or of a later form is made anew, and one that is gone.
    index = home.home() / "runs.sqlite"
    for bad in (b"no index" * 999, index.read_bytes()[:5000], None):
        index.unlink()
        if bad is not None:
            index.write_bytes(bad)
        assert len(every(ask, "oak")) == len({n for n, p in told.items() if "oak" in folded(str(p))})


def test_what_is_written_down_by_hand_or_broken_is_told(ask):
    for name in ("whole", "cut", "newer", "gone", "seen"):
        make(name, ["a", "b"])
    runs = home.home() / "runs"
    (runs / "cut.json").write_bytes((runs / "cut.json").read_bytes()[:150])
    (runs / "newer.json").write_text(json.dumps({"version": 99}))
    (runs / "gone.json").unlink()
    (runs / "not a name!.json").write_text("{}")
    (runs / "link.json").symlink_to(runs / "whole.json")
    shutil.rmtree(gallery.picture_path(gallery.picture_name("seen", 0, "")).parent)
    found = {run["name"]: run for run in every(ask)}
    assert found.keys() == {"whole", "cut", "newer", "seen"}
    assert "no JSON" in found["cut"]["trouble"] and "newer ISI" in found["newer"]["trouble"]
    assert found["seen"]["done"] == 0 and found["seen"]["pictures"] == [] and found["seen"]["size"] is None
    assert ask("GET", "/isi/runs/cut/plan")[0] == 404
    assert "newer ISI" in ask("POST", "/isi/runs/newer/name", {"name": "x"})[1]["error"]
    for name in ("cut", "newer", "seen"):
        assert ask("DELETE", f"/isi/runs/{name}")[0] == 200
    assert [run["name"] for run in every(ask)] == ["whole"]


def test_the_plan_is_the_table_of_its_steps(ask):
    run = make("plan", ["an oak", "<script>alert(1)</script>"])
    assert ask("GET", "/isi/runs/plan/plan") == (200, {"table": run.plan.table()})


def test_deleting_takes_what_is_its_own_and_says_how_much(ask, tmp_path):
    shared, own = [key(), key()], [key(), key()]
    make("keep", ["a", "b"], shared)
    make("go", ["a", "b", "c"], [*shared, own[0]])
    make("go", ["a", "b", "d"], [*shared, own[1]])  # an edit: a version before it
    make("run-1", ["x"], unnamed=True)
    make("run-2", ["y"], unnamed=True)  # of the same family
    ask("POST", "/isi/stars/go", {"add": [f"0001-{shared[0][:8]}.png"]})
    foreign = gallery.picture_path(gallery.picture_name("go", 0, "")).parent / "mine.txt"
    foreign.write_text("a user's own")
    before = rows(tmp_path)
    status, room = ask("GET", "/isi/runs/go/room")
    assert status == 200 and room["shared"] == 2 and rows(tmp_path) == before
    assert ask("DELETE", "/isi/runs/go") == (200, {"bytes": room["bytes"]})
    after = rows(tmp_path)
    gone = before.keys() - after.keys()
    assert room["bytes"] == sum(before[path] for path in gone) and after.keys() <= before.keys()
    assert all(
        "go" in Path(path).parts or own[0] in path or own[1] in path or "/go." in path for path in gone
    )
    assert foreign.is_file() and all(gallery.open_store().has(each) for each in shared)
    assert not any(gallery.open_store().has(each) for each in own)
    assert ask("GET", "/isi/runs/keep")[1]["of"] == 2
    assert ask("DELETE", "/isi/runs/run-1")[0] == 200
    assert [each["name"] for each in every(ask)] == ["run-2", "keep"]
    assert ask("GET", "/isi/runs/run-2")[1]["versions"] == []
    assert len(list((home.home() / "runs" / "versions" / f"@{0:016x}").iterdir())) == 1
    assert ask("DELETE", "/isi/runs/run-1")[0] == 404


def test_a_run_in_progress_is_neither_removed_nor_renamed(ask, tmp_path):
    make("busy", ["a"])
    with manifest.in_progress("busy"):
        before = rows(tmp_path)
        assert every(ask)[0]["running"]
        for method, path, body in (
            ("DELETE", "/isi/runs/busy", None), ("GET", "/isi/runs/busy/room", None),
            ("POST", "/isi/runs/busy/name", {"name": "idle"}),
        ):  # fmt: skip
            status, told = ask(method, path, body)
            assert status == 404 and "is being made" in told["error"]
        assert rows(tmp_path) == before
    assert not every(ask)[0]["running"]
    assert ask("DELETE", "/isi/runs/busy")[0] == 200


def test_the_loop_says_that_it_makes_a_run(bench, picture, monkeypatch):
    busy = []
    real = loop.send_event

    def send(event, data):
        busy.append((manifest.is_in_progress("watched"), manifest.is_in_progress("other")))
        real(event, data)

    monkeypatch.setattr(loop, "send_event", send)
    bench.run(bench.plan("a; b"), image=picture, run_name="watched")
    assert busy == [(True, False)] * 2 and not manifest.is_in_progress("watched")


def test_another_name_takes_everything_along(ask, tmp_path):
    run = make("old", ["an oak", "a birch"])
    make("old", ["an oak", "fog"])
    ask("POST", "/isi/stars/old", {"add": [f"0001-{run.keys[0][:8]}.png"]})
    was = every(ask)[0]
    before = ask("GET", "/isi/runs/old")[1]
    assert ask("POST", "/isi/runs/old/name", {"name": "новый 橡"}) == (200, {"name": "новый 橡"})
    now = every(ask)
    assert [each["name"] for each in now] == ["новый 橡"]
    for name in ("saved", "of", "done", "size", "bytes", "starred", "prompt"):
        assert now[0][name] == was[name]
    assert not [path for path in rows(tmp_path) if "old" in Path(path).stem or "/old/" in path]
    text = json.dumps(before).replace('"old"', '"новый 橡"').replace("isi/old", "isi/новый 橡")
    moved = ask("GET", f"/isi/runs/{'новый 橡'}")[1]
    assert moved == json.loads(text) and len(moved["versions"]) == 1
    # Graphs that name it as it was called find it: in the strip, and in ISI Open Run.
    assert ask("GET", "/isi/runs/old")[1] == moved
    assert gallery.open_run("old")[0].name == "новый 橡"
    # Another run may take the old name, and is its own then.
    other = make("old", ["a", "b", "c"])
    assert ask("GET", "/isi/runs/old")[1]["of"] == 3 and gallery.open_run("old")[0].keys == other.keys


def test_an_unnamed_run_keeps_its_family(ask):
    first = make("run-1", ["x"], unnamed=True)
    ask("POST", "/isi/runs/run-1/name", {"name": "named"})
    make("run-2", ["y"], unnamed=True)
    (version,) = ask("GET", "/isi/runs/run-2")[1]["versions"]
    assert version["run"] == "named" and [each["key"] for each in version["iterations"]] == [*first.keys]


@pytest.mark.parametrize("full_at", range(5))
def test_a_disk_that_is_full_leaves_the_run_as_it_was(ask, tmp_path, monkeypatch, full_at):
    make("tight", ["a"])
    make("tight", ["b"])
    ask("POST", "/isi/stars/tight", {"add": ["0001-00000000.png"]})
    before = {path: Path(path).read_bytes() for path in rows(tmp_path)}
    writes = itertools.count()

    def full(real):
        def write(*given, **named):
            if next(writes) == full_at:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return real(*given, **named)

        return write

    monkeypatch.setattr(changing, "write_atomic", full(changing.write_atomic))
    monkeypatch.setattr(changing.os, "rename", full(os.rename))
    status, told = ask("POST", "/isi/runs/tight/name", {"name": "loose"})
    monkeypatch.undo()
    assert next(writes) > full_at and status == 404 and "No space left" in told["error"], told
    assert {path: Path(path).read_bytes() for path in before} == before and rows(
        tmp_path
    ).keys() == before.keys()


OUT = (
    "..", ".", "../victim", "..\\victim", "a/b", "/etc/passwd", "C:\\victim", "C:victim", "victim\0", "con",
    "nul.txt", "\u202evictim", "a\nb", " victim", "victim.", "~", "x" * 101, "．．", "victim/",
)  # fmt: skip


@pytest.mark.parametrize("name", OUT)
def test_no_name_leads_out(ask, tmp_path, name):
    make("victim", ["a"])
    (tmp_path / "victim").mkdir()
    (tmp_path / "victim" / "0001-00000000.png").write_text("another's")
    # Where a name would lead that is taken for a path.
    for outside in ("home/victim.json", "home/runs/victim/victim.json", "victim.json"):
        (tmp_path / outside).parent.mkdir(exist_ok=True)
        shutil.copy(tmp_path / "home" / "runs" / "victim.json", tmp_path / outside)
    before = rows(tmp_path)
    there = quote(name, safe="")
    for method, path, body in (
        ("DELETE", f"/isi/runs/{there}", None), ("GET", f"/isi/runs/{there}/room", None),
        ("GET", f"/isi/runs/{there}/plan", None), ("POST", f"/isi/runs/{there}/name", {"name": "b"}),
        ("POST", "/isi/runs/victim/name", {"name": name}),
    ):  # fmt: skip
        status, told = ask(method, URL(path, encoded=True), body)
        assert status in (404, 405), (method, path, told)
        assert rows(tmp_path) == before


@pytest.mark.parametrize("what", ["pictures", "manifest", "versions", "taken"])
def test_links_are_not_followed(ask, tmp_path, what):
    make("linked", ["a"])
    outside = tmp_path / "outside"
    outside.mkdir()
    folder = gallery.picture_path(gallery.picture_name("linked", 0, "")).parent
    runs = home.home() / "runs"
    if what == "pictures":
        shutil.move(folder, outside / "pictures")
        folder.symlink_to(outside / "pictures", target_is_directory=True)
    elif what == "manifest":
        shutil.move(runs / "linked.json", outside / "linked.json")
        (runs / "linked.json").symlink_to(outside / "linked.json")
    elif what == "versions":
        shutil.move(runs / "versions" / "linked", outside / "linked")
        (runs / "versions" / "linked").symlink_to(outside / "linked", target_is_directory=True)
    else:
        (folder.parent / "new").symlink_to(outside, target_is_directory=True)
        assert ask("POST", "/isi/runs/linked/name", {"name": "new"})[0] == 404
    before = snapshot(outside)
    assert len(before) == (what != "taken")
    assert ask("DELETE", "/isi/runs/linked")[0] == 200
    assert snapshot(outside) == before and not os.path.lexists(runs / "linked.json")


def test_pictures_that_another_user_has_too_stay(ask, monkeypatch, host):
    make("ours", ["a"])
    folder = gallery.picture_path(gallery.picture_name("ours", 0, "")).parent
    monkeypatch.setattr(home.args, "multi_user", True)
    monkeypatch.setitem(host.server.user_manager.users, "bert", "bert")
    theirs = manifest.manifest_path("ours", "bert")
    theirs.parent.mkdir(parents=True)
    shutil.copy(manifest.manifest_path("ours", "default"), theirs)
    assert "Another user" in changed_name(ask)["error"]
    pictures = snapshot(folder)
    status, _ = ask("DELETE", "/isi/runs/ours")
    assert status in (200, 404) and snapshot(folder) == pictures and theirs.is_file()


def changed_name(ask):
    return ask("POST", "/isi/runs/ours/name", {"name": "mine"})[1]
