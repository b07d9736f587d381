"""Broken files, strange plans and widgets at their ends: how many, what was raised, the longest.

python run.py bench fuzz            (ISI_FUZZ=10000 in the environment: fewer inputs, and no nodes)
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import psutil

from ..tests.fuzzing import TARGETS

ROOT = Path(__file__).resolve().parents[1]
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


def nodes() -> None:
    """Every node, every number widget, at its ends and beyond, 4 GB of growth allowed."""
    counts: Counter[str] = Counter()
    bad: list[str] = []
    done, skip, deaths, longest = 0, 0, 0, (0.0, "")
    while True:
        command = [sys.executable, "-m", "tests.host.ends", "--skip", str(skip)]
        ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, encoding="utf-8")
        told = [json.loads(line) for line in ended.stdout.splitlines()]
        for one in (one for one in told if "error" in one):
            error = one["error"]
            kind = "result" if error is None else error.partition(":")[0]
            sentence = error is None or (error.startswith("ValueError: ") and "\n" not in error)
            counts["sentence" if sentence and error else kind] += 1
            if not sentence and kind != "skipped":
                bad.append(f"{one['case']}: {error[:200]}")
            longest = max(longest, (one["seconds"], one["case"]))
            done += 1
        if (told and "done" in told[-1]) or not told:
            break
        deaths, skip = deaths + 1, told[-1]["number"] + 1
        bad.append(f"{told[-1]['case']}: the process died")
    print(f"nodes x ends: {done} cases, {dict(counts)}, deaths: {deaths}")
    print(f"longest: {longest[0]} s ({longest[1]})")
    for line in bad:
        print("   ", line)


def main() -> None:
    """All readers, then all nodes."""
    count = int(os.environ.get("ISI_FUZZ", ALL))
    readers(count)
    if count >= ALL:
        nodes()
