"""Tiled upscaling: work done twice, largest model input, memory, compositing time, seams, time on a CPU.

Numbers of other packs are computed from their published tile geometry, or measured on a few lines that do
what they do (a sequential upscaler that pastes each tile onto the whole canvas). Times are ratios in one run.
"""

from __future__ import annotations

import math
import statistics
import tempfile
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from ..tests.host.harness import Host
from ..tests.host.oracles import oracle, prompt, sample
from ..tests.host.tiny import tiny_model


def main() -> None:
    torch.set_grad_enabled(False)
    redundancy()
    compositing()
    Host(Path(tempfile.mkdtemp(prefix="isi-bench-")))
    inputs_and_memory()
    seams()
    untiled_and_tiled()


def tiles(length: int, tile: int, stride: int) -> int:
    return max(1, -(-(length - tile) // stride) + 1)


PEERS: dict[str, Callable[[int], float]] = {
    "padded tiles 512 + 32 (Ultimate SD Upscale)": lambda n: tiles(n, 512, 512) ** 2 * 576**2 / n**2,
    "the same + half-tile seam pass": lambda n: (
        (tiles(n, 512, 512) ** 2 + 2 * tiles(n, 512, 512) * (tiles(n, 512, 512) - 1)) * 576**2 / n**2
    ),
    "SD upscale 512 / 64": lambda n: tiles(n, 512, 448) ** 2 * 512**2 / n**2,
    "TiledDiffusion 768 / 64": lambda n: tiles(n, 768, 704) ** 2 * 768**2 / n**2,
    "DemoFusion, stride half, + dilated": lambda n: tiles(n, 1024, 512) ** 2 * 1024**2 / n**2 + 1,
}


def redundancy() -> None:
    """Pixels computed over pixels of the picture."""
    from isi.core.tiles.tiles import fit_layout
    from isi.core.tiles.tiling import AUTO_TILE, Tiling

    print("work, each step: pixels computed / pixels of the picture")
    print("| | 2048 | 4096 | 8192 |\n|---|---|---|---|")
    for overlap in (64, 128):
        row = [Tiling(overlap=overlap).layout(n // 8, n // 8, 8).redundancy for n in (2048, 4096, 8192)]
        print(f"| ISI, automatic tiles, overlap {overlap} | " + " | ".join(f"{r:.2f}" for r in row) + " |")
    for name, work in PEERS.items():
        print(f"| {name} | " + " | ".join(f"{work(n):.2f}" for n in (2048, 4096, 8192)) + " |")
    for overlap in (64, 128):
        worst = 0.0
        for megapixels in (2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64):
            for step in range(-8, 9):
                width = round(math.sqrt(megapixels * 1e6 * 2 ** (step / 8)) / 16) * 16
                height = round(megapixels * 1e6 / width / 16) * 16
                layout = fit_layout(height, width, AUTO_TILE, overlap, multiple=16)
                worst = max(worst, layout.redundancy)
        print(f"worst over 2-64 MP, aspect 1:2-2:1, overlap {overlap}: {worst:.3f}")


def compositing() -> None:
    """Blending all tiles of a picture, 64 MP over 4 MP; and pasting each onto the whole canvas."""
    from isi.core.tiles.blend import TileWeights
    from isi.core.tiles.tiling import Tiling

    def ours(side: int) -> float:
        layout = Tiling().layout(side // 8, side // 8, 8).scaled(8)
        part, canvas = torch.rand(3, *layout.tile_size), torch.zeros(3, side, side)
        began = time.process_time()
        weights = TileWeights(layout, "cosine", 16)
        for tile in layout:
            layout.add(canvas, tile, part * weights[tile])
        return time.process_time() - began

    def pasting(side: int) -> float:
        part, canvas = torch.rand(3, 512, 512), torch.zeros(3, side, side)
        began = time.process_time()
        for y in range(0, side, 512):
            for x in range(0, side, 512):
                mask, layer = torch.zeros(1, side, side), torch.zeros(3, side, side)
                mask[:, y : y + 512, x : x + 512] = 1
                layer[:, y : y + 512, x : x + 512] = part
                canvas = torch.lerp(canvas, layer, mask)
        return time.process_time() - began

    ours(2048)
    ratio = min(ours(8192) for _ in range(3)) / min(ours(2048) for _ in range(3))
    print(f"compositing time 64 MP / 4 MP: {ratio:.1f} (ideal 16)")
    ratio = pasting(4096) / pasting(2048)
    print(f"pasting each tile onto the whole canvas, 16 MP / 4 MP: {ratio:.1f} (ideal 4)")


class Alive(TorchDispatchMode):
    """Counts the bytes of all tensors that are alive, and the most there were."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self.seen: set[int] = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **kwargs or {})
        for tensor in out if isinstance(out, (tuple, list)) else [out]:
            if isinstance(tensor, torch.Tensor):
                self._count(tensor.untyped_storage())
        return out

    def _count(self, storage: torch.UntypedStorage) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key in self.seen:
            return
        self.seen.add(key)
        self.now += size
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._gone, key, size)

    def _gone(self, key: int, size: int) -> None:
        self.seen.discard(key)
        self.now -= size


def tiled(model: Any, **settings) -> Any:
    from isi.core.tiles.tiling import Tiling
    from isi.host.tiles.tiled import TiledHandler, patch_tiled

    return patch_tiled(model, TiledHandler(Tiling(**settings), progress=False))


def inputs_and_memory() -> None:
    """What the model and the host's memory count see, and tensors alive beside the canvas."""
    for side in (2048, 4096, 8192):
        model = oracle(lambda call: call["x"] * 0.5)
        start = torch.zeros(1, 4, side // 8, side // 8)
        # One tile size for all, so that only the canvas differs.
        with Alive() as tiled_run:
            sample(tiled(model, tile=1024), start, steps=2, cfg=2.0)
        largest = max(model.model.calls, key=math.prod)
        asked = max(model.model.budget, key=math.prod)
        with Alive() as plain_run:
            sample(model, start, steps=2, cfg=2.0)
        canvas = start.numel() * 4
        print(
            f"{side}^2: largest model input {list(largest)}, memory asked for {list(asked)}, alive at once "
            f"{tiled_run.peak / canvas:.1f} canvases (untiled {plain_run.peak / canvas:.1f})"
        )


def seams() -> None:
    """A bias that differs from tile to tile: the steepest gradient, against pasting with a blurred mask."""
    at = torch.arange(-32, 33.0)
    # A mask blur of 8 px is one latent cell.
    blur = torch.exp(-(at**2) / 2)
    edge = torch.nn.functional.pad(
        (torch.arange(240.0) >= 120).float()[None, None], (32, 32), mode="replicate"
    )
    replica = torch.nn.functional.conv1d(edge, (blur / blur.sum())[None, None]).diff().square().max()
    for overlap in (64, 128):
        columns = torch.arange(2 * 80.0 - overlap / 8).expand(1, 4, 40, -1)
        model, known = oracle(_first_tile_zero), prompt(canvas=columns)
        for blend in ("cosine", "linear", "gaussian"):
            ours = tiled(model, tile=640, overlap=overlap, blend=blend)
            out = sample(ours, torch.zeros_like(columns), steps=4, positive=known, negative=known)
            energy = model.model.process_latent_in(out)[0, 0, 20].diff().square().max()
            share = energy / replica
            print(f"gradient energy at a boundary, overlap {overlap}, {blend}: {share:.3f} of pasting")


def _first_tile_zero(call: dict) -> torch.Tensor:
    """A denoiser that finds 0 in the first tile and 1 in all others."""
    here = call["c_concat"].amin((1, 2, 3), keepdim=True)
    return torch.ones_like(call["x"]) * (here > 0)


def untiled_and_tiled() -> None:
    """The tiny UNet on this CPU: a step in tiles over a step of the whole."""
    model, text = tiny_model(), [[torch.zeros(1, 77, 64), {}]]
    for side, tile in ((384, 256), (512, 256)):
        start = torch.zeros(1, 4, side // 8, side // 8)

        def seconds(which: Any, start: torch.Tensor = start) -> float:
            began = time.perf_counter()
            sample(which, start, steps=2, positive=text, negative=text)
            return time.perf_counter() - began

        ours = tiled(model, tile=tile, overlap=64)
        seconds(model)
        ratio = statistics.median(seconds(ours) / seconds(model) for _ in range(2))
        layout = ours.model_options["context_handler"].layout(model.model, start.shape)
        print(
            f"tiny UNet, {side} px in tiles of {tile}: {ratio:.2f} x the time of the whole "
            f"(work {layout.redundancy:.2f} x)"
        )
