"""Crop and stitch beside another pack's: processor time, memory at its peak, what changes outside.

ISI_PEER=FOLDER python run.py bench crop       (FOLDER: a checkout of lquesada/ComfyUI-Inpaint-CropAndStitch)
"""

from __future__ import annotations

import importlib
import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
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
        "| px | pack | CPU s | peak, pictures | pixels changed outside |\n|---|---|---|---|---|", flush=True
    )
    for side in SIDES:
        for name in NAMES:
            # A process each, so that no allocator remembers what the one before used.
            child = Child(lambda side=side, name=name: measure(side, name, theirs))
            assert child.wait() == 0


def measure(side: int, name: str, theirs: Any) -> None:
    """Prints a row: median processor time, and the most memory beside the picture, of `TIMES` rounds."""
    generator = torch.Generator().manual_seed(side)
    picture = torch.rand(1, side, side, 3, generator=generator)
    at = torch.linspace(-1, 1, side)
    mask = (at[:, None] ** 2 + at[None] ** 2 < 0.16).float()[None]
    work = ours if name == "ISI" else lambda p, m: of_peer(theirs, p, m)
    work(picture, mask)
    seconds, peaks = [], []
    for _ in range(TIMES):
        before = time.process_time()
        work(picture, mask)
        seconds.append(time.process_time() - before)
        peaks.append(peak(lambda: work(picture, mask)))
    made = work(picture, mask)
    far = torch.nn.functional.max_pool2d(mask[None], 2 * BLEND + 1, 1, BLEND)[0] == 0
    outside = int((made != picture).any(-1)[far].sum())
    row = (f"{side}", name, f"{statistics.median(seconds):.3f}", f"{statistics.median(peaks):.2f}")
    print(f"| {' | '.join(row)} | {outside} |", flush=True)


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
