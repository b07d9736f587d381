"""How well the mini models do their jobs: `python run.py bench mini`, the table of the model card.

Judged by `tools/mini/judge.py` on scenes training never saw, through the nodes that a user would connect.
"""

from __future__ import annotations

import os
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from random import Random

import torch
from scipy.stats import spearmanr
from torch.nn.functional import interpolate

from ..tests.host.harness import Host
from ..tests.host.studio import Studio, caption, pixels, psnr, right
from ..tools.mini import judge, world

COUNT = int(os.environ.get("MINI_COUNT", "200"))
TWICE = {"factor": 2.0, "width": 0, "height": 0, "tile_size": 512, "overlap": 32, "allow_gigapixel": False}
# Where it is not 5: these kinds take most from their picture.
CFG = {"upscale-x4": 1.0, "ic-light-fc": 3.0, "ic-light-fbc": 3.0}
ATTRIBUTES = ("colour", "background", "shape", "size", "place")


def drawn(count: int, seed: int, unseen: bool = False) -> list[world.Scene]:
    """One plain shape each, none from training's seeds."""
    rng, out = Random(1000 + seed), []
    while len(out) < count:
        scene = world.sample_scene(rng, 1, textured=0.0, gradient=0.0)
        if world.held_out(scene) == unseen:
            out.append(scene)
    return out


def share(rows: list[dict[str, bool]], names=ATTRIBUTES) -> str:
    return " / ".join(f"{100 * sum(r[n] for r in rows) / len(rows):.0f}" for n in names)


def bench_vae(host: Host) -> list[tuple[str, str, str]]:
    studio = Studio(host, "base")
    scores = []
    for scene in drawn(50, seed=1):
        picture = pixels(scene)
        (latent,) = host.call("VAEEncode", pixels=picture, vae=studio.vae)
        (back,) = host.call("VAEDecode", samples=latent, vae=studio.vae)
        scores.append(psnr(back, picture))
    return [("VAE round trip, mean PSNR", ">= 30 dB", f"{sum(scores) / len(scores):.1f} dB")]


def bench_base(host: Host) -> list[tuple[str, str, str]]:
    studio = Studio(host, "base")

    def score(count: int, seed: int, unseen: bool = False, size=(128, 128)) -> str:
        scenes = drawn(count, seed, unseen)
        return share([right(s, studio.draw(caption(s), i, size)) for i, s in enumerate(scenes)])

    head = "colour / background / shape / size / place"
    return [
        (f"base: {head}", "97 / 97 / 90 / 90 / 90 %", score(COUNT, 2)),
        ("base, unseen combinations", "within 5 points", score(COUNT // 2, 3, unseen=True)),
        ("base, 256 px", "within 10 points", score(COUNT // 4, 4, size=(256, 256))),
        ("base, 192 x 128", "within 10 points", score(COUNT // 4, 4, size=(128, 192))),
    ]


def asked(kind: str, scene: world.Scene, rng: Random) -> tuple[str, world.Scene, dict[str, torch.Tensor]]:
    """What a kind is asked to make of a scene: the words, the scene that would be right, and the pictures."""
    truth, layers = pixels(scene), world.render(scene)
    if kind == "depth":
        return caption(scene), scene, {"depth": layers.depth[None, :, :, None].expand(-1, -1, -1, 3)}
    if kind == "instruct-pix2pix":
        colour = rng.choice([c for c in world.COLOURS if c not in (scene.background, scene.shapes[0].colour)])
        ground = rng.random() < 0.5
        words, after = world.repaint(scene, colour) if ground else world.recolour(scene, 0, colour)
        return words, after, {"image": truth}
    if kind == "inpaint":  # the right half of the shape is gone
        x, y = (int(128 * v) // 8 * 8 for v in (scene.shapes[0].x, scene.shapes[0].y))
        mask = torch.zeros(1, 128, 128)
        mask[:, max(0, y - 32) : y + 32, x : x + 40] = 1
        return caption(scene), scene, {"image": truth, "mask": mask}
    if kind == "upscale-x4":
        small = interpolate(truth.movedim(-1, 1), scale_factor=0.25, mode="area").movedim(1, -1)
        return caption(scene), scene, {"image": small}
    after = replace(scene, light=rng.choice(list(world.LIGHTS)))
    sources = {"image": truth, "mask": layers.matte[None]}
    if kind == "ic-light-fbc":
        sources["background"] = pixels(replace(after, shapes=()))
    return f"{caption(after)}, light from the {after.light}", after, sources


def made(studio: Studio, words: str, seed: int, **sources) -> torch.Tensor:
    """What a kind makes of them, with the guidance that suits it: edits with ISI Edit Guider at its own."""
    if studio.kind == "instruct-pix2pix":
        return studio.edit(words, seed, image_cfg=1.5, **sources)
    return studio.shown(words, seed, cfg=CFG.get(studio.kind, 5.0), **sources)


def bench_depth(host: Host) -> list[tuple[str, str, str]]:
    """The map's rank correlation with which pixels the judge calls a shape."""
    studio, rng, scores = Studio(host, "depth"), Random(5), []
    for i, scene in enumerate(drawn(COUNT // 4, seed=5)):
        words, _, sources = asked("depth", scene, rng)
        seen = judge.read(made(studio, words, i, **sources))
        mask = sum((s.mask.float() for s in seen.shapes), torch.zeros(128, 128))
        depth = sources["depth"][0, :, :, 0]
        scores.append(float(spearmanr(mask.flatten(), depth.flatten()).statistic))
    mean = torch.tensor(scores).nan_to_num().mean()
    return [("depth: rank correlation of judged and given depth", ">= .9", f"{mean:.2f}")]


def bench_edit(host: Host) -> list[tuple[str, str, str]]:
    studio, rng = Studio(host, "instruct-pix2pix"), Random(6)
    edited, kept = [], []
    for i, scene in enumerate(drawn(COUNT // 4, seed=6)):
        words, after, sources = asked("instruct-pix2pix", scene, rng)
        row = right(after, made(studio, words, i, **sources))
        name = "background" if after.background != scene.background else "colour"
        edited.append(row[name])
        kept.append(all(row[a] for a in ATTRIBUTES if a != name))
    rates = (f"{100 * sum(v) / len(v):.0f}" for v in (edited, kept))
    return [("instruct-pix2pix: edited attribute right / all others kept", "90 / 90 %", " / ".join(rates))]


def bench_inpaint(host: Host) -> list[tuple[str, str, str]]:
    """Error in the hole against the true picture, and that of base with a latent mask."""
    studio, base, own, other = Studio(host, "inpaint"), Studio(host, "base"), 0.0, 0.0
    for i, scene in enumerate(drawn(COUNT // 4, seed=7)):
        words, _, sources = asked("inpaint", scene, Random(7))
        truth, mask = sources["image"], sources["mask"]
        filled = made(studio, words, i, **sources)
        plain = base.sample(base.model, base.text(words), base.negative, base.encode(truth, mask), i)
        hole = mask[0] == 1
        own += float((filled - truth[0])[hole].pow(2).mean())
        other += float((plain - truth[0])[hole].pow(2).mean())
    return [
        ("inpaint: error in the hole against base with a mask", "-30 %", f"{100 * (own / other - 1):+.0f} %")
    ]


def bench_relight(host: Host, kind: str) -> list[tuple[str, str, str]]:
    studio, rng, rows = Studio(host, kind), Random(8), []
    for i, scene in enumerate(drawn(COUNT // 4, seed=8)):
        words, after, sources = asked(kind, scene, rng)
        rows.append(right(after, made(studio, words, i, **sources)))
    return [(f"{kind}: light side / shape kept", "95 / 95 %", share(rows, ("light", "shape")))]


def bench_x4(host: Host) -> list[tuple[str, str, str]]:
    """The picture from a quarter of its size, against bicubic; and how noise on the small one costs."""
    studio, count = Studio(host, "upscale-x4"), max(4, COUNT // 10)
    gain, levels = 0.0, dict.fromkeys((0, 120, 240, 350), 0.0)
    for i, scene in enumerate(drawn(count, seed=9)):
        words, _, sources = asked("upscale-x4", scene, Random(9))
        truth, small = pixels(scene), sources["image"].movedim(-1, 1)
        cubic = interpolate(small, scale_factor=4, mode="bicubic").clamp(0, 1).movedim(1, -1)
        for level in levels:
            large = made(studio, words, i, **sources, noise_level=level)
            levels[level] += psnr(large, truth[0]) / count
            gain += (psnr(large, truth[0]) - psnr(cubic, truth)) / count if level == 0 else 0
    row = " / ".join(f"{v:.1f}" for v in levels.values())
    return [
        ("upscale-x4: PSNR over bicubic, clean input", ">= +2 dB", f"{gain:+.1f} dB"),
        ("upscale-x4: PSNR at noise levels 0 / 120 / 240 / 350", "monotone", f"{row} dB"),
    ]


def bench_upscaler(host: Host) -> list[tuple[str, str, str]]:
    gains = []
    for scene in drawn(COUNT // 4, seed=10):
        truth = pixels(scene)
        small = interpolate(truth.movedim(-1, 1), scale_factor=0.5, mode="area").movedim(1, -1)
        ours, plain = (
            host.call("ISI_UpscaleImage", image=small, model_name=name, **TWICE)[0]
            for name in ("mini/upscaler-2x", "lanczos")
        )
        gains.append(psnr(ours, truth) - psnr(plain, truth))
    return [("upscaler-2x: PSNR over Lanczos", "-", f"{sum(gains) / len(gains):+.1f} dB")]


def bench_time(host: Host) -> list[tuple[str, str, str]]:
    started = time.perf_counter()
    studio = Studio(host, "base")
    loaded = time.perf_counter()
    studio.draw("a large red circle on a white background", 0)
    drawn_at = time.perf_counter()
    figures = f"{loaded - started:.1f} / {drawn_at - loaded:.1f} s"
    return [("load / one 20-step 128 px picture on this machine", "1.5 / 1.5 s", figures)]


def main() -> None:
    """Prints a table of what is asked and what was measured."""
    host = Host(Path(tempfile.mkdtemp()))
    measures = (
        bench_vae, bench_base, bench_time, bench_depth, bench_edit, bench_inpaint,
        lambda host: bench_relight(host, "ic-light-fc"), lambda host: bench_relight(host, "ic-light-fbc"),
        bench_x4, bench_upscaler,
    )  # fmt: skip
    print(f"| What ({COUNT} prompts) | Target | Measured |\n|---|---|---|")
    for measure in measures:
        for row in measure(host):
            print(f"| {' | '.join(row)} |", flush=True)
