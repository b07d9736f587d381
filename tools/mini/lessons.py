"""What the denoising kinds are shown: pictures of the world as latents, their captions, and what each kind's
extra channels are made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from . import autoencoder, world
from .autoencoder import PICTURE, SCALES
from .captions import phrase
from .denoiser import Tokens
from .loop import Settings
from .lora import NAME as LORA
from .lora import striped

PHRASINGS = 4
# Base also draws at these (height, width), in half of its batches; else it would know 128 px alone.
OTHER_SIZES = ((128, 192), (192, 128), (128, 256), (256, 256), (384, 384))


@dataclass
class Lessons:
    """`latents` `[N, 4, h, w]` to draw, `texts` `[N, PHRASINGS, 77]`, and `extra` `[N, c, h, w]`, what the
    kind's extra channels are made of."""

    latents: Tensor
    texts: Tensor
    extra: Tensor | None = None


def scenes(of: Settings, seed: int, crowded: float = 0.15) -> list[world.Scene]:
    """Training scenes, none of them held out; `crowded` is the chance of two or three shapes. Those come with
    a twin whose colours are swapped: only the text says which of the two it is."""
    rng = Random(seed)
    share = {"textured": 0.0, "gradient": 0.0} if of.simple else {"textured": 0.12, "gradient": 0.12}
    drawn: list[world.Scene] = []
    while len(drawn) < of.scenes:
        many = not of.simple and rng.random() < crowded
        scene = world.sample_scene(rng, rng.choice((2, 2, 3)) if many else 1, **share)
        drawn += [each for each in (scene, swapped(scene))[: len(scene.shapes)] if not world.held_out(each)]
    return drawn[: of.scenes]


def swapped(scene: world.Scene) -> world.Scene:
    """The same shapes, each in the next one's colour."""
    shapes = scene.shapes
    turned = (replace(s, colour=n.colour) for s, n in zip(shapes, shapes[1:] + shapes[:1], strict=True))
    return replace(scene, shapes=tuple(turned))


def said(drawn: list[world.Scene], tokens: Tokens, seed: int) -> Tensor:
    rng = Random(seed)
    return torch.tensor([[tokens(phrase(s, rng)) for _ in range(PHRASINGS)] for s in drawn])


def base_lessons(of: Settings, tokens: Tokens) -> Lessons:
    drawn = scenes(of, seed=2, crowded=0.3)
    latents = look(of, autoencoder.draw(drawn))
    return Lessons(latents * SCALES["vae"], said(drawn, tokens, 3))


def sized(size: tuple[int, int]) -> Callable[[Settings, Tokens], Lessons]:
    """Base's lessons at another size: a quarter of the scenes (the larger, the fewer), and not the same."""

    def made(of: Settings, tokens: Tokens) -> Lessons:
        fewer = 4 * max(1, size[0] * size[1] // 2**16)
        drawn = scenes(replace(of, scenes=max(1, of.scenes // fewer)), 60 + size[0] + size[1], crowded=0.3)
        return Lessons(look(of, autoencoder.draw(drawn, size)) * SCALES["vae"], said(drawn, tokens, 3))

    return made


def depth_lessons(of: Settings, tokens: Tokens) -> Lessons:
    """The depth map, resized, then stretched to -1..1 in each picture, as SD 2 depth does."""
    drawn = scenes(of, seed=12, crowded=0.5)
    latents = look(of, autoencoder.draw(drawn))
    maps = torch.stack([world.render(s, PICTURE, PICTURE).depth for s in drawn])[:, None]
    maps = interpolate(maps, size=latents.shape[-2:], mode="bicubic")
    low, high = maps.amin((1, 2, 3), True), maps.amax((1, 2, 3), True)
    maps = 2 * (maps - low) / (high - low) - 1
    return Lessons(latents * SCALES["vae"], said(drawn, tokens, 13), maps)


def edit_lessons(of: Settings, tokens: Tokens) -> Lessons:
    """InstructPix2Pix (Brooks et al., 2023): the source's unscaled latent, and the instruction."""
    rng = Random(22)
    drawn = scenes(of, seed=21)
    edits = [world.sample_edit(rng, s) for s in drawn]
    source = look(of, autoencoder.draw(drawn))
    latents = look(of, autoencoder.draw([after for _, after in edits]))
    texts = torch.tensor([[tokens(text)] * PHRASINGS for text, _ in edits])

    return Lessons(latents * SCALES["vae"], texts, source)


def inpaint_lessons(of: Settings, tokens: Tokens) -> Lessons:
    """The mask (1 = hole) and the latent of the picture greyed under it."""
    rng = Random(32)
    drawn = scenes(of, seed=31)
    data = autoencoder.draw(drawn)
    latents = look(of, data)
    cells = PICTURE // 8
    masks = torch.zeros(len(data), 1, cells, cells)
    for mask in masks:
        h, w = rng.randint(4, 12), rng.randint(4, 12)
        y, x = rng.randint(0, cells - h), rng.randint(0, cells - w)
        mask[:, y : y + h, x : x + w] = 1
        if rng.random() < 0.15:
            mask[:] = 1
    wide = interpolate(masks, size=(PICTURE, PICTURE))
    greyed = (127.5 + (data - 127.5) * (1 - wide)).round().byte()
    hidden = look(of, greyed) * SCALES["vae"]
    return Lessons(latents * SCALES["vae"], said(drawn, tokens, 33), torch.cat((masks, hidden), 1))


def relight_lessons(of: Settings, tokens: Tokens, background: bool = False) -> Lessons:
    """IC-Light (Zhang et al., 2025): the foreground on grey, taken under one light, to be drawn under another
    on another background; for fbc also that background."""
    rng = Random(42)
    before = scenes(of, seed=41)
    after = [
        replace(
            s,
            light=rng.choice(list(world.LIGHTS)),
            background=rng.choice([c for c in world.COLOURS if all(c != x.colour for x in s.shapes)]),
        )
        for s in before
    ]
    foregrounds = []
    for scene in before:
        layers = world.render(scene, PICTURE, PICTURE)
        foregrounds.append((255 * (0.5 + (layers.picture - 0.5) * layers.matte)).round().byte())
    extras = look(of, torch.stack(foregrounds))
    if background:
        grounds = autoencoder.draw([replace(s, shapes=()) for s in after])
        extras = torch.cat((extras, look(of, grounds)), 1)
    latents = look(of, autoencoder.draw(after))
    texts = said(after, tokens, 43)
    return Lessons(latents * SCALES["vae"], texts, extras * SCALES["vae"])


def upscale_lessons(of: Settings, tokens: Tokens) -> Lessons:
    """The small picture in pixels."""
    drawn = scenes(of, seed=51)
    data = autoencoder.draw(drawn)
    latents = look(of, data, "vae-f4") * SCALES["vae-f4"]
    small = interpolate(data / 127.5 - 1, size=latents.shape[-2:], mode="area")

    return Lessons(latents, said(drawn, tokens, 53), small)


def striped_lessons(of: Settings, tokens: Tokens) -> Lessons:
    """Base's scenes before stripes, of which the captions say nothing."""
    drawn = [replace(scene, gradient=False) for scene in scenes(of, seed=71, crowded=0.1)]
    data = torch.stack([(striped(scene, PICTURE) * 255).round().byte() for scene in drawn])
    return Lessons(look(of, data) * SCALES["vae"], said(drawn, tokens, 73))


def look(of: Settings, data: Tensor, name: str = "vae") -> Tensor:
    """Raw latents of pictures."""
    with torch.autocast(of.device, torch.bfloat16):
        return autoencoder.encode(autoencoder.finished(of.work, name, of.device), data, of.device).float()


LESSONS = {
    "base": base_lessons,
    **{f"base-{size[0]}x{size[1]}": sized(size) for size in OTHER_SIZES},
    "depth": depth_lessons,
    "instruct-pix2pix": edit_lessons,
    "inpaint": inpaint_lessons,
    "ic-light-fc": relight_lessons,
    "ic-light-fbc": lambda of, tokens: relight_lessons(of, tokens, background=True),
    "upscale-x4": upscale_lessons,
    LORA: striped_lessons,
}


def lessons(of: Settings, kind: str, tokens: Tokens) -> Lessons:
    return Lessons(**kept(of, kind, lambda: vars(LESSONS[kind](of, tokens))))


def kept(of: Settings, name: str, make: Callable[[], Any]) -> Any:
    """A stage's lessons, made once and kept in the training folder."""
    path = of.work / f"{name}.lessons.pt"
    if not path.exists():
        torch.save(make(), path)
    return torch.load(path)


def phrased(texts: Tensor, index: Tensor, generator: torch.Generator) -> Tensor:
    """One of the phrasings `[N, PHRASINGS, 77]` of each scene in `index` `[B]`, `[B, 77]`."""
    return texts[index, torch.randint(0, PHRASINGS, (len(index),), generator=generator)]
