"""What the key of a run costs with a 12 GB model loaded: the first time in a process, and from then on."""

from __future__ import annotations

import json
import statistics
import struct
import tempfile
import time
from pathlib import Path

GIB = 1 << 30
MODELS = {"as Flux has": 780, "as an SDXL checkpoint has": 2515}
"""Tensors of a 12 GB model."""


def sparse_checkpoint(path: Path, tensors: int, size: int = 12 * GIB) -> None:
    """A .safetensors file of `size` bytes that takes no room on a disk that knows holes."""
    each = size // tensors // 2 * 2
    header = {
        f"model.diffusion_model.blocks.{i}.weight": {
            "dtype": "F16",
            "shape": [each // 2],
            "data_offsets": [i * each, (i + 1) * each],
        }
        for i in range(tensors)
    }
    text = json.dumps(header).encode()
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + tensors * each)


def main() -> None:
    from tests.host.harness import Host

    base = Path(tempfile.mkdtemp(prefix="isi-bench-"))
    Host(base)
    for name, tensors in MODELS.items():
        measure(base, name, tensors)


def measure(base: Path, name: str, tensors: int) -> None:
    """Prints the time of the keys of a model, CLIP and VAE from one checkpoint, behind two patches."""
    import folder_paths
    import torch
    from comfy.model_patcher import ModelPatcher
    from comfy_execution.graph import DynamicPrompt
    from comfy_execution.utils import ExecutionContext
    from isi.host.keys import code
    from isi.host.keys.environment import environment
    from isi.host.keys.files import Files
    from isi.host.keys.identity import identity_of

    folder = Path(folder_paths.get_folder_paths("checkpoints")[0])
    folder.mkdir(parents=True, exist_ok=True)
    sparse_checkpoint(folder / f"{tensors}.safetensors", tensors)
    # As many values as the file has; memory that nobody writes to is not there.
    model = torch.nn.ModuleList(torch.nn.Module() for _ in range(tensors))
    for part in model:
        weight = torch.empty(12 * GIB // tensors // 2, dtype=torch.float16)
        part.weight = torch.nn.Parameter(weight, requires_grad=False)
    cpu = torch.device("cpu")
    patcher = ModelPatcher(model, load_device=cpu, offload_device=cpu)
    graph = {
        "1": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": f"{tensors}.safetensors"}},
        "2": {"class_type": "ModelSamplingFlux", "inputs": {"model": ["1", 0], "max_shift": 1.15}},
        "3": {"class_type": "FreeU_V2", "inputs": {"model": ["2", 0], "b1": 1.3}},
    }
    files = Files(base / f"{tensors}.json")

    def key() -> tuple[float, float]:
        """Milliseconds on the clock and of the processor."""
        began, worked = time.perf_counter(), time.process_time()
        environment(cpu)
        files.refresh()
        for link in (["3", 0], ["1", 1], ["1", 2]):
            context = ExecutionContext("prompt", "4", 0)
            identity_of(DynamicPrompt(graph), context, link, patcher if link[1] == 0 else None, files)
        files.save()
        return 1000 * (time.perf_counter() - began), 1000 * (time.process_time() - worked)

    code.host_code.cache_clear()
    cold = key()
    warm = [key() for _ in range(25)]
    clock, worked = (statistics.median(times) for times in zip(*warm, strict=True))
    print(f"12 GB in {tensors} tensors, {name}; clock (processor) time, ms:")
    print(f"  first key {cold[0]:.0f} ({cold[1]:.0f}), the next ones {clock:.1f} ({worked:.1f})")


if __name__ == "__main__":
    main()
