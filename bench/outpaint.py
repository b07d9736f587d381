"""Canvas, crop, stitch and mask operations on a picture of 4096 x 4096: seconds, and copies of the picture.

Each operation runs in a process of its own, so that its peak memory is its own. Where the host has a node
for the same work it runs in the same process on the same input; ratios, since machines are noisy.
Targets: 1.5 s each on 2 cores, 3 copies of the picture.
"""

from __future__ import annotations

import multiprocessing
import resource
import sys
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

import torch

SIDE = 4096
COPY = SIDE * SIDE * 3 * 4
Operation = Callable[[], object]


def picture(side: int = SIDE) -> torch.Tensor:
    return torch.rand(1, side, side, 3, generator=torch.Generator().manual_seed(0))


def mask() -> torch.Tensor:
    """Nine blobs with a hole each, some soft."""
    out = torch.zeros(1, SIDE, SIDE)
    for index in range(9):
        top, left = 300 + index // 3 * 1300, 300 + index % 3 * 1300
        out[0, top : top + 700, left : left + 600] = 1 if index % 2 else 0.7
        out[0, top + 200 : top + 400, left + 200 : left + 300] = 0
    return out


def canvas() -> tuple[Operation, Operation | None]:
    from isi.core.pictures.canvas import Canvas

    image, side = picture(SIDE * 3 // 4), SIDE // 8
    lens = Canvas(side, side, side, side, fill="edge", overlap=64)
    return lambda: lens.get(image, {}), lambda: host_pad(image, side)


def host_pad(image: torch.Tensor, side: int) -> object:
    from nodes import ImagePadForOutpaint

    return ImagePadForOutpaint().expand_image(image, side, side, side, side, 64)


def canvas_put() -> tuple[Operation, Operation | None]:
    from isi.core.pictures.canvas import Canvas

    image, side = picture(SIDE * 3 // 4), SIDE // 8
    lens = Canvas(side, side, side, side, blend=32)
    pixels = picture()
    return lambda: lens.put(image, pixels, {}), None


def crop(view: int | None) -> tuple[Operation, Operation | None]:
    from isi.core.pictures.crop import ViewSize
    from isi.core.pictures.stitch import Around, crop_for_inpaint

    image, where = picture(), mask()
    size = ViewSize((view, view)) if view else ViewSize()
    return lambda: crop_for_inpaint(image, where, where, None, Around(64), size).view(), None


def stitch(match: float) -> tuple[Operation, Operation | None]:
    from isi.core.pictures.crop import ViewSize
    from isi.core.pictures.stitch import Around, crop_for_inpaint

    image, where = picture(), mask()
    made = crop_for_inpaint(image, where, where, None, Around(64), ViewSize((1024, 1024)))
    pixels = torch.rand(1, 1024, 1024, 3)
    return lambda: made.stitched(pixels, match), None


def grow() -> tuple[Operation, Operation | None]:
    from isi.core.pictures.masks import grow

    where = mask()
    return lambda: grow(where, 32), lambda: host_grow(where, 32)


def host_grow(where: torch.Tensor, pixels: int) -> object:
    from comfy_extras.nodes_mask import GrowMask

    return GrowMask.execute(where, pixels, False)


def feather() -> tuple[Operation, Operation | None]:
    from isi.core.pictures.masks import feather
    from torchvision.transforms.functional import gaussian_blur

    where = mask()
    return lambda: feather(where, 64, "gaussian"), lambda: gaussian_blur(where, [129, 129], [21.5, 21.5])


def fill_holes() -> tuple[Operation, Operation | None]:
    from isi.core.pictures.masks import fill_holes
    from scipy.ndimage import binary_fill_holes

    where = mask()
    return lambda: fill_holes(where), lambda: binary_fill_holes(where[0].numpy() > 0.5)


def split() -> tuple[Operation, Operation | None]:
    from isi.core.pictures.masks import split_objects

    where = mask()
    return lambda: split_objects(where, 9), None


def to_latent() -> tuple[Operation, Operation | None]:
    from isi.core.pictures.masks import latent_blocks

    where = mask()
    return lambda: latent_blocks(where), None


OPERATIONS: dict[str, Callable[[], tuple[Operation, Operation | None]]] = {
    "canvas, edge fill (host: Pad Image for Outpainting)": canvas,
    "canvas, put back": canvas_put,
    "crop, pixel for pixel": lambda: crop(None),
    "crop to 1024x1024": lambda: crop(1024),
    "stitch": lambda: stitch(0.0),
    "stitch with colour match": lambda: stitch(1.0),
    "grow by 32 (host: GrowMask)": grow,
    "feather by 64 (torchvision: gaussian_blur)": feather,
    "fill holes (scipy: binary_fill_holes)": fill_holes,
    "split into 9 objects": split,
    "blocks of the latent": to_latent,
}


def resident() -> int:
    """Bytes of memory this process holds now."""
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    return pages * resource.getpagesize()


def measure(name: str, answer: Connection) -> None:
    """Runs one operation thrice, then its peer once."""
    torch.set_num_threads(2)
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / ".host" / "comfyui-0.30.0"))
    sys.argv = ["main.py", "--cpu"]
    import comfy.options

    comfy.options.enable_args_parsing()
    ours, peer = OPERATIONS[name]()
    before = resident()
    seconds = []
    for _ in range(3):
        began = time.perf_counter()
        result = ours()
        seconds.append(time.perf_counter() - began)
        del result
    copies = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before) / COPY
    theirs = None
    if peer:
        began = time.perf_counter()
        peer()
        theirs = time.perf_counter() - began
    answer.send((min(seconds), copies, theirs))


def main() -> None:
    context = multiprocessing.get_context("fork")
    print(f"{SIDE}x{SIDE}, 2 threads; copies are peak memory beyond the inputs, results included")
    for name in OPERATIONS:
        ours, answer = context.Pipe(duplex=False)
        process = context.Process(target=measure, args=(name, answer))
        process.start()
        answer.close()
        seconds, copies, theirs = ours.recv()
        process.join()
        compared = f", theirs {theirs:6.2f} s, ratio {theirs / seconds:5.1f}" if theirs else ""
        print(f"{name:54} {seconds:5.2f} s, {copies:4.2f} copies{compared}", flush=True)
