"""A server that dies while a run waits for a choice: it still waits, and nothing is made again."""

import json
import urllib.request

import pytest
from isi.tools.client import execute
from isi.tools.server import Server

from .test_kill import GRAPH

pytestmark = pytest.mark.slow


def graph(script):
    changed = json.loads(json.dumps(GRAPH))
    changed["script"]["inputs"]["script"] = script
    changed["run"]["inputs"]["run_name"] = "asks"
    return changed


def test_it_still_waits_and_goes_on_with_what_is_chosen(tmp_path):
    made = []

    def note(kind, data):
        if kind in ("isi.candidate", "isi.iteration"):
            made.append((kind, data["iteration"], data["reused"]))

    asking = graph("{a large circle} red; blue *3?; green")
    with Server(tmp_path) as server:
        (first,) = execute(server.url, asking, note)["run"]["isi_run"]
        assert first["count"] == 1 and first["waiting"]["iteration"] == 2
        assert len(made) == 1 + 3 and not any(reused for *_, reused in made)
        server.process.kill()
        server.process.wait()
    made.clear()
    with Server(tmp_path) as server:
        (again,) = execute(server.url, asking, note)["run"]["isi_run"]
        assert again == first
        assert len(made) == 1 + 3 and all(reused for *_, reused in made)
        body = json.dumps({"iteration": 2, "candidate": 3}).encode()
        with urllib.request.urlopen(server.url + first["waiting"]["post"], body) as answer:
            chosen = json.load(answer)
        server.process.kill()
        server.process.wait()
    made.clear()
    with Server(tmp_path) as server:
        (last,) = execute(server.url, asking, note)["run"]["isi_run"]
        assert last["count"] == 3 and last["waiting"] is None
        assert made == [("isi.iteration", 1, True), ("isi.iteration", 2, True), ("isi.iteration", 3, False)]
        made.clear()
        # The run of the chosen seed, written by hand, is the very same.
        execute(server.url, graph(f"{{a large circle}} red; blue @seed={chosen['seed']}; green"), note)
        assert len(made) == 3 and all(reused for *_, reused in made)
