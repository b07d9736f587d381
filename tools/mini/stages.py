"""The denoising stages: what each kind is shown, and what it learns to draw."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from host.models import mini

from . import autoencoder, words, world
from .autoencoder import PICTURE, SCALES
from .captions import phrase
from .denoiser import ALPHA_BAR, ALPHA_BAR_X4, Denoiser, Tokens, freeze_time, start_from_base
from .export import export
from .loop import Run, Settings
from .lora import NAME as LORA
from .lora import Lora, striped
from .text import train_text
from .upscaler import train_upscaler

PHRASINGS = 4
# Base also draws at these (height, width), in half of its batches; else it would know 128 px alone.
OTHER_SIZES = ((128, 192), (192, 128), (128, 256), (256, 256), (384, 384))
# What `train.py all` runs, with how many steps: on from the shipped weights, and from nothing.
ONWARD = {
    "vae-decoder": 1000, "vae-f4-decoder": 500, "base": 8000, "depth": 4000, "instruct-pix2pix": 4000,
    "inpaint": 1500, "ic-light-fc": 1500, "ic-light-fbc": 1500,
}  # fmt: skip
FRESH = {
    "vae": 5600, "text": 1800, "base": 20000, "instruct-pix2pix": 13000, "inpaint": 5200, "ic-light-fc": 7000,
    "ic-light-fbc": 7000, "depth": 8000, "vae-f4": 6400, "upscale-x4": 15000, "vae-decoder": 2000,
    "vae-f4-decoder": 2000, "upscaler-2x": 5000, LORA: 1500,
}  # fmt: skip


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


def channels(
    kind: str, extra: Tensor, chance: Tensor, generator: torch.Generator
) -> tuple[Tensor, Tensor | None]:
    """A batch's extra channels, and the class labels of a kind that has them. The text is dropped where
    `chance` is below 0.1."""
    if kind == "instruct-pix2pix":  # dropped alone and with the text, so that three-way guidance works
        kept = (chance < 0.05) | (chance >= 0.15)
        return extra * kept[:, None, None, None], None
    if kind == "upscale-x4":  # noised to a level that is the label (Ho et al., 2021)
        level = (351 * torch.rand(len(extra), generator=generator) ** 3).long()  # mostly little noise
        abar = ALPHA_BAR_X4[level][:, None, None, None]
        return abar.sqrt() * extra + (1 - abar).sqrt() * torch.randn(extra.shape, generator=generator), level
    return extra, None


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
    """Made once and kept in the training folder."""
    path = of.work / f"{kind}.lessons.pt"
    if not path.exists():
        torch.save(vars(LESSONS[kind](of, tokens)), path)
    return Lessons(**torch.load(path))


def shipped(kind: str) -> dict[str, Tensor]:
    """A denoiser's state as it is in assets/mini."""
    unet, text = mini.unet_weights(kind), mini.read_weights("text")
    return {f"unet.{k}": v for k, v in unet.items()} | {f"text.{k}": v for k, v in text.items()}


def begin(net: Denoiser, kind: str, of: Settings) -> None:
    """The weights that a stage starts from. Fresh: noise for base, base for every other kind. Else those
    that are shipped; a kind moves with base, by what the training folder's base has learned since."""
    path = of.work / "base.pt"
    base = (
        shipped("base")
        if kind == "base" or not path.exists()
        else torch.load(path, map_location="cpu")["ema"]
    )
    if not of.fresh:
        own = shipped(kind)
        for key, old in shipped("base").items():
            if old.is_floating_point() and own[key].shape == old.shape:
                own[key] = own[key] + (base[key] - old)
        net.load_state_dict(own)
        freeze_time(net)
        return
    autoencoder.initialise(net.unet, seed=4)
    if kind == "base":
        nn.init.zeros_(net.unet.out[2].weight)
        learned = torch.load(of.work / "text.pt", map_location="cpu")["ema"]
        net.text.load_state_dict({k[5:]: v for k, v in learned.items() if k.startswith("text.")})
    else:
        start_from_base(net, base)


def train_denoiser(of: Settings, kind: str) -> None:
    """To the text model's words, which stay as they are. The LoRA learns beside base, which stays too."""
    tokens = Tokens()
    every = [lessons(of, kind, tokens)]
    if kind == "base":
        every += [lessons(of, f"base-{height}x{width}", tokens) for height, width in OTHER_SIZES]
    net = Denoiser("base" if kind == LORA else kind, tokens.vocabulary())
    if kind == LORA:
        net.load_state_dict(shipped("base"))
    else:
        begin(net, kind, of)
    learns = (Lora(net) if kind == LORA else net).to(of.device)
    net = net.to(of.device)
    empty = torch.tensor(tokens(""))
    schedule = ALPHA_BAR_X4 if kind == "upscale-x4" else ALPHA_BAR

    def loss(step: int, generator: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        taught = every[0] if step % 2 or len(every) == 1 else every[1 + step // 2 % (len(every) - 1)]
        count = max(1, of.batch * every[0].latents[0].numel() // taught.latents[0].numel())
        index = torch.randint(0, len(taught.latents), (count,), generator=generator)
        text = taught.texts[index, torch.randint(0, PHRASINGS, (count,), generator=generator)].clone()
        chance = torch.rand(count, generator=generator)
        text[chance < 0.1] = empty
        z = taught.latents[index]
        # t is stratified in the batch: the same distribution, less variance.
        t = (torch.arange(count) + torch.rand(count, generator=generator)) * 1000 / count
        t = t.long().clamp(max=999)
        noise = torch.randn(z.shape, generator=generator)
        abar = schedule[t][:, None, None, None]
        x = abar.sqrt() * z + (1 - abar).sqrt() * noise
        target = noise if kind != "upscale-x4" else abar.sqrt() * noise - (1 - abar).sqrt() * z
        label = None
        if taught.extra is not None:
            more, label = channels(kind, taught.extra[index], chance, generator)
            x = torch.cat((x, more), 1)
        label = None if label is None else label.to(of.device)
        with torch.autocast(of.device, torch.bfloat16):
            guess = net(x.to(of.device), t.to(of.device), text.to(of.device), label)
        error = (guess.float() - target.to(of.device)).pow(2).mean((1, 2, 3))
        # At high noise the loss of eps hardly sees the picture, and there the text decides it. 1 / abar makes
        # it the loss of v (Salimans & Ho, 2022); bounded, for the last timesteps would drown the rest.
        weight = 1 / schedule[t].to(of.device) if kind != "upscale-x4" else torch.ones_like(error)
        return (error * weight.clamp(max=20)).mean(), {"eps": error.detach().mean().item()}

    rate = (1.5e-3 if kind == "base" else 8e-4) * (1 if of.fresh or kind == LORA else 0.5)
    Run(kind, learns, loss, of.work, of.steps, rate=rate, decay=0.999 if kind == "base" else 0.998).train()


def train(name: str, of: Settings) -> None:
    """Runs the stage of that name. `all`: every stage in order, each with its own steps, then export."""
    if name == "all":
        for each, steps in (FRESH if of.fresh else ONWARD).items():
            train(each, replace(of, steps=steps))
        export(of.work)
        words.make()
    elif name == "export":
        export(of.work)
    elif name == words.NAME:
        words.make()
    elif name.endswith("-decoder"):
        autoencoder.train_decoder(of, name.removesuffix("-decoder"))
    elif name == "text":
        train_text(of)
    elif name == mini.UPSCALER:
        train_upscaler(of)
    elif name in SCALES:
        autoencoder.train_both(of, name)
    else:
        train_denoiser(of, name)
