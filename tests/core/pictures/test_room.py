"""The room that is asked for before something large is made holds what is then taken, by torch's account."""

import json

import pytest
import torch
from isi.core.pictures import stitch
from isi.core.pictures.crop import ViewSize
from torch.profiler import ProfilerActivity, profile

SIDE = 512


def taken(work, folder):
    """Bytes at the peak of `work`, beyond what was there before."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as watched:
        work()
    path = folder / "trace.json"
    watched.export_chrome_trace(str(path))
    events = [each for each in json.loads(path.read_text())["traceEvents"] if each.get("name") == "[memory]"]
    events.sort(key=lambda each: each["ts"])
    start = events[0]["args"]["Total Allocated"] - events[0]["args"]["Bytes"]
    return max(each["args"]["Total Allocated"] for each in events) - start


@pytest.mark.parametrize("match", [0.0, 1.0])
@pytest.mark.parametrize("view", [256, 496, 504, 768, 1024])
@pytest.mark.parametrize("batch", [1, 2])
def test_the_room_that_is_asked_for(monkeypatch, tmp_path, view, match, batch):
    asked = []
    monkeypatch.setattr(stitch, "need_room", lambda size, *rest: asked.append(size))
    picture, mask = torch.rand(batch, SIDE, SIDE, 3), torch.zeros(1, SIDE, SIDE)
    mask[:, 8:-8, 8:-8] = 1
    made = stitch.crop_for_inpaint(picture, mask, mask, None, stitch.Around(), ViewSize((view, view)))
    changed = torch.rand(batch, view, view, 3)
    most = taken(lambda: made.stitched(changed, match), tmp_path)
    assert most <= asked[-1] <= 2.5 * most
