"""A server that dies in the middle of a run: queued again, the run goes on, to the same bits."""

import pytest
from isi.tools.client import Refused, execute
from isi.tools.server import Server
from safetensors.torch import load_file

GROUPS = 6
GRAPH = {
    "model": {"class_type": "ISI_MiniCheckpoint", "inputs": {"kind": "base"}},
    "script": {
        "class_type": "ISI_Script",
        "inputs": {
            "script": "{a large circle} red; blue; green; yellow; purple; orange", "steps": 4, "cfg": 5.0,
            "denoise": 0.7, "final_denoise": 0.7, "curve": "constant", "seed": 3, "seed_mode": "increment",
        },
    },
    "run": {
        "class_type": "ISI_Iterate",
        "inputs": {
            "model": ["model", 0], "clip": ["model", 1], "vae": ["model", 2], "plan": ["script", 0],
            "negative": "", "sampler_name": "euler_ancestral", "scheduler": "normal", "width": 64,
            "height": 64, "run_name": "killed",
        },
    },
}  # fmt: skip


def last_entry(base):
    """The tensors of the iteration that was stored last."""
    entries = sorted(
        (base / "user" / "isi" / "store").glob("*/*.safetensors"), key=lambda p: p.stat().st_mtime
    )
    assert len(entries) == GROUPS
    return load_file(entries[-1])


@pytest.mark.slow
def test_killed_in_iteration_three_and_queued_again(tmp_path):
    seen = []

    def kill_after_two(kind, data):
        if kind == "isi.iteration":
            seen.append(data["iteration"])
            if data["iteration"] == 2:
                server.process.kill()

    with Server(tmp_path / "killed") as server, pytest.raises((Refused, OSError)):
        execute(server.url, GRAPH, kill_after_two)
    assert seen == [1, 2]

    reused = []

    def note(kind, data):
        if kind == "isi.iteration":
            reused.append(data["reused"])

    with Server(tmp_path / "killed") as server:
        execute(server.url, GRAPH, note)
    assert len(reused) == GROUPS and all(reused[:2])

    with Server(tmp_path / "whole") as server:
        execute(server.url, GRAPH)
    killed, whole = last_entry(tmp_path / "killed"), last_entry(tmp_path / "whole")
    assert killed.keys() == whole.keys()
    assert all((killed[name] == whole[name]).all() for name in whole)
