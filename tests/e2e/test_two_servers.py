"""Two servers on one folder of runs, and two users of one server."""

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor

import aiohttp
import pytest
from isi.core.store.manifests import check_manifest
from isi.tools.client import execute
from isi.tools.server import Server
from safetensors.torch import load_file


def graph(script, run_name):
    """Four iterations of two steps on the smallest picture, the second one of two candidates."""
    return {
        "model": {"class_type": "ISI_MiniCheckpoint", "inputs": {"kind": "base"}},
        "script": {
            "class_type": "ISI_Script",
            "inputs": {
                "script": script, "steps": 2, "cfg": 5.0, "denoise": 0.7, "final_denoise": 0.7,
                "curve": "constant", "seed": 3, "seed_mode": "increment",
            },
        },
        "run": {
            "class_type": "ISI_Iterate",
            "inputs": {
                "model": ["model", 0], "clip": ["model", 1], "vae": ["model", 2], "plan": ["script", 0],
                "negative": "", "sampler_name": "euler_ancestral", "scheduler": "normal", "width": 64,
                "height": 64, "run_name": run_name, "choose": "most change",
            },
        },
    }  # fmt: skip


def jobs(pairs, server):
    """What a server is asked: each pair under one name, with the same first half and an end of its own."""
    ends = ("blue", "green")
    for number in range(pairs):
        script = f"red @seed={number}; yellow *2?; {ends[server]}; a circle @seed={number}"
        yield graph(script, f"pair-{number}")


def entries(home):
    """The tensors of every iteration, by its key."""
    return {path.stem: load_file(path) for path in (home / "store").glob("*/*.safetensors")}


@pytest.mark.parametrize("pairs", [3, pytest.param(20, marks=[pytest.mark.slow, pytest.mark.timeout(900)])])
def test_two_servers_on_one_folder_make_what_one_makes(tmp_path, monkeypatch, pairs):
    monkeypatch.setenv("ISI_HOME", str(tmp_path / "shared"))
    with Server(tmp_path / "a") as first, Server(tmp_path / "b") as second:
        for both in zip(jobs(pairs, 0), jobs(pairs, 1), strict=True):
            with ThreadPoolExecutor(2) as pool:
                done = [
                    pool.submit(execute, one.url, job) for one, job in zip((first, second), both, strict=True)
                ]
            assert all(one.result() for one in done)
    monkeypatch.setenv("ISI_HOME", str(tmp_path / "alone"))
    with Server(tmp_path / "c") as only:
        for server in (0, 1):
            for job in jobs(pairs, server):
                execute(only.url, job)
    shared, alone = entries(tmp_path / "shared"), entries(tmp_path / "alone")
    assert shared.keys() == alone.keys() and len(shared) == 7 * pairs
    for key, tensors in alone.items():
        assert tensors.keys() == shared[key].keys()
        assert all(bool((tensor == shared[key][name]).all()) for name, tensor in tensors.items())
    manifests = list((tmp_path / "shared" / "runs").rglob("*.json"))
    assert {f"pair-{number}.json" for number in range(pairs)} <= {path.name for path in manifests}
    for path in manifests:
        found = check_manifest(path.read_bytes(), path.stem)
        assert len(found["keys"]) == 4 and set(found["keys"]) <= shared.keys()
    assert not list((tmp_path / "shared").rglob("*.part"))


SECRET = "name-that-only-anna-knows"


async def _two_users(url):
    """All that the page of the second user is told while the first one runs, and what each is answered."""
    heard = {"anna": [], "bert": []}
    async with aiohttp.ClientSession(url) as session:
        user = {}
        for name in heard:
            async with session.post("/users", json={"username": name}) as answer:
                user[name] = {"comfy-user": await answer.json()}

        async def listen(name, socket):
            async for message in socket:
                heard[name].append(message.data if isinstance(message.data, bytes) else message.data.encode())

        sockets = {
            name: await session.ws_connect(
                "/ws", params={"clientId": name}, headers=user[name], max_msg_size=0
            )
            for name in heard
        }
        listening = [asyncio.ensure_future(listen(*one)) for one in sockets.items()]
        for extra in ({"client_id": "anna"}, {}):  # with a page of hers, and over the API without one
            body = {"prompt": graph(f"red @seed={len(extra)}; blue", SECRET), **extra}
            async with session.post("/prompt", json=body, headers=user["anna"]) as answer:
                job = (await answer.json())["prompt_id"]
            while True:
                async with session.get(f"/history/{job}", headers=user["anna"]) as answer:
                    if found := (await answer.json()).get(job):
                        assert found["status"]["status_str"] == "success"
                        break
                await asyncio.sleep(0.1)
        answers, listed = {}, {}
        for name in heard:
            async with session.get(f"/isi/runs/{SECRET}", headers=user[name]) as answer:
                answers[name] = answer.status, await answer.text()
            async with session.get("/isi/runs", headers=user[name]) as answer:
                listed[name] = [run["name"] for run in (await answer.json())["runs"]]
            if name == "bert":
                async with session.delete(f"/isi/runs/{SECRET}", headers=user[name]) as answer:
                    assert answer.status == 404
            change = {"add": ["0001-00000000.png"] if name == "anna" else []}
            async with session.post(f"/isi/stars/{SECRET}", json=change, headers=user[name]) as answer:
                answers[name] += ((await answer.json())["starred"],)
        for one in sockets.values():
            await one.close()
        await asyncio.gather(*listening)
    return heard, answers, listed


def test_a_users_run_never_reaches_another_users_page(tmp_path):
    # A thread of its own, since this one has the loop of the other tests' browser.
    with Server(tmp_path, options=["--multi-user"]) as server, ThreadPoolExecutor(1) as pool:
        heard, answers, listed = pool.submit(asyncio.run, _two_users(server.url)).result()
    kinds = {
        name: {json.loads(one)["type"] for one in told if one[:1] == b"{"} for name, told in heard.items()
    }
    assert "isi.iteration" in kinds["anna"] and any(SECRET.encode() in one for one in heard["anna"])
    assert not any(SECRET.encode() in one for one in heard["bert"])
    assert not any(kind.startswith("isi.") for kind in kinds["bert"])
    status, _, starred = answers["anna"]
    assert status == 200 and len(starred) == 1
    assert listed == {"anna": [SECRET], "bert": []}
    assert answers["bert"][0] == 404 and answers["bert"][2] == []
    manifests = [path.relative_to(tmp_path) for path in tmp_path.rglob(f"runs/{SECRET}.json")]
    assert len(manifests) == 1 and "anna" in str(manifests[0])
