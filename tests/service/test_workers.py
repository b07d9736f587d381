"""Jobs on real ComfyUIs: the host's own pictures, whoever is killed while they are made."""

import asyncio
import csv
import io
import json
import sys
import uuid
from concurrent.futures import ThreadPoolExecutor

import aiohttp
import numpy as np
import psutil
import pytest
from isi.service.client import batch
from isi.service.client.client import Client, ServiceError
from isi.service.jobs.comfyui import Comfy, Worker
from isi.service.jobs.graphs import for_attempt
from isi.service.jobs.store import JobStore
from isi.tools.client import execute
from isi.tools.server import Server
from PIL import Image

from ..conftest import ROOT
from .cluster import comfyuis
from .running import THREADS, Service, graph

GROUPS = "red; blue; green; yellow; purple; orange"


@pytest.fixture(scope="module")
def service(direct, tmp_path_factory):
    with Service(tmp_path_factory.mktemp("service"), more=("--steps", "250")) as running:
        yield running


@pytest.fixture(scope="module")
def direct(tmp_path_factory):
    """A ComfyUI that no service stands before. It starts beside the service's: starts take longest here."""
    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(1) as pool:
        for name, count in THREADS.items():
            patch.setenv(name, count)
        start = pool.submit(Server(tmp_path_factory.mktemp("direct")).__enter__)
        yield start
        start.result().stop()


def pixels(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)))


def made(service, job: dict) -> dict[int, dict]:
    """The outputs of ISI's iterations, by their number; each is there once."""
    found = [output for output in job["outputs"] if output["isi"]]
    assert len({output["isi"]["iteration"] for output in found}) == len(found)
    return {output["isi"]["iteration"]: output for output in found}


def after(service, job: str, count: int) -> None:
    """Waits until a job has made `count` outputs."""
    for _ in service.client.follow(job, 0.05):
        count -= 1
        if not count:
            return


def test_a_running_job_is_cancelled_in_the_middle_and_the_next_one_runs(service):
    long = service.client.submit(graph("red *200", seed=99, steps=20))
    after(service, long["id"], 1)
    next_one = service.client.submit(graph("red"))
    host = service.hosts()[0].pid
    service.client.cancel(long["id"])
    end = service.client.wait(long["id"])
    assert end["status"] == "canceled" and 1 <= len(made(service, end)) < 200
    assert service.client.wait(next_one["id"])["status"] == "succeeded"
    assert service.hosts()[0].pid == host  # it was asked, not killed


def test_what_the_host_refuses_is_said_in_its_words_and_not_tried_again(service):
    missing = {"1": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "mine.safetensors"}}}
    missing |= {"2": {"class_type": "SaveImage", "inputs": {"images": ["3", 0], "filename_prefix": "a"}}}
    missing |= {"3": {"class_type": "VAEDecode", "inputs": {"samples": ["4", 0], "vae": ["1", 2]}}}
    missing |= {
        "4": {"class_type": "EmptyLatentImage", "inputs": {"width": 64, "height": 64, "batch_size": 1}}
    }
    end = service.client.wait(service.client.submit(missing)["id"])
    assert (end["status"], end["attempt"], end["error"]["code"]) == ("failed", 1, "invalid_workflow")
    assert "mine.safetensors" in end["error"]["message"] and "does not have" in end["error"]["message"]
    with pytest.raises(ServiceError, match="newer isi-nodes"):
        service.client.submit({"1": {"class_type": "ISI_Tomorrow", "inputs": {}}})


def test_a_script_that_another_node_wrote_is_held_to_its_steps_too(service):
    text = graph("red")["script"]["inputs"]["script"]
    wanted = graph("red")
    wanted["text"] = {
        "class_type": "StringConcatenate",
        "inputs": {"string_a": f"{text} *125", "string_b": "blue *126", "delimiter": "; "},
    }
    wanted["script"]["inputs"]["script"] = ["text", 0]
    end = service.client.wait(service.client.submit(wanted)["id"])
    assert (end["status"], end["error"]["code"]) == ("failed", "invalid_workflow")
    assert "251 steps; 250 are allowed" in end["error"]["message"]
    assert 1 <= len(made(service, end)) < 250


def test_files_that_no_node_speaks_of_are_outputs_and_each_job_has_its_own(service):
    wanted = {
        "1": {"class_type": "EmptyImage", "inputs": {"width": 8, "height": 8, "batch_size": 1, "color": 255}},
        "2": {
            "class_type": "SaveImageDataSetToFolder",
            "inputs": {"images": ["1", 0], "folder_name": "set", "filename_prefix": "a", "mode": "overwrite"},
        },
    }  # fmt: skip
    ends = [service.client.wait(service.client.submit(wanted)["id"]) for _ in range(2)]
    for end in ends:
        assert [(each["node_id"], each["name"]) for each in end["outputs"]] == [("2", "a_00000.png")]
        first = end["outputs"][0]["id"]
        assert service.client.ask("GET", f"/api/v2/assets/{first}/content")[:4] == b"\x89PNG"
    files = {place for end in ends for place in service.data.glob(f"output/jobs/{end['id']}/1/set/*")}
    assert len(files) == 2


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits another process")
def test_a_disk_that_is_full_for_comfyui_fails_its_job_and_no_other(service):
    (host,) = service.hosts()
    limits = host.rlimit(psutil.RLIMIT_FSIZE)
    host.rlimit(psutil.RLIMIT_FSIZE, (1000, limits[1]))
    wanted = graph("a purple square", seed=4242)
    try:
        end = service.client.wait(service.client.submit(wanted)["id"])
    finally:
        host.rlimit(psutil.RLIMIT_FSIZE, limits)
    assert (end["status"], end["attempt"]) == ("failed", 1)
    assert service.client.wait(service.client.submit(wanted)["id"])["status"] == "succeeded"
    assert service.hosts()[0].pid == host.pid


def test_a_picture_and_a_script_are_enough(service, tmp_path):
    path = tmp_path / "red.png"
    Image.new("RGB", (64, 64), "red").save(path)
    picture = service.client.upload(path)
    job = service.client.isi("a circle; a square", picture=picture, steps=2, denoise=0.0)
    outputs = made(service, service.client.wait(job["id"]))
    assert sorted(outputs) == [1, 2]
    # Denoise 0 leaves the picture as the autoencoder gives it: red.
    service.client.download(outputs[2], tmp_path / "made.png")
    red, green, blue = pixels((tmp_path / "made.png").read_bytes()).reshape(-1, 3).mean(0)
    assert red > 200 and green < 60 and blue < 60


@pytest.mark.parametrize("lost", ["cut", "silent"])
def test_a_lost_websocket_loses_no_iteration_and_ended_prompts_are_dropped(
    direct, tmp_path, monkeypatch, lost
):
    server, told = direct.result(), []
    monkeypatch.setattr("isi.service.jobs.comfyui.REMEMBERED", 1)
    name = str(uuid.uuid4())
    wanted, runs = for_attempt(graph(GROUPS, seed=len(lost)), name, 1)

    async def scenario():
        worker = Worker("w0", Comfy(server.comfyui, tmp_path))
        worker.process, worker.url = server.process, server.url

        def tell(kind, data):
            if kind == "iteration":
                picture = data["picture"]
                told.append((server.base / "output" / picture["subfolder"] / picture["filename"]).is_file())
                if len(told) == 1:
                    worker.reader.cancel() if lost == "silent" else asyncio.create_task(worker.socket.close())

        async with aiohttp.ClientSession() as worker.session:
            outputs = await worker.run(name, wanted, runs, tell, asyncio.Event())
            await worker.forgetting
            remembered = await worker.ask("GET", "/history")
            await worker.hang_up()
        return outputs, remembered

    outputs, remembered = asyncio.run(scenario())
    assert told == [True] * 6 and len(outputs["save"]["images"]) == 1
    assert name not in remembered


def test_a_job_outlives_its_host_and_its_door_and_a_batch_starts_the_next(
    direct, service, tmp_path, monkeypatch
):
    """The pictures are those that ComfyUI makes by itself. The last test here: it kills the service."""
    wanted = graph(GROUPS, steps=20)
    job = service.client.submit(wanted)["id"]
    after(service, job, 2)
    service.hosts()[0].kill()
    after(service, job, 4)
    hosts = service.hosts()
    service.kill()
    for host in hosts:
        host.wait(10)  # the door takes its workers along
    lines = [json.loads(line) for line in (service.data / "door.log").read_text().splitlines()]
    told = [(line["event"], line["attempt"], line["worker"]) for line in lines if line.get("job") == job]
    assert told == [("job is running", 1, "w0"), ("worker died", 1, "w0"), ("job is running", 2, "w0")]

    # `run.py service` as a batch starts it, but for this folder and with nothing to install.
    code = f"import sys; from pathlib import Path; sys.path.insert(0, {str(ROOT)!r}); import run\n"
    code += f"run.set_up = lambda *_: Path({service.comfyui!r})\n"
    code += "run.install_service = lambda _: sys.executable\n"
    code += "run.PYTHON = sys.executable; sys.exit(run.main())"
    options = ["--cpu", "--port", str(service.port), "--data", str(service.data)]
    monkeypatch.setattr(batch, "START", [sys.executable, "-c", code, "service", *options])
    monkeypatch.setattr(batch, "URL", service.client.url)
    (tmp_path / "graph.json").write_text(json.dumps(wanted))
    assert batch.main([str(tmp_path / "graph.json"), "--out", str(tmp_path / "out")]) == 0
    left = comfyuis(service.data)
    for host in left.values():
        host.parents()[0].kill()
    assert not left
    with pytest.raises(ServiceError):
        Client(service.client.url, patience=0).get(job)

    store = JobStore(service.data / "jobs.sqlite")  # nobody has it open any more
    (row,) = csv.DictReader((tmp_path / "out" / "results.csv").open(encoding="utf-8-sig"))
    ends = [store.job(name) for name in (job, row["job"])]
    assert [(end["status"], end["attempt"]) for end in ends] == [("succeeded", 3), ("succeeded", 1)]
    outputs = [[(each["node"], each["place"], json.loads(each["about"] or "null")) for each in
                store.outputs(end["id"])] for end in ends]  # fmt: skip
    store.close()
    made_of = [{about["iteration"]: place for _, place, about in each if about} for each in outputs]
    assert [sorted(each) for each in made_of] == [[1, 2, 3, 4, 5, 6]] * 2
    assert sum(bool(about) for each in outputs for _, _, about in each) == 12
    assert all(about["reused"] is not False for _, _, about in outputs[1] if about)

    seen = []
    execute(
        direct.result().url,
        wanted,
        lambda kind, data: kind == "isi.iteration" and seen.append(data["picture"]),
    )
    for number, picture in enumerate(seen, 1):
        place = direct.result().base / "output" / picture["subfolder"] / picture["filename"]
        assert (pixels((service.data / made_of[0][number]).read_bytes()) == pixels(place.read_bytes())).all()
    (saved,) = [place for node, place, _ in outputs[0] if node == "save"]
    fetched = (tmp_path / "out" / row["pictures"]).read_bytes()
    assert len(seen) == 6 and (pixels(fetched) == pixels((service.data / saved).read_bytes())).all()
