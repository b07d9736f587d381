"""The denoising stages: what each kind learns to draw, and which stage is run by which name."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from host.models import mini

from . import autoencoder, control, unclip, words
from .autoencoder import SCALES
from .denoiser import (
    ALPHA_BAR,
    ALPHA_BAR_X4,
    Denoiser,
    Tokens,
    begin,
    eps_loss,
    learned_base,
    noised,
)
from .export import export
from .lessons import OTHER_SIZES, lessons, phrased
from .loop import Run, Settings
from .lora import NAME as LORA
from .lora import Lora
from .text import train_text
from .upscaler import train_upscaler

# What `train.py all` runs, with how many steps: on from the shipped weights, and from nothing.
ONWARD = {
    "vae-decoder": 1000, "vae-f4-decoder": 500, "base": 8000, "depth": 4000, "instruct-pix2pix": 4000,
    "inpaint": 1500, "ic-light-fc": 1500, "ic-light-fbc": 1500,
}  # fmt: skip
FRESH = {
    "vae": 5600, "text": 1800, "base": 20000, "instruct-pix2pix": 13000, "inpaint": 5200, "ic-light-fc": 7000,
    "ic-light-fbc": 7000, "depth": 8000, "vae-f4": 6400, "upscale-x4": 15000, "vae-decoder": 2000,
    "vae-f4-decoder": 2000, "upscaler-2x": 5000, LORA: 1500, control.NAME: 3000, unclip.FILE: 1500,
    unclip.NAME: 12800,
}  # fmt: skip


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


def train_denoiser(of: Settings, kind: str) -> None:
    """To the text model's words, which stay as they are. The LoRA learns beside base, which stays too."""
    tokens = Tokens()
    every = [lessons(of, kind, tokens)]
    if kind == "base":
        every += [lessons(of, f"base-{height}x{width}", tokens) for height, width in OTHER_SIZES]
    net = Denoiser("base" if kind == LORA else kind, tokens.vocabulary())
    if kind == LORA:
        net.load_state_dict(learned_base(of))
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
        text = phrased(taught.texts, index, generator)
        chance = torch.rand(count, generator=generator)
        text[chance < 0.1] = empty
        z = taught.latents[index]
        x, t, noise = noised(z, generator, schedule)
        abar = schedule[t][:, None, None, None]
        target = noise if kind != "upscale-x4" else abar.sqrt() * noise - (1 - abar).sqrt() * z
        label = None
        if taught.extra is not None:
            more, label = channels(kind, taught.extra[index], chance, generator)
            x = torch.cat((x, more), 1)
        label = None if label is None else label.to(of.device)
        with torch.autocast(of.device, torch.bfloat16):
            guess = net(x.to(of.device), t.to(of.device), text.to(of.device), label)
        if kind == "upscale-x4":  # its loss is that of v already
            error = (guess.float() - target.to(of.device)).pow(2).mean()
            return error, {"eps": error.item()}
        return eps_loss(guess, target, t)

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
    elif name == control.NAME:
        control.train_control(of)
    elif name == unclip.FILE:
        unclip.train_vision(of)
    elif name == unclip.NAME:
        unclip.train_unclip(of)
    elif name == "text":
        train_text(of)
    elif name == mini.UPSCALER:
        train_upscaler(of)
    elif name in SCALES:
        autoencoder.train_both(of, name)
    else:
        train_denoiser(of, name)
