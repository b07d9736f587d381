"""Trains the mini family: `python tools/mini/train.py all`, or one STAGE `[--steps N] [--device D]`.

`all` runs every stage in order, each on from the weights in assets/mini; `all --fresh` makes the family from
nothing. Each stage starts from what the earlier ones left in --work. Stages: vae, text, base, the other kinds
(upscale-x4 after vae-f4, unclip after clip-vision), stripes, control, upscaler-2x, and vae-decoder and
vae-f4-decoder, which sharpen a decoder and leave its latents as they are. Seeded; resumable at any moment (a
checkpoint each minute holds weights, EMA, optimiser and step; a stage that is done is passed over); the same
on CPU and GPU. `all` ends with `export`, which writes the EMA weights to assets/mini. COMFYUI_PATH names the
ComfyUI whose classes are used.
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
    parser.add_argument("--steps", type=int, default=20000, help="of a single stage")
    parser.add_argument("--fresh", action="store_true", help="from nothing, not from the shipped weights")
    parser.add_argument("--scenes", type=int, default=8000, help="pictures drawn to learn from")
    parser.add_argument("--batch", type=int, default=32, help="of the denoising stages")
    parser.add_argument("--simple", action="store_true", help="one plain shape a picture: for a short run")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--work", type=Path, default=ROOT / ".mini")
    args = vars(parser.parse_args())
    stage, threads = args.pop("stage"), args.pop("threads")
    boot(args["device"])
    import torch

    torch.set_num_threads(threads)
    args["work"].mkdir(exist_ok=True)
    from tools.mini import stages
    from tools.mini.loop import Settings

    stages.train(stage, Settings(**args))


if __name__ == "__main__":
    started = time.time()
    main()
    print(f"{time.time() - started:.0f} s")
