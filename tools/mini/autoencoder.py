"""Stages `vae` and `vae-f4`, then `vae-decoder` and `vae-f4-decoder`: the autoencoders."""

from __future__ import annotations

from pathlib import Path
from random import Random

import torch
from comfy.ldm.models.autoencoder import AutoencoderKL
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d

from host.models import mini

from . import world
from .loop import Run, Settings

PICTURE = 128
# (count, height, width) of the whole pictures that a decoder learns from, in turn.
WHOLES = (
    (8, 64, 64), (4, 128, 128), (1, 256, 256), (4, 128, 128), (1, 256, 256), (2, 128, 192), (1, 256, 256),
    (8, 64, 64), (4, 128, 128), (1, 256, 256), (4, 128, 128), (1, 256, 256), (2, 192, 128), (1, 512, 512),
)  # fmt: skip
# What the host multiplies latents by before the UNet sees them: SD 1.5, and the x4 upscaler.
SCALES = {"vae": 0.18215, "vae-f4": 0.08333}


def initialise(module: nn.Module, seed: int) -> None:
    """Sets every parameter, which the host's layers leave unset: Kaiming weights, unit norms, zero biases."""
    torch.manual_seed(seed)
    for name, p in module.named_parameters():
        if p.dim() > 1:
            nn.init.kaiming_uniform_(p, a=5**0.5)
        else:
            nn.init.constant_(p, 1.0 if name.endswith("weight") else 0.0)
        p.requires_grad_(True)


def draw(scenes: list[world.Scene], size: tuple[int, int] = (PICTURE, PICTURE)) -> Tensor:
    """Pictures of scenes, bytes `[N, 3, height, width]`."""
    return torch.stack([(world.render(s, *size).picture * 255).round().byte() for s in scenes])


def build(name: str) -> AutoencoderKL:
    """The host's autoencoder as `host.models.mini` configures it, weights not set."""
    levels = mini.AUTOENCODER["ch_mult"][: 3 if name == "vae-f4" else 4]
    vae = AutoencoderKL(embed_dim=4, ddconfig=mini.AUTOENCODER | {"ch_mult": levels})
    mini.widen_norms(vae)
    return vae


def finished(work: Path, name: str, device: str = "cpu") -> AutoencoderKL:
    """The trained autoencoder, its latents standardised; the encoder stays as it is once this exists.
    Where the folder has none, the one that is shipped."""
    vae, own = build(name), work / f"{name}.finished.pt"
    vae.load_state_dict(torch.load(own, map_location="cpu") if own.exists() else mini.read_weights(name))
    return vae.to(device).eval()


@torch.no_grad()
def encode(vae: AutoencoderKL, data: Tensor, device: str) -> Tensor:
    """Raw latents `[N, 4, h, w]` (the distribution's mode) of pictures in bytes."""
    return torch.cat([vae.encode(part.to(device) / 127.5 - 1).cpu() for part in data.split(25)])


@torch.no_grad()
def standardise(vae: AutoencoderKL, data: Tensor, scale: float, device: str) -> None:
    """Folds an affine map into the two 1 x 1 convolutions, so that each latent channel times `scale` has mean
    0 and variance 1 over `data`. What the autoencoder does to a picture stays the same."""
    z = encode(vae, data, device)
    mean, std = z.mean((0, 2, 3)).to(device), z.std((0, 2, 3)).to(device) * scale
    quant, post = vae.quant_conv, vae.post_quant_conv
    post.bias += post.weight[:, :, 0, 0] @ mean
    post.weight *= std[None, :, None, None]
    quant.bias[:4] -= mean
    quant.bias[:4] /= std
    quant.weight[:4] /= std[:, None, None, None]
    quant.bias[4:] -= 2 * std.log()


def crops(of: Settings) -> Tensor:
    """The pictures that all three stages learn from; drawn once."""
    path = of.work / "pictures.pt"
    if not path.exists():
        rng = Random(1)
        torch.save(draw([world.sample_scene(rng, rng.choice((1, 1, 2, 3))) for _ in range(of.scenes)]), path)
    return torch.load(path)


def batch(data: Tensor, generator: torch.Generator, device: str) -> Tensor:
    """Eight crops of half the side, -1..1."""
    index = torch.randint(0, len(data), (8,), generator=generator)
    top, left = torch.randint(0, PICTURE // 2 + 1, (2,), generator=generator).tolist()
    return data[index, :, top : top + PICTURE // 2, left : left + PICTURE // 2].to(device) / 127.5 - 1


def distance(y: Tensor, x: Tensor) -> tuple[Tensor, dict[str, float]]:
    mse = (y - x).pow(2).mean()
    return mse + 0.3 * (y - x).abs().mean(), {"psnr": 10 * torch.log10(4 / mse.detach()).item()}


def train_both(of: Settings, name: str) -> None:
    """Encoder and decoder: squared and absolute error, and a little KL to the unit normal."""
    data = crops(of)
    vae = build(name).to(of.device)
    initialise(vae, seed=0)

    def loss(step: int, generator: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        x = batch(data, generator, of.device)
        with torch.autocast(of.device, torch.bfloat16):
            mean, logvar = vae.quant_conv(vae.encoder(x)).float().chunk(2, 1)
            logvar = logvar.clamp(-20, 10)
            noise = torch.randn(mean.shape, generator=generator).to(of.device)
            y = vae.decoder(vae.post_quant_conv(mean + noise * (0.5 * logvar).exp())).float()
        kl = 0.5 * (mean**2 + logvar.exp() - 1 - logvar).mean()
        error, logged = distance(y, x)
        return error + 5e-5 * kl, logged | {"kl": kl.item()}

    run = Run(name, vae, loss, of.work, of.steps, rate=2e-3, decay=0.998)
    run.train()
    vae.load_state_dict(run.ema)
    standardise(vae, data[:1000], SCALES[name], of.device)
    torch.save(vae.state_dict(), of.work / f"{name}.finished.pt")


def wholes(step: int) -> Tensor:
    """What a decoder is shown at a step, -1..1: whole pictures of WHOLES in turn. Its norms see the whole
    picture, so that one that knows crops alone turns a lit red orange on a canvas of 256 px."""
    count, height, width = WHOLES[step % len(WHOLES)]
    rng = Random(step)
    return (
        draw([world.sample_scene(rng, rng.choice((1, 1, 2, 3))) for _ in range(count)], (height, width))
        / 127.5
        - 1
    )


def sharp(y: Tensor, x: Tensor) -> tuple[Tensor, dict[str, float]]:
    """`distance`, and the absolute error of steps between neighbours (edges) and of means of 8 x 8 (flat
    colours, which an error spread thin over a large shape hardly moves)."""
    error = y - x
    edges = error.diff(dim=2).abs().mean() + error.diff(dim=3).abs().mean()
    flat = avg_pool2d(error, 8).abs().mean()
    plain, logged = distance(y, x)
    return plain + 0.2 * edges + 0.3 * flat, logged


def train_decoder(of: Settings, name: str) -> None:
    """A decoder alone, on latents with mostly little noise: it learns to forgive what the diffusion model
    gets slightly wrong, and the latents that other stages learned from stay as they are."""
    vae = finished(of.work, name, of.device).to(memory_format=torch.channels_last)
    vae.encoder.requires_grad_(False)
    vae.quant_conv.requires_grad_(False)

    def loss(step: int, generator: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        x = wholes(step).to(of.device)
        level = 0.15 / SCALES[name] * torch.rand(len(x), 1, 1, 1, generator=generator) ** 2
        with torch.autocast(of.device, torch.bfloat16):
            with torch.no_grad():
                z = vae.encode(x).float()
            z = z + (level * torch.randn(z.shape, generator=generator)).to(of.device)
            y = vae.decoder(vae.post_quant_conv(z)).float()
        return sharp(y, x)

    run = Run(f"{name}-decoder", vae, loss, of.work, of.steps, rate=6e-4, decay=0.995)
    run.train()
    torch.save(run.ema, of.work / f"{name}.finished.pt")
