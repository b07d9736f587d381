"""Stage `upscaler-2x`: Real-ESRGAN's compact network (Wang et al., 2021), small, that doubles pictures.

Of spandrel's own class, so that every loader of upscale models reads its file.
"""

from __future__ import annotations

import torch
from spandrel.architectures.Compact.__arch.SRVGG import SRVGGNetCompact
from torch import Tensor, nn
from torch.nn.functional import interpolate

from host.models import mini

from .autoencoder import batch, crops
from .loop import Run, Settings


def build() -> nn.Module:
    """Eight convolutions of 32 channels, added to the picture's nearest neighbours."""
    return SRVGGNetCompact(num_feat=32, num_conv=8, upscale=2)


def train_upscaler(of: Settings) -> None:
    """Absolute error between the picture and what the network makes of its half (area mean)."""
    data = crops(of)
    torch.manual_seed(5)
    net = build().to(of.device)

    def loss(step: int, generator: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        picture = batch(data, generator, of.device) / 2 + 0.5
        with torch.autocast(of.device, torch.bfloat16):
            made = net(interpolate(picture, scale_factor=0.5, mode="area")).float()
        psnr = -10 * torch.log10((made.detach() - picture).pow(2).mean())
        return (made - picture).abs().mean(), {"psnr": psnr.item()}

    Run(mini.UPSCALER, net, loss, of.work, of.steps, rate=1e-3, decay=0.995).train()
