"""The door over real HTTP: the contract, who may come in, what is refused and in which words."""

import io
import json
import re
import socket
import struct
import threading
import zlib
from contextlib import suppress
from http.client import HTTPConnection

import pytest
from isi.service.jobs.graphs import Limits
from PIL import Image

from .doors import SAVE, WAIT, door

TOKEN = "a secret of some length"
NOWHERE = {"type": "Nowhere", "properties": {"cnr_id": "far-pack"}}
LONG = {"2": {"class_type": "PrimitiveString", "inputs": {"value": "a *9999"}}}
LOOP = {"2": {"class_type": "ISI_Iterate", "inputs": {"candidates": 40}}}


def one(kind, **inputs):
    return {"1": {"class_type": kind, "inputs": inputs}}


def png(width=8, height=8, colour="red"):
    file = io.BytesIO()
    Image.new("RGB", (width, height), colour).save(file, "PNG")
    return file.getvalue()


def form(data, name="a.png", **fields):
    parts = [
        f'--X\r\nContent-Disposition: form-data; name="{key}"\r\n\r\n{text}\r\n'
        for key, text in fields.items()
    ]
    head = f'--X\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n'
    return "".join([*parts, head]).encode() + data + b"\r\n--X--\r\n"


def upload(door, data, **fields):
    return door.ask(
        "POST", "/api/v2/assets", form(data, **fields), Content_Type="multipart/form-data; boundary=X"
    )


def test_a_job_of_the_contract_from_submit_to_its_bytes(plain):
    status, _, job = plain.submit(
        {**SAVE, "2": {"class_type": "ISI_Iterate", "inputs": {}}}, metadata={"a": "b"}
    )
    assert status == 201
    events = plain.events(job["id"])
    names = [name for name, _ in events]
    assert names.count("output") == 2 and events[-1] == (
        "status",
        {"status": "succeeded", "queue_position": None},
    )
    done = plain.job(job["id"])
    assert [each["name"] for each in done["outputs"]] == ["0001-ab.png", "x_00001_.png"]
    assert done["outputs"][0]["isi"]["iteration"] == 1 and done["outputs"][0]["node_id"] == "2"
    for output in done["outputs"]:
        path = output["url"].removeprefix(plain.url)
        assert plain.ask("GET", path)[2] == b"picture"
        assert plain.ask("GET", path, Range="bytes=0-3")[2] == b"pict"
    assert done["metadata"] == {"a": "b"} and done["error"] is None
    assert plain.ask("GET", f"/api/v2/jobs/{job['id']}/workflow")[2]["workflow"]["1"] == SAVE["1"]
    # Whoever comes late, or again, gets every output once more.
    assert [name for name, _ in plain.events(job["id"])] == ["output", "output", "status"]


def test_files_of_two_jobs_never_meet(plain):
    graph = {**SAVE, "2": {"class_type": "ISI_Iterate", "inputs": {"run_name": "mine"}}}
    jobs = [plain.end(plain.submit(graph)[2]["id"]) for _ in range(2)]
    runs = [output["isi"]["run"] for job in jobs for output in job["outputs"] if output["isi"]]
    assert len(set(runs)) == 2 and all(run.startswith("mine-") for run in runs)
    files = {path.relative_to(plain.data) for path in plain.data.glob("output/jobs/*/*/*.png")}
    assert {job["id"] for job in jobs} <= {path.parts[2] for path in files}


def test_a_job_that_fails_says_where_and_one_that_kills_its_worker_is_given_up(plain):
    failed = plain.end(plain.submit({"7": {"class_type": "Fail", "inputs": {}}})[2]["id"])
    assert failed["status"] == "failed" and failed["attempt"] == 1
    assert (failed["error"]["node_id"], failed["error"]["message"]) == ("7", "Fail: it failed.")
    poison = plain.submit({"1": {"class_type": "Die", "inputs": {}}})[2]["id"]
    good = plain.submit(SAVE)[2]["id"]
    dead = plain.end(poison)
    assert (dead["status"], dead["attempt"], dead["error"]["code"]) == ("failed", 3, "worker_died")
    assert "the last words" in dead["error"]["message"]
    assert plain.end(good)["status"] == "succeeded"


def test_cancel_ends_what_waits_at_once_and_what_runs_soon_and_the_next_goes_on(plain):
    running, waiting, last = (plain.submit(graph)[2]["id"] for graph in (WAIT, WAIT, SAVE))
    assert plain.ask("POST", f"/api/v2/jobs/{waiting}/cancel")[2]["status"] == "canceled"
    assert plain.ask("POST", f"/api/v2/jobs/{running}/cancel")[2]["status"] in ("canceling", "canceled")
    assert plain.end(running)["status"] == "canceled"
    assert plain.end(last)["status"] == "succeeded"
    assert plain.ask("POST", f"/api/v2/jobs/{last}/cancel")[2]["status"] == "succeeded"


def test_a_job_that_takes_too_long_is_stopped_and_the_next_goes_on(tmp_path):
    with door(tmp_path, limits=Limits(hours=1e-4)) as running:
        late = running.end(running.submit(WAIT)[2]["id"])
        assert (late["status"], late["error"]["code"]) == ("failed", "time_limit")
        assert running.end(running.submit(SAVE)[2]["id"])["status"] == "succeeded"


def test_workers_come_with_the_jobs_that_wait_and_rest_after_them(tmp_path, monkeypatch):
    monkeypatch.setattr("isi.service.jobs.dispatch.REST", 0.2)
    with door(tmp_path, workers=3, least=1) as running:

        def until_ready(count):
            while (ready := running.ask("GET", "/healthz")[2]["ready"]) != count:
                assert ready in (1, 2, 3)

        running.end(running.submit(SAVE)[2]["id"])
        until_ready(1)
        jobs = [running.submit(WAIT)[2]["id"] for _ in range(5)]
        until_ready(3)
        for job in jobs:
            running.ask("POST", f"/api/v2/jobs/{job}/cancel")
        assert {running.end(job)["status"] for job in jobs} == {"canceled"}
        until_ready(1)
        assert running.end(running.submit(SAVE)[2]["id"])["status"] == "succeeded"


def test_priority_pages_and_a_full_list(tmp_path):
    with door(tmp_path, waiting=3) as running:
        first = running.submit(WAIT)[2]["id"]
        while running.job(first)["status"] == "queued":
            pass
        low, high, plain = (
            running.submit(SAVE, priority=n, metadata={"n": str(n)})[2]["id"] for n in (-1, 5, 0)
        )
        status, head, said = running.submit(SAVE)
        assert (status, said["error"]["code"], head["Retry-After"]) == (429, "queue_full", "5")
        assert [running.job(name)["queue_position"] for name in (high, plain, low)] == [0, 1, 2]
        seen, cursor = [], ""
        while cursor is not None:
            page = running.ask("GET", f"/api/v2/jobs?limit=3{cursor and '&cursor='}{cursor}")[2]
            seen += [job["id"] for job in page["jobs"]]
            cursor = page["next_cursor"]
        assert seen == [plain, high, low, first]
        found = running.ask("GET", "/api/v2/jobs?metadata%5Bn%5D=5&status=queued")[2]["jobs"]
        assert [job["id"] for job in found] == [high]
        running.ask("POST", f"/api/v2/jobs/{first}/cancel")
        ends = {name: running.end(name)["started_at"] for name in (low, high, plain)}
        assert sorted(ends, key=ends.get) == [high, plain, low]


def test_the_same_key_is_the_same_job_also_after_a_restart(tmp_path):
    with door(tmp_path) as running:
        job = running.submit(SAVE, key="k")[2]["id"]
        assert running.submit(SAVE, key="k")[2]["id"] == job
        status, _, said = running.submit(WAIT, key="k")
        assert (status, said["error"]["code"]) == (422, "idempotency_key_reuse")
        stuck = running.submit(WAIT)[2]["id"]
    with door(tmp_path) as running:
        assert running.submit(SAVE, key="k")[2]["id"] == job
        running.ask("POST", f"/api/v2/jobs/{stuck}/cancel")
        assert running.end(stuck)["status"] == "canceled"


@pytest.mark.parametrize(
    "graph, code, words",
    [
        ({"nodes": [NOWHERE], "links": []}, "workflow_format_ui", "Export (API)"),
        ({"nodes": [NOWHERE]}, "workflow_format_ui", "far-pack"),
        ({}, "invalid_workflow", "no nodes"),
        ({"1": 7}, "invalid_workflow", "class_type"),
        (one("Nowhere"), "invalid_workflow", "does not have Nowhere"),
        (one("ISI_Tomorrow"), "invalid_workflow", "newer isi-nodes"),
        (one("Foreign"), "invalid_workflow", "strange-pack"),
        (one("ISI_Script", script="a (b"), "invalid_workflow", "not closed"),
        (one("ISI_Script", script="a *2001"), "invalid_workflow", "2,001 steps"),
        (one("ISI_Script", script="{a|b}{c|d}" * 6, choices="all"), "invalid_workflow", "4,096 steps"),
        (one("ISI_Script", script="a *60 *40?"), "invalid_workflow", "2,400 steps"),
        (one("ISI_Script", script="a *60; b *4?") | LOOP, "invalid_workflow", "2,404 steps"),
        (one("ISI_Script", script=["2", 0]) | LONG, "invalid_workflow", "9,999 steps"),
        (one("Save", x="a" * 100_001), "invalid_workflow", "100,001 characters"),
        (one("Save", width=10_000, height=10_000), "invalid_workflow", "pixels"),
        (one("LoadImage", image="../../etc/passwd"), "invalid_workflow", "lead out"),
        (one("LoadImage", image="/etc/passwd"), "invalid_workflow", "lead out"),
        (one("LoadImage", image="a\\..\\..\\b"), "invalid_workflow", "lead out"),
        (one("LoadImage", image={"__type": "core/ASSET", "info": {"id": "a0"}}), "missing_asset", "upload"),
        ({str(n): SAVE["1"] for n in range(501)}, "invalid_workflow", "500 nodes"),
        (one("Save", x=float("nan")), "invalid_request", "NaN"),
        (one("Save", x="\ud800"), "invalid_request", "half a character"),
    ],
)
def test_a_graph_that_can_not_run_is_refused_in_a_sentence(plain, graph, code, words):
    plain.end(plain.submit(SAVE)[2]["id"])  # by now the worker has said which nodes it has
    status, _, said = plain.submit(graph)
    assert (status, said["error"]["code"]) == (422, code)
    assert words in said["error"]["message"]


def test_other_packs_run_where_they_are_allowed(tmp_path):
    with door(tmp_path, allowed=("Fore*",)) as running:
        job = running.submit({"1": {"class_type": "Foreign", "inputs": {}}})[2]["id"]
        assert running.end(job)["status"] == "succeeded"
    with door(tmp_path) as running:
        assert running.submit({"1": {"class_type": "Foreign", "inputs": {}}})[0] == 422


def test_a_picture_goes_in_and_a_graph_names_it(plain):
    status, _, asset = upload(plain, png())
    assert status == 201 and asset["created_new"] and asset["content_type"] == "image/png"
    assert not upload(plain, png())[2]["created_new"]
    assert plain.ask("GET", f"/api/v2/assets/{asset['id']}/content")[2] == png()
    assert plain.ask("HEAD", f"/api/v2/assets/by-hash/{asset['hash']}")[0] == 200
    assert plain.ask("POST", "/api/v2/assets/from-hash", {"hash": asset["hash"]})[2]["id"] == asset["id"]
    reference = {"__type": "core/ASSET", "info": {"id": asset["id"]}}
    job = plain.submit({"1": {"class_type": "LoadImage", "inputs": {"image": reference}}})[2]["id"]
    graph = plain.ask("GET", f"/api/v2/jobs/{job}/workflow")[2]["workflow"]
    assert graph["1"]["inputs"]["image"] == asset["file_path"]
    assert (plain.data / "input" / asset["file_path"]).read_bytes() == png()
    assert plain.ask("POST", "/v1/isi", {"script": "a; b", "picture": asset["id"]})[0] == 201
    assert plain.ask("POST", "/v1/isi", {"script": "a; b", "picture": "../a.png"})[0] == 422
    assert plain.ask("DELETE", f"/api/v2/assets/{asset['id']}")[0] == 204
    assert plain.ask("GET", f"/api/v2/assets/{asset['id']}")[0] == 404


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def test_what_is_no_picture_stays_out_whatever_it_is_called(plain):
    huge = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0))
    huge += chunk(b"IDAT", b"")
    before = set((plain.data / "input").iterdir())
    for data, status in (
        (b"<svg/>", 415),
        (b"", 415),
        (b"MZ" + bytes(99), 415),
        (png()[:20], 415),
        (huge, 413),
    ):
        assert upload(plain, data)[0] == status
    assert upload(plain, png(), expected_hash="blake3:0")[0] == 409
    upload(plain, png(colour="blue"), name="../../out.png")
    new = set((plain.data / "input").iterdir()) - before
    assert len(new) == 1 and not list(plain.data.parent.glob("out.png"))


@pytest.mark.parametrize(
    "name", ["o999", "a" + "0" * 64, "..%2f..%2fjobs.sqlite", "a" + "0" * 63 + "/", "o1%00"]
)
def test_no_id_leads_to_another_file(plain, name):
    assert plain.ask("GET", f"/api/v2/assets/{name}/content")[0] == 404


def test_a_token_opens_and_nothing_else_does(tmp_path):
    with door(tmp_path, token=TOKEN) as running:
        assert running.ask("GET", "/api/v2/health")[0] == 200
        for wrong in (
            "",
            "Bearer ",
            f"Bearer {TOKEN}x",
            f"Bearer {TOKEN[:-1]}",
            TOKEN,
            "Basic !!!",
            "Bearer \xfc",
        ):
            for path in ("/api/v2/jobs", "/docs", "/openapi.json", "/metrics", "/", "/page.js", "/nowhere"):
                assert running.ask("GET", path, Authorization=wrong)[0] == 401
        assert running.ask("GET", "/api/v2/jobs", Authorization=f"Bearer {TOKEN}")[0] == 200
        assert running.ask("GET", "/docs", Authorization="Basic OmEgc2VjcmV0IG9mIHNvbWUgbGVuZ3Ro")[0] == 200


def test_pages_of_other_sites_may_not(plain, tmp_path):
    for origin in ("https://evil.example", "null", "http://127.0.0.1:1", "http://localhost.evil.example"):
        status, _, said = plain.ask("POST", "/api/v2/jobs", {"workflow": SAVE}, Origin=origin)
        assert (status, said["error"]["code"]) == (403, "forbidden")
    assert plain.ask("POST", "/api/v2/jobs", {"workflow": SAVE}, Origin=plain.url)[0] == 201
    for host in ("evil.example", f"evil.example:{plain.port}", "192.168.0.1", ""):
        assert plain.ask("GET", "/api/v2/jobs", Host=host)[0] in (400, 403)
    with door(tmp_path, origins=("https://mine.example",)) as running:
        assert running.ask("GET", "/api/v2/jobs", Origin="https://mine.example")[0] == 200


def test_a_body_is_held_to_its_size_whether_it_is_announced_or_not(plain):
    big = {"workflow": {"1": {"class_type": "Save", "inputs": {"x": "a" * (3 << 20)}}}}
    wire = HTTPConnection("127.0.0.1", plain.port)
    wire.putrequest("POST", "/api/v2/assets")
    wire.putheader("Content-Length", str(2 << 30))
    wire.endheaders()
    assert wire.getresponse().status == 413
    wire = HTTPConnection("127.0.0.1", plain.port)
    text = json.dumps(big).encode()
    pieces = (text[at : at + 60_000] for at in range(0, len(text), 60_000))
    with suppress(OSError):  # it had heard enough
        wire.request(
            "POST", "/api/v2/jobs", pieces, {"Content-Type": "application/json"}, encode_chunked=True
        )
    assert wire.getresponse().status == 413
    assert plain.ask("GET", "/api/v2/jobs")[0] == 200


def test_slow_requests_do_not_stay_and_nobody_waits_for_them(tmp_path, monkeypatch):
    monkeypatch.setattr("isi.service.door.guard.HEADER_SECONDS", 0.5)
    with door(tmp_path, limits=Limits(slow=0.5)) as running:
        half_head, half_body = (socket.create_connection(("127.0.0.1", running.port)) for _ in range(2))
        half_head.sendall(b"POST /api/v2/jobs HTTP/1.1\r\nHost: 127.0.0.1\r\n")
        half_body.sendall(b"POST /api/v2/jobs HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 99\r\n\r\n{")
        assert running.ask("GET", "/api/v2/jobs")[0] == 200
        half_head.settimeout(60)
        half_body.settimeout(60)
        assert half_head.recv(99) == b""
        assert half_body.recv(99).startswith(b"HTTP/1.1 408")


def test_streams_are_counted_and_end_with_their_job(tmp_path):
    with door(tmp_path, limits=Limits(streams=1)) as running:
        job = running.submit(WAIT)[2]["id"]
        heard = []
        follower = threading.Thread(target=lambda: heard.extend(running.events(job)))
        follower.start()
        while b"isi_event_streams 1" not in running.ask("GET", "/metrics")[2]:
            pass
        assert running.ask("GET", f"/api/v2/jobs/{job}/events")[0] == 429
        running.ask("POST", f"/api/v2/jobs/{job}/cancel")
        follower.join()
        assert heard[-1] == ("status", {"status": "canceled", "queue_position": None})
        assert b"isi_event_streams 0" in running.ask("GET", "/metrics")[2]


def test_the_page_the_figures_and_health(plain):
    assert plain.ask("GET", "/healthz")[2]["ok"]
    head, page = plain.ask("GET", "/")[1:]
    assert b"<table>" in page and "script-src 'self'" in head["Content-Security-Policy"]
    assert plain.ask("GET", "/page.js")[1].get_content_type() == "text/javascript"
    assert b'isi_jobs_ended_total{status="succeeded"}' in plain.ask("GET", "/metrics")[2]
    # The documentation asks no other machine for anything.
    sources = re.findall(r'(?:src|href)="([^"]*)"', plain.ask("GET", "/docs")[2].decode())
    assert sources and all(source.startswith("/") for source in sources)
    assert all(plain.ask("GET", source)[0] == 200 for source in sources)
    assert "can read files" in plain.ask("GET", "/openapi.json")[2]["info"]["description"]
