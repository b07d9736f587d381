"""kill -9 at 200 random moments of a 20-step run on a patched model, and in 50 of its writes: how many
steps were made again.

python run.py bench kills            (ISI_KILLS=20 in the environment: fewer, and a quarter in writes)
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import torch

from ..tests.host.harness import Host
from ..tests.host.loop.killed import kill_and_go_on
from ..tests.host.tiny import tiny_clip, tiny_model, tiny_vae


def main() -> None:
    """Raises AssertionError where a bit differs or a part of a file is left."""
    host = Host(Path(tempfile.mkdtemp(prefix="isi-bench-")))
    picture = torch.rand(1, 64, 64, 3, generator=torch.Generator().manual_seed(0))
    models, all_kills = (tiny_model(), tiny_clip(), tiny_vae()), int(os.environ.get("ISI_KILLS", 200))
    for aimed, count in ((False, all_kills), (True, all_kills // 4)):
        folder = Path(tempfile.mkdtemp(prefix="isi-kills-"))
        again = kill_and_go_on(host, *models, picture, count, folder, aimed, steps=20)
        for redone, times in sorted(again.items()):
            where = "writes" if aimed else "moments"
            print(f"iterations made again: {redone} in {times} of {count} kills at {where}", flush=True)
    print("other bits: 0, parts of files left: 0")
