"""Jobs on real ComfyUIs: the host's own pictures, whoever is killed while they are made."""

import io
import json
import sys

import numpy as np
import psutil
import pytest
from isi.service.client.client import ServiceError
from isi.tools.client import execute
from isi.tools.server import Server
from PIL import Image

from .running import THREADS, Service, graph

GROUPS = "red; blue; green; yellow; purple; orange"


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    with Service(tmp_path_factory.mktemp("service"), more=("--steps", "250")) as running:
        yield running


def pixels(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)))


def made(service, job: dict) -> dict[int, dict]:
    """The outputs of ISI's iterations, by their number; each is there once."""
    found = [output for output in job["outputs"] if output["isi"]]
    assert len({output["isi"]["iteration"] for output in found}) == len(found)
    return {output["isi"]["iteration"]: output for output in found}


def after(service, job: dict, count: int) -> None:
    """Waits until a job has made `count` outputs."""
    for _ in service.client.follow(job["id"], 0.05):
        count -= 1
        if not count:
            return


def test_a_job_outlives_its_host_and_its_door_and_makes_the_hosts_own_pictures(
    service, tmp_path, monkeypatch
):
    wanted = graph(GROUPS)
    job = service.client.submit(wanted, "once")
    after(service, job, 2)
    service.hosts()[0].kill()
    after(service, job, 4)
    hosts = service.hosts()
    service.kill()
    for host in hosts:
        host.wait(10)  # the door takes its workers along
    service.start()
    assert service.client.submit(wanted, "once")["id"] == job["id"]
    end = service.client.wait(job["id"])
    assert (end["status"], end["attempt"]) == ("succeeded", 3)
    assert sorted(made(service, end)) == [1, 2, 3, 4, 5, 6]
    assert [output["name"] for output in end["outputs"] if output["node_id"] == "save"] == ["made_00001_.png"]
    lines = [json.loads(line) for line in (service.data / "door.log").read_text().splitlines()]
    told = [
        (line["event"], line["attempt"], line["worker"]) for line in lines if line.get("job") == job["id"]
    ]
    assert [each for each in told if each[0] == "job is running"] == [
        ("job is running", n, "w0") for n in (1, 2, 3)
    ]
    assert ("worker died", 1, "w0") in told and told[-1] == ("job has ended", 3, "w0")

    seen = []
    for name, count in THREADS.items():
        monkeypatch.setenv(name, count)
    with Server(tmp_path / "alone") as server:
        execute(
            server.url, wanted, lambda kind, data: kind == "isi.iteration" and seen.append(data["picture"])
        )
        for number, picture in enumerate(seen, 1):
            place = tmp_path / "alone" / "output" / picture["subfolder"] / picture["filename"]
            ours = service.client.ask("GET", f"/api/v2/assets/{made(service, end)[number]['id']}/content")
            assert (pixels(ours) == pixels(place.read_bytes())).all()

    again = service.client.wait(service.client.submit(wanted)["id"])
    assert all(output["isi"]["reused"] is not False for output in made(service, again).values())


def test_a_running_job_is_cancelled_in_the_middle_and_the_next_one_runs(service):
    long = service.client.submit(graph("red *200", seed=99, steps=20))
    after(service, long, 1)
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
