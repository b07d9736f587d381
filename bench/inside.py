"""What acts inside a step, on the mini model: `python run.py bench inside`, figures for RESULTS.md.

`ISI_INSIDE=walk,tone,recovered,keep_low,high_res` chooses; `ISI_COUNT` is how many cases `recovered` and
`high_res` try.
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path
from random import Random

import torch
from kornia.color import rgb_to_lab
from torch import Tensor

from ..tests.host.harness import Host
from ..tests.host.studio import SAMPLER, Studio, caption, pixels, psnr, right, scene
from ..tools.mini import judge, world

PARTS = os.environ.get("ISI_INSIDE", "walk,tone,recovered,keep_low,high_res").split(",")
COUNT = int(os.environ.get("ISI_COUNT", "50"))
TOGETHER = 10
NOISE = {"seed": 0, "variation_seed": 0, "variation_strength": 0.0, "walk": 1.0}
NOISE |= {"resize_from_width": 0, "resize_from_height": 0}


def walk(studio: Studio) -> None:
    """RMS between two iterations of a loop of one prompt."""
    for name, amount in (("same", 0.0), ("walk .2", 0.2), ("fresh", 1.0)):
        (noise,) = studio.host.call("ISI_Noise", **NOISE | {"walk": amount})
        words = caption(scene())
        made = studio.loop(f"{words} *6", 11, steps=8, denoise=0.6, noise=noise, image=pixels(scene()))
        print(f"| {name} | {float((made[1:] - made[:-1]).pow(2).mean().sqrt()):.4f} |", flush=True)


def tone(studio: Studio) -> None:
    """Mean shift of each channel of the decoded picture, a unit of what was asked for."""
    settings = dict.fromkeys(("brightness", "contrast", "saturation", "red", "green", "blue"), 0.0)
    settings |= {"start": 0.0, "end": 1.0, "vae": studio.vae}
    model = studio.model
    cases = [("euler", scene(*of)) for of in TONE_SCENES] + [("dpmpp_2m", scene())]
    for sampler, of in cases:
        SAMPLER["sampler_name"], studio.model = sampler, model
        plain = studio.draw(caption(of), 5, steps=8)
        for name in ("red", "green", "blue"):
            row = []
            for amount in (0.05, 0.1, -0.1):
                (studio.model,) = studio.host.call("ISI_Tone", model=model, **settings | {name: amount})
                made = studio.draw(caption(of), 5, steps=8)
                shift = (made - plain).mean((0, 1)) / amount
                row.append(" ".join(f"{float(one):+.3f}" for one in shift))
            print(f"| {sampler}, {caption(of)}, {name} | {' | '.join(row)} |", flush=True)
    studio.model = model
    SAMPLER["sampler_name"] = "euler"


def recovered(studio: Studio) -> None:
    """A changed colour word: what comes and what stays, with recovered noise and with plain img2img.

    The prompts say nothing of the light, and not where in its place a shape lies. Figures are those of all
    cases so far, after each batch of `TOGETHER`.
    """
    rng, again, found = Random(1), [], {}
    levels = {
        denoise: studio.host.call(
            "BasicScheduler", model=studio.model, scheduler="normal", steps=steps, denoise=denoise
        )[0]
        for denoise, steps in ((1.0, 50), (0.7, 20))
    }
    (sampler,) = studio.host.call("KSamplerSelect", sampler_name="euler")

    def decoded(out: dict) -> Tensor:
        return studio.host.call("VAEDecode", samples=out, vae=studio.vae)[0]

    def sampled(original: list, words: list, latent: dict, cfg: float, denoise: float = 1.0) -> Tensor:
        sigmas = levels[denoise]
        (noise,) = studio.host.call(
            "ISI_Noise", **NOISE, model=studio.model, source="recovered", original=original, sigmas=sigmas,
            recover_steps=len(sigmas) - 1,
        )  # fmt: skip
        (guider,) = studio.host.call(
            "CFGGuider", model=studio.model, positive=words, negative=studio.negative, cfg=cfg
        )
        out, _ = studio.host.call(
            "SamplerCustomAdvanced", noise=noise, guider=guider, sampler=sampler, sigmas=sigmas,
            latent_image=latent,
        )  # fmt: skip
        return decoded(out)

    for first in range(0, COUNT, TOGETHER):
        cases = [two_scenes(rng) for _ in range(min(TOGETHER, COUNT - first))]
        befores, afters = zip(*cases, strict=True)
        latent = studio.encode(torch.cat([pixels(of) for of in befores]))
        original, words = (together([studio.text(caption(of)) for of in told]) for told in (befores, afters))
        same = sampled(original, original, latent, 1.0)
        again += [psnr(a, b) for a, b in zip(same, decoded(latent), strict=True)]
        print(f"| the same prompt | {min(again):.1f} to {max(again):.1f} dB, 50 steps |", flush=True)
        for cfg, denoise in ((2.0, 1.0), (1.5, 0.7)):
            found.setdefault(f"recovered, cfg {cfg:g}, denoise {denoise:g}", []).extend(
                zip(afters, sampled(original, words, latent, cfg, denoise), strict=True)
            )
        for denoise in (0.4, 0.5, 0.6, 0.7, 0.8):
            made, *_ = studio.host.call(
                "KSampler", model=studio.model, positive=words, negative=studio.negative, latent_image=latent,
                seed=first, steps=20, cfg=5.0, denoise=denoise, **SAMPLER,
            )  # fmt: skip
            found.setdefault(f"img2img {denoise:g}", []).extend(zip(afters, decoded(made), strict=True))
        for name, pairs in found.items():
            rows = [followed(*pair) for pair in pairs]
            counts = {key: sum(row[key] for row in rows) for key in rows[0]}
            near = sum(psnr(picture, pixels(of)[0]) for of, picture in pairs) / len(pairs)
            print(f"| {name} | {counts} of {len(rows)} | {near:.1f} dB |", flush=True)


def two_scenes(rng: Random) -> list[world.Scene]:
    """A scene with one shape, and the same in another colour."""
    place, kind = rng.choice(("left", "right", "centre")), rng.choice(("circle", "square", "triangle"))
    ground, light = rng.choice(("white", "black")), rng.choice(tuple(world.LIGHTS))
    x, y = (at + rng.uniform(-world.JITTER, world.JITTER) for at in world.PLACES[place])
    colours = rng.sample(("red", "green", "blue", "yellow"), 2)
    return [
        world.Scene((world.Shape(kind, colour, "large", place, "plain", x, y),), ground, light)
        for colour in colours
    ]


def followed(of: world.Scene, picture: Tensor) -> dict[str, bool]:
    """Whether a picture has the new colour, the shape of before (kind, size, place), both, over 0.9 of the
    pixels of that shape, and the light of before."""
    found, shapes = right(of, picture), judge.read(picture).shapes
    mask = judge.read(pixels(of)[0]).shapes[0].mask
    there = shapes[0].mask if shapes else ~mask
    shape = found["shape"] and found["size"] and found["place"]
    return {
        "colour": found["colour"], "shape": shape, "both": found["colour"] and shape,
        "pixels": float((there & mask).sum() / (there | mask).sum()) >= 0.9, "light": found["light"],
    }  # fmt: skip


def together(words: list) -> list:
    """One CONDITIONING for a batch, of one for each picture."""
    parts = [{key: value for key, value in one[0][1].items() if value is not None} for one in words]
    more = {key: torch.cat([part[key] for part in parts]) for key in parts[0]}
    return [[torch.cat([one[0][0] for one in words]), more]]


def keep_low(studio: Studio, steps: int = 6) -> None:
    """256 -> 512 at denoise .3: the step of the ground at tile edges, and how far colours go."""
    of = scene("red", "square")
    picture = pixels(of, (256, 256))
    twice = torch.nn.functional.interpolate(picture.movedim(-1, 1), scale_factor=2, mode="bicubic")
    source = twice.clamp(0, 1).movedim(1, -1)[0]
    for name, tile, low in WAYS_TO_512:
        plan, *_ = studio.host.call(
            "ISI_Upscale", image=picture, prompt=caption(of), factor=2.0, width=0, height=0, stages=1,
            denoise="0.3", steps=steps, cfg=5.0, seed=3, tile_size=tile, overlap=64, blend="cosine",
            shift_grid=False, wrap="off", tile_batch=1, demofusion=False, skip_residual=3.0,
            dilated_sampling=1.0, blur=1.0, skip_flat=0.0, allow_gigapixel=False, keep_low=low,
        )  # fmt: skip
        image, *_ = studio.host.call(
            "ISI_Iterate", model=studio.model, clip=studio.clip, vae=studio.vae, plan=plan, negative="",
            **SAMPLER, image=picture,
        )  # fmt: skip
        made = image[0].clamp(0, 1)
        # The ground is the rim of 64 px; tiles of 288 begin at 224 and end at 288. Beside the step there the
        # one to the source, which has a light, and the largest of those at any place.
        row = torch.cat([made[:48], made[-48:]]).mean((0, 2))
        off = row - torch.cat([source[:48], source[-48:]]).mean((0, 2))
        edges, places = (224, 256, 288), range(16, 500, 4)
        steps_at = [
            max(float((line[at - 4 : at].mean() - line[at : at + 4].mean()).abs()) for at in where)
            for line, where in ((row, edges), (off, edges), (off, places))
        ]
        lab = [rgb_to_lab(one.movedim(-1, 0)[None])[0] for one in (made, source)]
        shape = [float((lab[0] - lab[1])[:, y, x].mean((1, 2)).norm()) for y, x in SPOTS]
        found = " | ".join(f"{step:.5f}" for step in steps_at)
        print(f"| {name} | {found} | {shape[0]:.2f} | {shape[1]:.2f} |", flush=True)


def high_res(studio: Studio) -> None:
    """One shape at 512 px, twice the largest side that the mini model saw: shapes, and processor time."""
    model, wins = studio.model, {}
    ways = {"plain": None, "high res": HIGH_RES, "RAU-Net alone": HIGH_RES | {"windows": False}}
    for case in range(COUNT):
        of = Random(case)
        told = scene(of.choice(("red", "green", "blue")), of.choice(("circle", "square", "triangle")))
        for name, settings in ways.items():
            if settings is not None:
                (studio.model,) = studio.host.call("ISI_HighRes", model=model, **settings)
            begun = time.process_time()
            (latent,) = studio.host.call("EmptyLatentImage", width=512, height=512, batch_size=1)
            made = studio.sample(studio.model, studio.text(caption(told)), studio.negative, latent, case)
            row = wins.setdefault(name, {"seconds": 0.0, "one": 0, "shapes": 0, "kind": 0})
            row["seconds"] += time.process_time() - begun
            seen = judge.read(made)
            row["shapes"] += len(seen.shapes)
            row["one"] += len(seen.shapes) == 1
            row["kind"] += right(told, made)["shape"]
            studio.model = model
    for name, row in wins.items():
        print(
            f"| {name} | {row['one']} of {COUNT} with one shape | {row['shapes']} shapes | "
            f"{row['kind']} of the kind | {row['seconds'] / wins['plain']['seconds']:.2f} |",
            flush=True,
        )


TONE_SCENES = [
    (colour, "circle", "large", background) for background in ("white", "black") for colour in ("red", "blue")
]
WAYS_TO_512 = (
    ("untiled", 512, 0.0), ("tiles", 288, 0.0), ("tiles, keep_low 64", 288, 64.0), ("keep_low 32", 288, 32.0),
)  # fmt: skip
"""A name, the side of a tile, keep_low."""
HIGH_RES = {"start": 0.0, "end": 0.4, "windows": True, "trained_size": 256}
SPOTS = ((slice(216, 296), slice(216, 296)), (slice(8, 40), slice(8, 504)))
"""In the shape, and on the ground."""


def main() -> None:
    with tempfile.TemporaryDirectory() as base:
        studio = Studio(Host(Path(base)))
        for part in PARTS:
            print(f"\n{part}", flush=True)
            {
                "walk": walk, "tone": tone, "recovered": recovered, "keep_low": keep_low,
                "high_res": high_res,
            }[part](studio)  # fmt: skip
