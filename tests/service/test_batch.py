"""`run.py batch`: which jobs a graph, a table, a folder and values make; done once, and tabled."""

import csv
import itertools
import json
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from isi.service.client import batch
from isi.service.client.client import Client
from isi.service.client.rows import BatchError, all_rows, filled, load_graph
from PIL import Image

from ..conftest import ROOT
from .doors import door

GRAPH = {
    "1": {"class_type": "Save", "inputs": {"filename_prefix": "x", "seed": 0, "cfg": 1.5, "on": True},
          "_meta": {"title": "The end"}},
    "2": {"class_type": "LoadImage", "inputs": {"image": "a.png"}},
}  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "graph.json").write_text(json.dumps(GRAPH))
    (tmp_path / "pictures").mkdir()
    for name in ("a", "b"):
        Image.new("RGB", (8, 8), {"a": "red", "b": "blue"}[name]).save(tmp_path / "pictures" / f"{name}.png")
    (tmp_path / "pictures" / "notes.txt").write_text("no picture")
    (tmp_path / "table.csv").write_text('The end.cfg,Save.on\n2.5,false\n"3",1\n', "utf-8-sig")
    return tmp_path


def test_rows_are_every_combination_each_value_of_its_widgets_type(folder):
    columns, rows = all_rows(GRAPH, folder / "table.csv", folder / "pictures", None, ["1.seed=3..1"])
    pictures = [folder / "pictures" / name for name in ("a.png", "b.png")]
    lines = [(2.5, False), (3.0, True)]
    expected = [
        (*line, picture, seed) for line, picture, seed in itertools.product(lines, pictures, (3, 2, 1))
    ]
    assert [row.values for row in rows] == expected
    graph = filled(GRAPH, columns, expected[0])
    assert graph["1"]["inputs"] == {"filename_prefix": "x", "seed": 3, "cfg": 2.5, "on": False}
    assert graph["2"]["inputs"] == {"image": pictures[0]}
    assert GRAPH["1"]["inputs"]["seed"] == 0


@pytest.mark.parametrize(
    "sets, words",
    [
        (["seed=1"], "names no widget"), (["Nobody.seed=1"], "The end"), (["Save.sead=1"], "filename_prefix"),
        (["Save.seed"], "no value"), (["Save.seed=a|b"], "like 0"), (["Save.on=2"], "like True"),
        (["Save.seed=1", "1.seed=2"], "two places"), (["Save.seed=1..1000000"], "over 100,000"),
        (["Save.seed=1..1000", "Save.cfg=1..1000"], "1,000,000 jobs"),
    ],
)  # fmt: skip
def test_a_wrong_value_is_said_before_anything_is_sent(sets, words):
    with pytest.raises(BatchError, match=words):
        all_rows(GRAPH, None, None, None, sets)


def test_files_that_are_none_are_said(folder):
    (folder / "page.json").write_text('{"nodes": [], "links": []}')
    (folder / "short.csv").write_text("Save.seed,Save.cfg\n1\n")
    for name in ("page.json", "table.csv", "none.json"):
        with pytest.raises(BatchError):
            load_graph(folder / name)
    with pytest.raises(BatchError, match="Line 2"):
        all_rows(GRAPH, folder / "short.csv", None, None, [])
    with pytest.raises(BatchError, match="no PNG"):
        all_rows(GRAPH, None, folder, None, [])


def run(running, folder, *more):
    words = [str(folder / "graph.json"), "--out", str(folder / "out"), "--url", running.url, *more]
    code = batch.main(words)
    with (folder / "out" / "results.csv").open(encoding="utf-8", newline="") as file:
        return code, list(csv.DictReader(file))


def test_a_batch_that_is_stopped_goes_on_and_does_nothing_twice(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(batch, "EACH", 0.01)
    values = ("--folder", str(folder / "pictures"), "--set", "Save.seed=1..3")
    with door(tmp_path / "data") as running:
        send, sent = batch.Batch.send, []

        def stop_after_four(self, number):
            if len(sent) == 4:
                raise KeyboardInterrupt
            sent.append(number)
            return send(self, number)

        with monkeypatch.context() as patch:
            patch.setattr(batch.Batch, "send", stop_after_four)
            words = [str(folder / "graph.json"), "--out", str(folder / "out"), "--url", running.url, *values]
            assert batch.main(words) == 130
        code, rows = run(running, folder, *values)
        jobs = running.ask("GET", "/api/v2/jobs?limit=500")[2]["jobs"]
        again = run(running, folder, *values)
        assert len(running.ask("GET", "/api/v2/jobs?limit=500")[2]["jobs"]) == len(jobs) == 6
    assert (code, again) == (0, (0, rows))
    found = [(row["picture"], row["Save.seed"], row["status"]) for row in rows]
    assert found == [(p, str(n), "succeeded") for p in ("a.png", "b.png") for n in (1, 2, 3)]
    assert all((folder / "out" / row["pictures"]).read_bytes() == b"picture" for row in rows)
    page = (folder / "out" / "results.html").read_text("utf-8")
    assert page.count("<img") == 6 and "6 of 6" in capsys.readouterr().out


def test_what_failed_is_tried_again_by_the_same_command_and_said(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(batch, "EACH", 0.01)
    graph = {"1": {"class_type": "Fail", "inputs": {"seed": 0}, "_meta": {"title": "<b>&"}}}
    (folder / "graph.json").write_text(json.dumps(graph))
    with door(tmp_path / "data") as running:
        for tries in (1, 2):
            code, rows = run(running, folder, "--set", "<b>&.seed=1|2")
            assert code == 1 and [row["error"] for row in rows] == ["Fail: it failed."] * 2
            assert len(running.ask("GET", "/api/v2/jobs")[2]["jobs"]) == 2 * tries
    assert "<b>" not in (folder / "out" / "results.html").read_text("utf-8")


def test_a_batch_that_ends_its_own_service_leaves_no_process_behind():
    """It ends `run.py service`, which has the door as its child."""
    inner = "import time; print(1, flush=True); time.sleep(60)"
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); import run; "
    code += f"sys.exit(run.run([sys.executable, '-c', {inner!r}], {{}}))"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        (door_process,) = psutil.Process(process.pid).children()
        process.terminate()
        door_process.wait(20)


def test_a_service_that_is_away_is_waited_for(folder, tmp_path):
    with door(tmp_path / "data") as running:
        client = Client(running.url)
        name = client.upload(Path(folder / "pictures" / "a.png"))
    with pytest.raises(Exception, match="does not answer"):
        Client(running.url, patience=0).upload(folder / "pictures" / "a.png")
    assert (tmp_path / "data" / "input" / name).is_file()
