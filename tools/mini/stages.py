"""What each stage learns: its data, its network, its loss."""

from __future__ import annotations

from pathlib import Path
from random import Random

import torch
from comfy.ldm.models.autoencoder import AutoencoderKL
from torch import Tensor, nn

from host import mini

from . import world
from .captions import phrase
from .denoiser import ALPHA_BAR, Denoiser, Tokens
from .loop import Run

PICTURE = 128
BATCH = 32
LATENT_SCALE = 0.18215  # what the host multiplies SD 1.5's latents by


def initialise(module: nn.Module, seed: int) -> None:
    """Sets every parameter, which the host's layers leave unset: Kaiming weights, unit norms, zero biases."""
    torch.manual_seed(seed)
    for name, p in module.named_parameters():
        if p.dim() > 1:
            nn.init.kaiming_uniform_(p, a=5**0.5)
        else:
            nn.init.constant_(p, 1.0 if name.endswith("weight") else 0.0)
        p.requires_grad_(True)


def scenes(count: int, seed: int) -> list[world.Scene]:
    """Training scenes: mostly one shape, some with two or three."""
    rng = Random(seed)
    return [world.sample_scene(rng, rng.choices((1, 2, 3), (0.8, 0.15, 0.05))[0]) for _ in range(count)]


def pictures(work: Path, name: str, drawn: list[world.Scene]) -> Tensor:
    """`[N, 3, PICTURE, PICTURE]` bytes, drawn once and kept in `work`."""
    path = work / f"{name}.pictures.pt"
    if not path.exists():
        torch.save(
            torch.stack([(world.render(s, PICTURE, PICTURE).picture * 255).byte() for s in drawn]), path
        )
    return torch.load(path)


def autoencoder(levels: int) -> AutoencoderKL:
    ddconfig = mini.AUTOENCODER | {"ch_mult": mini.AUTOENCODER["ch_mult"][:levels]}
    vae = AutoencoderKL(embed_dim=4, ddconfig=ddconfig)
    mini.widen_norms(vae)
    return vae


@torch.no_grad()
def encode(work: Path, name: str, data: Tensor, device: str) -> Tensor:
    """Latents `[N, 4, h, w]` of `data` as the UNet sees them (unit variance), made once, kept in `work`."""
    path = work / f"{name}.latents.pt"
    if not path.exists():
        vae = autoencoder(4)
        vae.load_state_dict(torch.load(work / "vae.pt", map_location="cpu")["ema"])
        vae = vae.to(device).eval()
        parts = [vae.encode(part.to(device) / 127.5 - 1).cpu() for part in data.split(25)]
        torch.save(torch.cat(parts) * LATENT_SCALE, path)
    return torch.load(path)


def train_vae(work: Path, minutes: float, device: str, name: str = "vae", levels: int = 4) -> None:
    """The autoencoder: squared and absolute error, a little KL, and noise on the latent, so that the decoder
    forgives what the diffusion model gets slightly wrong."""
    data = pictures(work, "vae", scenes(3000, seed=1))
    vae = autoencoder(levels).to(device)
    initialise(vae, seed=0)

    def loss(step: int, generator: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        index = torch.randint(0, len(data), (8,), generator=generator)
        top, left = torch.randint(0, PICTURE // 2 + 1, (2,), generator=generator).tolist()
        x = data[index, :, top : top + PICTURE // 2, left : left + PICTURE // 2].to(device) / 127.5 - 1
        mean, logvar = vae.quant_conv(vae.encoder(x)).chunk(2, 1)
        logvar = logvar.clamp(-20, 10)
        noise = torch.randn(mean.shape, generator=generator).to(device)
        y = vae.decoder(vae.post_quant_conv(mean + noise * (0.5 * logvar).exp()))
        kl = 0.5 * (mean**2 + logvar.exp() - 1 - logvar).mean()
        mse, mae = (y - x).pow(2).mean(), (y - x).abs().mean()
        return mse + 0.3 * mae + 2e-4 * kl, {"psnr": 10 * torch.log10(4 / mse).item(), "kl": kl.item()}

    Run(name, vae, loss, work, minutes, rate=2e-3, decay=0.998).train()


def train_base(work: Path, minutes: float, device: str) -> None:
    """Caption to picture."""
    drawn = scenes(8000, seed=2)
    tokens = Tokens()
    rng = Random(3)
    texts = torch.tensor([[tokens(phrase(s, rng)) for _ in range(4)] for s in drawn], dtype=torch.int32)
    latents = encode(work, "base", pictures(work, "base", drawn), device)
    net = Denoiser("base", tokens.vocabulary()).to(device)
    initialise(net, seed=4)
    nn.init.zeros_(net.unet.out[2].weight)
    nn.init.normal_(net.text.rows, std=0.1)
    empty = torch.tensor(tokens(""))

    def loss(step: int, generator: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        index = torch.randint(0, len(latents), (BATCH,), generator=generator)
        text = texts[index, torch.randint(0, 4, (BATCH,), generator=generator)].long()
        text[torch.rand(BATCH, generator=generator) < 0.1] = empty
        return denoising_loss(net, latents[index], text, generator, device), {}

    Run("base", net, loss, work, minutes, rate=1.5e-3, decay=0.999).train()


def denoising_loss(net: Denoiser, z: Tensor, text: Tensor, generator: torch.Generator, device: str,
                   concat: Tensor | None = None) -> Tensor:  # fmt: skip
    """|eps - eps(sqrt(abar) z + sqrt(1 - abar) eps, t)|^2 (Ho et al., 2020, eq. 14),
    t stratified in the batch."""
    t = (
        ((torch.arange(len(z)) + torch.rand(len(z), generator=generator)) * 1000 / len(z))
        .long()
        .clamp(max=999)
    )
    noise = torch.randn(z.shape, generator=generator)
    abar = ALPHA_BAR[t][:, None, None, None]
    x = abar.sqrt() * z + (1 - abar).sqrt() * noise
    if concat is not None:
        x = torch.cat((x, concat), 1)
    return (net(x.to(device), t.to(device), text.to(device)) - noise.to(device)).pow(2).mean()


STAGES = {
    "vae": train_vae,
    "vae-f4": lambda work, minutes, device: train_vae(work, minutes, device, "vae-f4", levels=3),
    "base": train_base,
}
