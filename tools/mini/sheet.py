"""Draws the sample sheet of the model card: `python tools/mini/sheet.py [--out assets/mini/samples.jpg]`.

32 held-out prompts, one each, none picked: 20 euler steps, cfg 5, seed 0 to 31; the prompts are printed.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from random import Random

from train import ROOT, boot

COLUMNS, ROWS, SIZE = 8, 4, 128


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "assets" / "mini" / "samples.jpg")
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    boot(args.device)
    import torch
    from PIL import Image

    import nodes
    from host import mini
    from tools.mini import captions, world

    model, clip, vae = mini.load_checkpoint("base")
    encode, rng, pictures = nodes.CLIPTextEncode().encode, Random(2000), []
    (negative,) = encode(clip, "")
    for seed in range(COLUMNS * ROWS):
        scene = world.sample_scene(rng, 1, textured=0.0, gradient=0.0)
        shape = scene.shapes[0]
        where = captions.WHERE[shape.place][0]
        words = f"{captions.article(captions.noun(shape))} {where} on {captions.ground(scene)}"
        print(f"{seed:2} {words}")
        latent = {"samples": torch.zeros(1, 4, SIZE // 8, SIZE // 8)}
        (positive,) = encode(clip, words)
        (out,) = nodes.common_ksampler(
            model, seed, 20, 5.0, "euler", "normal", positive, negative, latent, disable_noise=False
        )
        pictures.append(nodes.VAEDecode().decode(vae, out)[0][0])
    grid = torch.stack(pictures).reshape(ROWS, COLUMNS, SIZE, SIZE, 3).permute(0, 2, 1, 3, 4)
    grid = grid.reshape(ROWS * SIZE, COLUMNS * SIZE, 3)
    Image.fromarray((grid * 255).round().byte().numpy()).save(args.out, quality=92)


if __name__ == "__main__":
    main()
