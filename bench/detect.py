"""Time to tell what a file is, from its path to the answer, on files of full header size and sparse tensors.

python run.py bench detect
"""

from __future__ import annotations

import json
import lzma
import struct
import tempfile
import time
from pathlib import Path
from statistics import median

from ..core.models.detect import detect
from ..core.models.safetensors_header import read_header

VECTORS = Path(__file__).parents[1] / "tests" / "vectors" / "headers.json.xz"
ROUNDS = 15
TARGET_MS = 5.0


def write(path: Path, shapes: dict[str, list[int]]) -> int:
    """A safetensors file of these shapes, its tensors a hole on disk; returns its size."""
    entries, at = {}, 0
    for name, shape in shapes.items():
        size = 2
        for side in shape:
            size *= side
        entries[name] = {"dtype": "F16", "shape": shape, "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(entries).encode()
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + at)
    return path.stat().st_size


def inspect(path: Path) -> None:
    with path.open("rb", buffering=0) as file:
        detect(read_header(file, path.stat().st_size), path.name)


def milliseconds(path: Path, clock) -> float:
    """The median of some rounds, by this clock."""
    times = []
    for _ in range(ROUNDS):
        start = clock()
        inspect(path)
        times.append((clock() - start) * 1e3)
    return median(times)


def main() -> None:
    """Prints the slowest headers, and how many take longer than the target."""
    vectors = json.loads(lzma.decompress(VECTORS.read_bytes()))
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name, shapes in vectors.items():
            path = Path(folder) / "model.safetensors"
            size = write(path, shapes)
            cpu, wall = milliseconds(path, time.process_time), milliseconds(path, time.perf_counter)
            rows.append((cpu, wall, name, len(shapes), size))
            path.unlink()
    rows.sort(reverse=True)
    print(f"{'CPU ms':>7} {'wall ms':>8} {'tensors':>8} {'GB':>6}  header (medians of {ROUNDS})")
    for cpu, wall, name, tensors, size in rows[:10]:
        print(f"{cpu:7.2f} {wall:8.2f} {tensors:8} {size / 1e9:6.1f}  {name}")
    over = sum(cpu > TARGET_MS for cpu, *_ in rows)
    middle = median(cpu for cpu, *_ in rows)
    print(f"{len(rows)} headers, median {middle:.2f} ms of CPU, {over} over {TARGET_MS:g} ms")


if __name__ == "__main__":
    main()
