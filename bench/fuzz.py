"""Broken files, strange plans and settings: how many, what was raised, the longest.

python run.py bench fuzz            (ISI_FUZZ=10000 in the environment: fewer inputs)
"""

from __future__ import annotations

import os
import random
import time

import psutil

from ..tests.fuzzing import TARGETS

ALL = 100_000


def readers(count: int) -> None:
    """`count` inputs over all readers: errors that are no sentence, longest CPU time, growth of memory."""
    print("reader           inputs  raw errors  longest CPU s  over 1 s  grown MB")
    process = psutil.Process()
    for name, target in TARGETS.items():
        raw: list[str] = []
        longest, over, before = 0.0, 0, process.memory_info().rss
        for number in range(count // len(TARGETS)):
            start = time.process_time()
            try:
                target(random.Random(f"{name} {number}"))
            except Exception as error:  # whatever comes is what is looked for
                raw.append(f"{name} {number}: {error!r}")
            took = time.process_time() - start
            longest, over = max(longest, took), over + (took > 1)
        grown = (process.memory_info().rss - before) / 1e6
        print(f"{name:14}{number + 1:>9,}{len(raw):>12}{longest:>15.2f}{over:>10}{grown:>10.0f}", flush=True)
        for line in raw[:5]:
            print("   ", line[:300])


def main() -> None:
    """All readers."""
    readers(int(os.environ.get("ISI_FUZZ", ALL)))
