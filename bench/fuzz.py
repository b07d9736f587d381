"""Broken files, strange plans, settings, manifests and requests: how many, what was raised, the longest.

python run.py bench fuzz            (ISI_FUZZ=10000 in the environment: fewer inputs)
"""

from __future__ import annotations

import logging
import os
import random
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from ..tests.host.harness import Host
from ..tests.inside import kept_inside

ALL = 100_000


def readers(targets: dict[str, Callable[[random.Random], None]], count: int) -> None:
    """`count` inputs over all readers: errors that are no sentence, files touched outside of the folder for
    temporary ones (where ComfyUI's are as well), longest CPU time, growth of memory."""
    print("reader           inputs  raw errors  files outside  longest CPU s  over 1 s  grown MB")
    process, folder = psutil.Process(), Path(tempfile.gettempdir())
    for name, target in targets.items():
        target(random.Random(0))  # what is read at the first call is not what is looked for
        raw: list[str] = []
        longest, over, before = 0.0, 0, process.memory_info().rss
        with kept_inside(folder) as outside:
            for number in range(count // len(targets)):
                start = time.process_time()
                try:
                    target(random.Random(f"{name} {number}"))
                except Exception as error:  # whatever comes is what is looked for
                    raw.append(f"{name} {number}: {error!r}")
                took = time.process_time() - start
                longest, over = max(longest, took), over + (took > 1)
        grown = (process.memory_info().rss - before) / 1e6
        counts = f"{number + 1:>9,}{len(raw):>12}{len(outside):>15}"
        print(f"{name:14}{counts}{longest:>15.2f}{over:>10}{grown:>10.0f}", flush=True)
        for line in raw[:5] + outside[:5]:
            print("   ", line[:300])


def main() -> None:
    """All readers."""
    host = Host(Path(tempfile.mkdtemp(prefix="isi-bench-")))
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)
    # Once ComfyUI has loaded the pack: its modules, not a second copy.
    from ..tests.fuzzing import TARGETS
    from ..tests.host.fuzzing import Desk

    desk = Desk(host)
    readers(TARGETS | desk.targets(), int(os.environ.get("ISI_FUZZ", ALL)))
    desk.close()
