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
from scipy.ndimage import binary_erosion
from scipy.stats import spearmanr
from torch.nn.functional import interpolate

from ..tests.host.harness import Host
from ..tests.host.studio import Studio, caption, hint, pixels, psnr, right
from ..tools.mini import captions, judge, world

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
    """Large shapes of every colour under every light: the mean of each colour, of which the worst counts; and
    the worst single picture."""
    studio, means, worst = Studio(host, "base"), [], []
    for side, each in ((128, 12), (256, 12), (512, 4)):
        rng, scores = Random(1000 + side), {}
        for colour in world.COLOURS:
            for i in range(each):
                scene = world.sample_scene(rng, 1, textured=0.0, gradient=0.0)
                ground = rng.choice([c for c in world.COLOURS if c != colour])
                shape = replace(scene.shapes[0], colour=colour, size="large")
                light = list(world.LIGHTS)[i % 4]
                picture = pixels(
                    replace(scene, shapes=(shape,), background=ground, light=light), (side, side)
                )
                (latent,) = host.call("VAEEncode", pixels=picture, vae=studio.vae)
                (back,) = host.call("VAEDecode", samples=latent, vae=studio.vae)
                scores.setdefault(colour, []).append(psnr(back, picture))
        means.append(min(sum(v) / len(v) for v in scores.values()))
        worst.append(min(min(v) for v in scores.values()))
    head = "VAE round trip at 128 / 256 / 512 px"
    rows = [" / ".join(f"{v:.1f}" for v in row) + " dB" for row in (means, worst)]
    return [
        (f"{head}, worst colour", ">= 34 / 33 / 32 dB", rows[0]),
        (f"{head}, worst picture of all", "-", rows[1]),
    ]


def overlap(picture: torch.Tensor) -> float:
    """How well the largest shape of a picture fits the template that fits it best, 0..1."""
    seen = judge.read(picture).shapes
    return seen[0].overlap if seen else 0.0


def bench_base(host: Host) -> list[tuple[str, str, str]]:
    studio, fits = Studio(host, "base"), []

    def score(count: int, seed: int, unseen: bool = False, size=(128, 128)) -> str:
        rows = []
        for i, scene in enumerate(drawn(count, seed, unseen)):
            picture = studio.draw(caption(scene), i, size)
            rows.append(right(scene, picture))
            fits.append(overlap(picture))
        return share(rows)

    head, near = "colour / background / shape / size / place", "at most 3 points less"
    rows = [
        (f"base: {head}", "99 / 99 / 95 / 97 / 97 %", score(COUNT, 2)),
        ("base, unseen combinations", "-", score(COUNT // 2, 3, unseen=True)),
        ("base, 256 px", near, score(COUNT // 4, 4, size=(256, 256))),
        ("base, 384 px", near, score(COUNT // 8, 4, size=(384, 384))),
        ("base, 192 x 128", near, score(COUNT // 4, 4, size=(128, 192))),
        ("base, 256 x 128", near, score(COUNT // 4, 4, size=(128, 256))),
    ]
    return [*rows, ("base: overlap of a shape with its template", ">= .93", f"{sum(fits) / len(fits):.2f}")]


def pair(rng: Random, apart: bool) -> world.Scene:
    """Two plain shapes of two kinds and colours: small, on two sides that face each other, or large, the
    second before the first."""
    scene = world.sample_scene(rng, 2, textured=0.0, gradient=0.0)
    if apart:
        sides, size = rng.choice((("left", "right"), ("top", "bottom"))), "small"
        spots = [world.PLACES[place] for place in sides]
    else:
        sides, size = rng.choice((("left", "right"), ("right", "left"))), "large"
        spots = [(0.38 if place == "left" else 0.62, rng.uniform(0.42, 0.58)) for place in sides]
    put = [
        replace(shape, size=size, place=place, x=x, y=y)
        for shape, place, (x, y) in zip(scene.shapes, sides, spots, strict=True)
    ]
    return replace(scene, shapes=tuple(put))


def bench_pairs(host: Host) -> list[tuple[str, str, str]]:
    """Two shapes that lie apart: each there, in its own colour."""
    studio, rng, bound, count = Studio(host, "base"), Random(1021), 0, max(1, COUNT // 2)
    for i in range(count):
        scene = pair(rng, apart=True)
        seen = judge.read(studio.draw(captions.caption(scene), i))
        bound += {(s.kind, s.colour) for s in scene.shapes} == {(s.kind, s.colour) for s in seen.shapes}
    return [("base: two shapes, each in its colour", ">= 90 %", f"{100 * bound / count:.0f} %")]


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


def coloured_right(scene: world.Scene, picture: torch.Tensor) -> bool:
    """Whether most pixels of each shape, where the scene has it, are of its colour."""
    names = judge.name_pixels(picture.movedim(-1, 0))
    masks = world.render(scene, *picture.shape[:2]).masks > 0.99
    seen = [judge.NAMES[int(names[mask].mode().values)] for mask in masks]
    return seen == [shape.colour for shape in scene.shapes]


def bench_depth(host: Host) -> list[tuple[str, str, str]]:
    """The map's rank correlation with which pixels the judge calls a shape; and of two shapes, the second
    before the first, whether each has its colour."""
    studio, rng, scores, bound = Studio(host, "depth"), Random(5), [], 0
    for i, scene in enumerate(drawn(COUNT // 4, seed=5)):
        words, _, sources = asked("depth", scene, rng)
        seen = judge.read(made(studio, words, i, **sources))
        mask = sum((s.mask.float() for s in seen.shapes), torch.zeros(128, 128))
        depth = sources["depth"][0, :, :, 0]
        scores.append(float(spearmanr(mask.flatten(), depth.flatten()).statistic))
    mean, rng, count = torch.tensor(scores).nan_to_num().mean(), Random(1022), max(1, COUNT // 4)
    for i in range(count):
        scene = pair(rng, apart=False)
        far, near = (captions.article(f"{s.colour} {s.kind}") for s in scene.shapes)
        words = f"{near} in front of {far} on {captions.ground(scene)}"
        _, _, sources = asked("depth", scene, rng)
        bound += coloured_right(scene, made(studio, words, i, **sources))
    return [
        ("depth: rank correlation of judged and given depth", ">= .95", f"{mean:.2f}"),
        ("depth: two shapes, each in its colour", ">= 90 %", f"{100 * bound / count:.0f} %"),
    ]


def bench_edit(host: Host) -> list[tuple[str, str, str]]:
    studio, rng = Studio(host, "instruct-pix2pix"), Random(6)
    edited, kept, grounds, fits = [], [], [], []
    for i, scene in enumerate(drawn(COUNT // 4, seed=6)):
        words, after, sources = asked("instruct-pix2pix", scene, rng)
        picture = made(studio, words, i, **sources)
        row = right(after, picture)
        name = "background" if after.background != scene.background else "colour"
        edited.append(row[name])
        kept.append(all(row[a] for a in ATTRIBUTES if a != name))
        matte = world.render(after).matte
        seen = judge.read(picture).shapes
        found = seen[0].mask if seen else torch.zeros_like(matte, dtype=torch.bool)
        fits.append(float((found & (matte > 0.5)).sum() / (found | (matte > 0.5)).sum()))
        if name == "colour":
            grounds.append(float((picture - pixels(after)[0])[matte == 0].abs().mean()))
    rates = (f"{100 * sum(v) / len(v):.0f}" for v in (edited, kept))
    name = "instruct-pix2pix"
    return [
        (f"{name}: edited attribute right / all others kept", "95 / 92 %", " / ".join(rates)),
        (f"{name}: error of a background kept, of 255", "<= 4", f"{255 * sum(grounds) / len(grounds):.1f}"),
        (f"{name}: overlap of a shape with what it was", ">= .97", f"{sum(fits) / len(fits):.2f}"),
    ]


def bench_loop(host: Host) -> list[tuple[str, str, str]]:
    """Six colours one after the other at denoise .75: how many loops have only one-coloured pictures."""
    studio, rng, clean, count = Studio(host, "base"), Random(1023), 0, max(1, COUNT // 4)
    for i in range(count):
        scene = drawn(1, seed=100 + i)[0]
        scene = replace(scene, shapes=(replace(scene.shapes[0], size="large"),))
        said = rng.sample([c for c in world.COLOURS if c != scene.background], 6)
        common = captions.caption(scene).split(", light")[0].replace(f"{scene.shapes[0].colour} ", "", 1)
        script = f"{{{common}}} {'; '.join(said)}"
        made_of = studio.loop(script, i, steps=20, denoise=0.75, image=pixels(scene))
        clean += all(one_colour(picture, colour) for picture, colour in zip(made_of, said, strict=True))
    return [("loop of six colours: every picture one colour", ">= 95 %", f"{100 * clean / count:.0f} %")]


def one_colour(picture: torch.Tensor, colour: str) -> bool:
    """Whether 97 % of what is not background has the colour, a rim of two pixels left out, where they mix."""
    seen = judge.read(picture)
    shape = torch.from_numpy(
        binary_erosion((seen.colours != judge.NAMES.index(seen.background)).numpy(), iterations=2)
    )
    own = (seen.colours == judge.NAMES.index(colour)) & shape
    return bool(shape.sum() > 0.01 * shape.numel() and own.sum() >= 0.97 * shape.sum())


def bench_tiles(host: Host) -> list[tuple[str, str, str]]:
    """256 px sampled again in tiles of 192 with an overlap of 64, at denoise .25."""
    studio, fits, single, count = Studio(host, "base"), [], 0, max(1, COUNT // 8)
    tiling = {"tile_size": 192, "overlap": 64, "blend": "cosine", "shift_grid": False, "wrap": "off"}
    (tiled,) = host.call(
        "ISI_TiledSampling", model=studio.model, **tiling, tile_batch=1, global_share=0.3, skip_flat=0.0
    )
    for i, scene in enumerate(drawn(count, seed=24)):
        latent = studio.encode(pixels(scene, (256, 256)))
        words = studio.text(caption(scene))
        picture = studio.sample(tiled, words, studio.negative, latent, i, cfg=3.0, denoise=0.25)
        fits.append(overlap(picture))
        single += one_colour(picture, scene.shapes[0].colour)
    figures = f"{sum(fits) / len(fits):.2f} / {100 * single / count:.0f} %"
    return [("refined in tiles 192/64 at .25: overlap / one colour", ">= .95 / 100 %", figures)]


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
        ("inpaint: error in the hole against base with a mask", "-45 %", f"{100 * (own / other - 1):+.0f} %")
    ]


def bench_relight(host: Host, kind: str) -> list[tuple[str, str, str]]:
    studio, rng, rows = Studio(host, kind), Random(8), []
    for i, scene in enumerate(drawn(COUNT // 4, seed=8)):
        words, after, sources = asked(kind, scene, rng)
        rows.append(right(after, made(studio, words, i, **sources)))
    return [(f"{kind}: light side / shape kept", "99 / 97 %", share(rows, ("light", "shape")))]


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
        ("upscale-x4: PSNR over bicubic, clean input", ">= +3 dB", f"{gain:+.1f} dB"),
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


def bench_control(host: Host) -> list[tuple[str, str, str]]:
    """Each hint of a scene, with words for the same shape in other colours, before another background."""
    studio, rows = Studio(host), []
    (net,) = host.call("ControlNetLoader", control_net_name="mini_control.safetensors")
    for kind in ("edges", "depth", "bones"):
        fits, free, said = [], [], []
        for i, (of, other) in enumerate(zip(drawn(COUNT // 4, 11), drawn(COUNT // 4, 12), strict=True)):
            shape = replace(of.shapes[0], colour=other.shapes[0].colour)
            words = f"a {shape.colour} {shape.kind} on a {other.background} background"
            mask = world.render(of).masks[0] > 0.5
            picture, alone = (studio.controlled(words, i, net, hint(host, kind, of), s) for s in (1.0, 0.0))
            fits.append(iou(picture, mask))
            free.append(iou(alone, mask))
            said.append(right(replace(other, shapes=(shape,)), picture))
        row = f"{sum(fits) / len(fits):.2f} ({sum(free) / len(free):.2f} without) / " + share(
            said, ("colour", "background", "shape")
        )
        rows.append((f"ControlNet, {kind}: overlap / colour, background, shape of the words", "-", row))
    return rows


def iou(picture: torch.Tensor, mask: torch.Tensor) -> float:
    """Of all that is drawn with a mask `[H, W]`."""
    shapes = [shape.mask for shape in judge.read(picture).shapes] or [torch.zeros_like(mask)]
    made = torch.stack(shapes).any(0)
    return float((made & mask).sum() / (made | mask).sum())


def bench_unclip(host: Host) -> list[tuple[str, str, str]]:
    """A picture seen, nothing said."""
    studio, rows = Studio(host, "unclip"), []
    for noise in (0.0, 0.3, 0.6, 0.9):
        seen = [right(of, studio.varied(pixels(of), i, noise)) for i, of in enumerate(drawn(COUNT // 4, 13))]
        rows.append((f"unclip at noise {noise}: {' / '.join(ATTRIBUTES)}", "-", share(seen)))
    return rows


def bench_time(host: Host) -> list[tuple[str, str, str]]:
    started = time.perf_counter()
    studio = Studio(host, "base")
    loaded = time.perf_counter()
    studio.draw("a large red circle on a white background", 0)
    drawn_at = time.perf_counter()
    figures = f"{loaded - started:.1f} / {drawn_at - loaded:.1f} s"
    return [("load / one 20-step 128 px picture on this machine", "0.7 / 0.7 s", figures)]


MEASURES = {
    "vae": bench_vae, "base": bench_base, "pairs": bench_pairs, "loop": bench_loop, "tiles": bench_tiles,
    "time": bench_time, "depth": bench_depth, "edit": bench_edit, "inpaint": bench_inpaint,
    "ic-light-fc": lambda host: bench_relight(host, "ic-light-fc"),
    "ic-light-fbc": lambda host: bench_relight(host, "ic-light-fbc"), "x4": bench_x4,
    "upscaler": bench_upscaler, "control": bench_control, "unclip": bench_unclip,
}  # fmt: skip


def main() -> None:
    """Prints a table of what is asked and what was measured. MINI_ONLY="base pairs" measures these alone,
    MINI_COUNT=40 on fewer prompts."""
    host = Host(Path(tempfile.mkdtemp()))
    print(f"| What ({COUNT} prompts) | Target | Measured |\n|---|---|---|")
    for name in os.environ.get("MINI_ONLY", " ".join(MEASURES)).split():
        for row in MEASURES[name](host):
            print(f"| {' | '.join(row)} |", flush=True)
