"""Every node, every number widget, at its ends and beyond: a result or one sentence, in 4 GB of growth.

python run.py bench ends            (ISI_ENDS="ISI_Iterate ISI_Stitch" in the environment: only these nodes)
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
LONGEST = 120
"""Seconds of one case: none works that long on pictures of 96 x 136, unless a widget asks for it."""


def told(nodes: list[str], skip: int) -> Iterator[dict[str, Any]]:
    """What a child says of the cases from `skip` on; it is killed where one takes longer than LONGEST."""
    command = [sys.executable, "-m", "tests.host.ends", "--skip", str(skip), *nodes]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, encoding="utf-8"
    ) as child:
        lines: queue.Queue[str | None] = queue.Queue()

        def read() -> None:
            assert child.stdout
            for line in child.stdout:
                lines.put(line)
            lines.put(None)

        threading.Thread(target=read, daemon=True).start()
        try:
            while line := lines.get(timeout=LONGEST):
                yield json.loads(line)
        except queue.Empty:
            yield {"late": True}
        finally:
            child.kill()


def main() -> None:
    """Raises SystemExit where a case gave neither, took too long, or ended the process."""
    nodes = os.environ.get("ISI_ENDS", "").split()
    counts: Counter[str] = Counter()
    longest, skip, running = (0.0, ""), 0, ""
    while True:
        before, ending = skip, "died"
        for one in told(nodes, skip):
            if "done" in one:
                tried = f"{one['done']} cases, {dict(counts)}"
                print(f"nodes x ends: {tried}; longest {longest[0]} s ({longest[1]})")
                sys.exit(1 if set(counts) - {"results", "sentences", "skipped"} else 0)
            if "late" in one:
                ending = "too long"
            elif "number" in one:
                running, skip = one["case"], one["number"] + 1
            else:
                kind = kind_of(one["error"])
                counts[kind] += 1
                longest = max(longest, (one["seconds"], one["case"]))
                if kind == "other":
                    print(f"{one['case']}: {one['error'][:300]}", flush=True)
        counts[ending] += 1
        print(f"{running}: {ending}", flush=True)
        if skip == before:
            raise SystemExit("The child does not start.")


def kind_of(error: str | None) -> str:
    """What a case came to."""
    if error is None:
        return "results"
    if error == "skipped":
        return "skipped"
    return "sentences" if error.startswith("ValueError: ") and "\n" not in error else "other"
