"""The contract from outside: the official client as it is, and clients older or newer than this door."""

import io

import pytest
from PIL import Image

from .doors import SAVE, WAIT, door

TOKEN = "a secret of some length"


def test_the_official_client_is_a_client(tmp_path, monkeypatch):
    comfy_sdk = pytest.importorskip("comfy_sdk", reason="comfy-sdk is not installed (requirements-dev.txt)")
    picture = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(picture, "PNG")
    (tmp_path / "photo.png").write_bytes(picture.getvalue())
    with door(tmp_path / "data", token=TOKEN) as running:
        running.headers = {"Authorization": f"Bearer {TOKEN}"}
        monkeypatch.setenv("COMFY_BASE_URL", running.url)
        with comfy_sdk.Comfy(api_key=TOKEN) as client:
            graph = {
                **SAVE,
                "2": {"class_type": "ISI_Iterate", "inputs": {}},
                "3": {"class_type": "LoadImage", "inputs": {"image": ""}},
            }
            workflow = client.workflows.from_json(graph)
            workflow.set_input("3", "image", client.assets.from_file(tmp_path / "photo.png"))
            job = client.submit(workflow, metadata={"order": "7"})
            kinds = [type(each).__name__ for each in job.events()]
            assert job.wait(30).status == "succeeded" and kinds
            assert [each.name for each in job.outputs] == ["0001-ab.png", "x_00001_.png"]
            assert job.get_outputs("1")[0].to_bytes() == b"picture" and job.metadata == {"order": "7"}
            stored = running.ask("GET", f"/api/v2/jobs/{job.id}/workflow")[2]["workflow"]["3"]["inputs"][
                "image"
            ]
            assert (tmp_path / "data" / "input" / stored).read_bytes() == picture.getvalue()
            waiting = client.submit(client.workflows.from_json(WAIT))
            waiting.cancel()
            assert running.end(waiting.id)["status"] == "canceled"
            with pytest.raises(comfy_sdk.InvalidWorkflow, match="does not have Nowhere"):
                client.submit(client.workflows.from_json({"1": {"class_type": "Nowhere", "inputs": {}}}))


def test_a_client_of_another_version_is_understood(plain):
    """What it does not know yet is left out; what nobody here knows yet is passed over."""
    new = plain.submit(SAVE, tomorrow={"a": [1]}, extra_data={"extra_pnginfo": {}})
    old = plain.ask("POST", "/api/v2/jobs", {"workflow": SAVE})
    for status, _, job in (new, old):
        assert status == 201 and plain.end(job["id"])["status"] == "succeeded"
    assert new[2]["id"] != old[2]["id"]  # without a key, twice is two jobs
    page = plain.ask("GET", "/api/v2/jobs?limit=2&tomorrow=1", Accept="application/vnd.tomorrow+json")[2]
    assert [job["id"] for job in page["jobs"]] == [old[2]["id"], new[2]["id"]]
