"""What needs more memory than is free says so, in one sentence, before it is allocated."""

import subprocess
import sys

import psutil
import pytest
import torch
from isi.core.loop import room
from isi.core.pictures.canvas import Canvas, sides_of
from isi.core.pictures.contact_sheet import MOST_PIXELS, contact_sheet
from isi.core.pictures.crop import ViewSize
from isi.core.pictures.masks import split_objects
from isi.core.pictures.stitch import Around, crop_for_inpaint
from isi.core.plans.objects import ObjectEdits
from isi.core.plans.outpaint import Outpainting

PICTURE, MASK = torch.rand(1, 32, 48, 3), torch.zeros(1, 32, 48)
MASK[:, 8:20, 8:20] = 1
STITCH = crop_for_inpaint(torch.rand(1, 64, 96, 3), *[torch.ones(1, 64, 96)] * 2, None, Around(4), ViewSize())
NOISE = (torch.rand(1, 64, 64, generator=torch.Generator().manual_seed(0)) > 0.7).float()
NOISE_LIMIT = 200


@pytest.fixture
def little(monkeypatch):
    """A machine with a megabyte to spare."""
    monkeypatch.setattr(room, "free_memory", lambda device=room.CPU: 1_000_000)


GROWING = {
    "canvas": lambda: Canvas(2000, 0, 0, 0).get(PICTURE, {}),
    "canvas, filled": lambda: Canvas(200, 0, 0, 0, fill="telea").get(PICTURE, {}),
    "canvas, put": lambda: Canvas(2000, 0, 0, 0).put(PICTURE, torch.zeros(1, 2032, 48, 3), {}),
    "crops": lambda: crop_for_inpaint(PICTURE, MASK, MASK, None, Around(4), ViewSize(target=(900, 900))),
    "flat crops": lambda: crop_for_inpaint(PICTURE, MASK, MASK, None, Around(4), ViewSize(target=(8, 16384))),
    "stitch": lambda: STITCH.stitched(torch.rand(20, 8, 8, 3), 1.0),
    "objects": lambda: split_objects(NOISE, NOISE_LIMIT),
    "edits": lambda: ObjectEdits(["fill"], ["a"]).plan(torch.ones(1, 512, 700)),
    "sheet": lambda: contact_sheet([PICTURE[0]] * 9, ["a"] * 9, cell=512),
}


@pytest.mark.parametrize("case", GROWING)
def test_says_what_it_needs_and_what_is_free(case, little):
    with pytest.raises(ValueError, match=r"needs [\d.,]+ GB of RAM, and 0\.0 GB are free: .*\.$") as caught:
        GROWING[case]()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("case", GROWING)
def test_what_fits_is_made(case):
    assert GROWING[case]() is not None


def test_a_plan_of_a_large_canvas_needs_no_pixels(little):
    """Whoever runs it asks for its pictures' room."""
    assert len(Outpainting((4000, 4000, 4000, 4000), 1024, ["a"], 8).plan(512, 512).steps) > 50


@pytest.mark.parametrize("ratio", ["1e300", "1e-300", "1e999", "1:1e-320", "9" * 400, "0", "nan", "5000"])
def test_a_ratio_without_end_is_refused(ratio):
    with pytest.raises(ValueError, match=r"aspect ratio .* can't be read|1000"):
        sides_of({"extend": "aspect ratio", "ratio": ratio, "anchor": "center", "multiple_of": 8}, 512, 512)
    far = {"extend": "sides", "unit": "percent", "multiple_of": 8, "left": 16384, "right": 16384, "top": 0}
    with pytest.raises(ValueError, match="no side can be longer than 131,072"):
        sides_of(far | {"bottom": 0}, 512, 4096)


def test_a_sheet_of_thousands_is_bounded():
    count = 3000
    sheet = contact_sheet((PICTURE[0] for _ in range(count)), [""] * count, cell=1024)
    assert sheet.shape[0] * sheet.shape[1] < 1.2 * MOST_PIXELS


def test_a_limit_of_the_process_counts():
    pytest.importorskip("resource")
    program = """
import resource, psutil, sys
sys.path.insert(0, sys.argv[1])
from conftest import *
from isi.core.loop.room import free_memory
used = psutil.Process().memory_info().vms
resource.setrlimit(resource.RLIMIT_AS, (used + 2**29, used + 2**29))
assert 2**28 < free_memory() <= 2**29, free_memory()
"""
    from pathlib import Path

    subprocess.run([sys.executable, "-c", program, str(Path(__file__).parents[2])], check=True)
    assert 0 < room.free_memory() <= psutil.virtual_memory().available * 1.2


def test_a_card_is_asked_through_the_host(monkeypatch):
    monkeypatch.setattr(room, "_on_device", [lambda device: 6 * 10**9])
    card = torch.device("cuda", 0)
    room.need_room(5 * 10**9, "A picture", "use a smaller one", card)
    with pytest.raises(
        ValueError, match=r"^A picture needs 13\.0 GB of memory on cuda:0, and 5\.7 GB are free: "
    ):
        room.need_room(13 * 10**9, "A picture", "use a smaller one", card)


def test_an_allocators_failure_is_a_sentence_and_other_errors_stay():
    with pytest.raises(ValueError, match="not enough memory"), room.in_words():
        torch.empty(2**50)
    with pytest.raises(ValueError, match="not enough memory"), room.in_words():
        bytearray(2**60)
    with pytest.raises(RuntimeError, match="own"), room.in_words():
        raise RuntimeError("own")
    with pytest.raises(torch.OutOfMemoryError), room.in_words():  # the host's own ways to save memory need it
        raise torch.OutOfMemoryError("CUDA out of memory")
