"""Trains the mini family: `python tools/mini/train.py STAGE [--minutes M] [--steps N] [--device D]`.

Stages: vae, vae-f4, base, then the other kinds, each from what the earlier ones left in --work. Seeded;
resumable at any moment (a checkpoint each minute holds weights, EMA, optimiser and step); the same on CPU and
GPU. `export.py` writes the EMA weights to assets/mini. COMFYUI_PATH names the ComfyUI whose classes are used.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HOST = os.environ.get("COMFYUI_PATH") or str(ROOT / ".host" / "comfyui-0.30.0")


def boot(device: str) -> None:
    """Puts the host and this repository on the path, the host told which device to use."""
    sys.path[:0] = [HOST, str(ROOT)]
    sys.argv = ["main.py"] + (["--cpu"] if device == "cpu" else [])
    import comfy.options

    comfy.options.enable_args_parsing()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("stage")
    parser.add_argument("--minutes", type=float, default=20, help="how long the learning rate takes to fall")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--work", type=Path, default=ROOT / ".mini")
    args = parser.parse_args()
    boot(args.device)
    import torch

    torch.set_num_threads(args.threads)
    args.work.mkdir(exist_ok=True)
    from tools.mini import stages

    stages.STAGES[args.stage](args.work, args.minutes, args.device)


if __name__ == "__main__":
    started = time.time()
    main()
    print(f"{time.time() - started:.0f} s")
