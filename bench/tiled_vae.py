"""Decoding in tiles against the untiled run and the host's own tiled decode: difference, time, work.

The layers of Stable Diffusion's autoencoder at a quarter of their width (random weights), 512 x 640 pixels,
tiles of 256. Time is the processor's, so that other work on the machine does not count.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from ..tests.host.harness import Host
from ..tests.host.tiny import fill

TILE, OVERLAP = 256, 64
LATENT = (64, 80)


def narrow_vae():
    """Stable Diffusion's autoencoder with 32 channels instead of 128, weights from a seed."""
    import comfy.sd
    from comfy.ldm.models.autoencoder import AutoencoderKL

    params = {
        "double_z": True, "z_channels": 4, "resolution": 256, "in_channels": 3, "out_ch": 3, "ch": 32,
        "ch_mult": [1, 2, 4, 4], "num_res_blocks": 2, "attn_resolutions": [], "dropout": 0.0,
    }  # fmt: skip
    seedling = AutoencoderKL(embed_dim=4, ddconfig=params)
    fill(seedling, 0)
    config = {"params": {"embed_dim": 4, "ddconfig": params}}
    return comfy.sd.VAE(sd=seedling.state_dict(), config=config, dtype=torch.float32)


class Work:
    """Counts what all 3x3 convolutions are given: cells times channels in and out."""

    def __init__(self, network: torch.nn.Module):
        self.products, self.largest = 0, 0
        convolutions = [m for m in network.modules() if isinstance(m, torch.nn.Conv2d)]
        for module in convolutions:
            module.register_forward_pre_hook(self._count)

    def _count(self, module, inputs) -> None:
        cells = inputs[0].shape[-2] * inputs[0].shape[-1] // (module.stride[0] * module.stride[1])
        kernel = module.kernel_size[0] * module.kernel_size[1]
        self.products += cells * kernel * module.in_channels * module.out_channels
        self.largest = max(self.largest, inputs[0].numel())


def measured(work: Work, function: Callable[[], Tensor]) -> tuple[Tensor, float, int, int]:
    work.products = work.largest = 0
    began = time.process_time()
    picture = function()
    return picture, time.process_time() - began, work.products, work.largest


def main() -> None:
    with tempfile.TemporaryDirectory() as base, torch.no_grad():
        host = Host(Path(base))
        host.server.last_prompt_id = host.server.last_node_id = None
        from ..host.tiles.tiled_vae import decode

        vae = narrow_vae()
        generator = torch.Generator().manual_seed(1)
        z = torch.randn(1, 4, *LATENT, generator=generator) * torch.linspace(0.1, 2, LATENT[1])
        work = Work(vae.first_stage_model)
        whole, seconds, products, largest = measured(work, lambda: vae.decode(z))
        print(f"{'decode':24} {'max diff':>9} {'time':>6} {'work':>6} {'largest input':>14}")
        print(f"{'untiled':24} {0:9.1e} {1:5.2f}x {1:5.2f}x {1:13.2f}x")
        tiles = {"tile_x": TILE // 8, "tile_y": TILE // 8, "overlap": OVERLAP // 8}
        for name, function in (
            ("ISI Tiled VAE Decode", lambda: decode(vae, z, TILE, OVERLAP)),
            ("host's tiled decode", lambda: vae.decode_tiled(z, **tiles)),
        ):
            picture, t, p, n = measured(work, function)
            worst = float((picture - whole).abs().max())
            print(f"{name:24} {worst:9.1e} {t / seconds:5.2f}x {p / products:5.2f}x {n / largest:13.2f}x")
