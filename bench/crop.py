"""Crop and stitch beside another pack's: processor time, memory at its peak, what changes outside.

ISI_PEER=FOLDER python run.py bench crop       (FOLDER: a checkout of lquesada/ComfyUI-Inpaint-CropAndStitch)
"""

from __future__ import annotations

import ctypes
import importlib
import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import torch
from torch import Tensor

from ..tests.forks import Child
from ..tests.host.harness import Host

SIDES, TARGET, BLEND = (1024, 2048, 4096), 512, 32
TIMES = 3
NAMES = ("ISI", "theirs")
Work = Callable[[Tensor, Tensor], Tensor]


def main() -> None:
    """Both are asked for a crop of 512 px round a disc of two fifths of the picture, blend 32 px."""
    peer = os.environ.get("ISI_PEER", "")
    if not peer:
        print("skipped: ISI_PEER names no folder")
        return
    Host(Path(tempfile.mkdtemp(prefix="isi-bench-")))
    sys.path.insert(0, peer)
    theirs = importlib.import_module("inpaint_cropandstitch")
    print(
        "| px | pack | CPU s | pixels changed outside | peak, pictures |\n|---|---|---|---|---|", flush=True
    )
    for side in SIDES:
        for name in NAMES:
            work = ours if name == "ISI" else partial(of_peer, theirs)
            print(f"| {side} | {name} ", end="", flush=True)
            # A process each, so that no allocator remembers what the one before used.
            for measure in (processor_time, memory):
                child = Child(partial(measure, work, side))
                assert child.wait(3600) == 0
            print("|", flush=True)


def case(side: int) -> tuple[Tensor, Tensor]:
    """A picture of noise and its mask, a disc."""
    picture = torch.rand(1, side, side, 3, generator=torch.Generator().manual_seed(side))
    at = torch.linspace(-1, 1, side)
    return picture, (at[:, None] ** 2 + at[None] ** 2 < 0.16).float()[None]


def processor_time(work: Work, side: int) -> None:
    """Prints the median of `TIMES` rounds, and how many pixels beyond the blend came back changed."""
    picture, mask = case(side)
    made, seconds = work(picture, mask), []
    for _ in range(TIMES):
        before = time.process_time()
        work(picture, mask)
        seconds.append(time.process_time() - before)
    far = torch.nn.functional.max_pool2d(mask[None], 2 * BLEND + 1, 1, BLEND)[0] == 0
    outside = int((made != picture).any(-1)[far].sum())
    print(f"| {statistics.median(seconds):.3f} | {outside} ", end="", flush=True)


def memory(work: Work, side: int) -> None:
    """Prints the most memory beside the picture and its mask."""
    keep_nothing()
    work(*case(TARGET))
    picture, mask = case(side)
    print(f"| {peak(lambda: work(picture, mask)):.2f} ", end="", flush=True)


def keep_nothing() -> None:
    """From now on glibc gives freed tensors back at once: what the process has is what it uses."""
    mmap_threshold = -3  # M_MMAP_THRESHOLD of malloc.h
    assert ctypes.CDLL(None).mallopt(mmap_threshold, 1 << 16), "mallopt is glibc's"


def peak(work: Callable[[], Tensor]) -> float:
    """The most memory while it works, beyond what there was, in bytes of its result."""
    process, most, done = psutil.Process(), [0], threading.Event()
    before = process.memory_info().rss

    def watch() -> None:
        while not done.wait(0.001):
            most[0] = max(most[0], process.memory_info().rss)

    watching = threading.Thread(target=watch)
    watching.start()
    made = work()
    done.set()
    watching.join()
    return max(0, most[0] - before) / made.nbytes


def painted(crop: Tensor) -> Tensor:
    """What a sampler might make of a crop; the same for all."""
    return 1 - crop


def ours(picture: Tensor, mask: Tensor) -> Tensor:
    """Through the two nodes, colours unmatched, as theirs has none."""
    from isi.nodes.inpaint import CropForInpaint, Stitch

    size = {"size": "target", "width": TARGET, "height": TARGET}
    stitch, crop, _ = CropForInpaint.execute(picture, mask, size, 64, BLEND).args
    return Stitch.execute(stitch, painted(crop), 0.0).args[0]


def of_peer(theirs: Any, picture: Tensor, mask: Tensor) -> Tensor:
    """Through its two nodes at their defaults, but for the CPU: on one, its default takes minutes."""
    crop, given = theirs.InpaintCropImproved(), {}
    for name, (kind, *more) in crop.INPUT_TYPES()["required"].items():
        if name != "image":
            given[name] = more[0]["default"] if more else kind[0]
    given |= {"output_target_width": TARGET, "output_target_height": TARGET, "mask_blend_pixels": BLEND}
    given["device_mode"] = "cpu (compatible)"
    stitcher, cropped, _ = crop.inpaint_crop(image=picture, mask=mask, **given)
    return theirs.InpaintStitchImproved().inpaint_stitch(stitcher, painted(cropped))[0]
