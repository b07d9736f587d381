"""What a VAE needs for the pictures of a plan, before it gets them."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...core.plans.cost import StageCost
from ...core.tiles.tiles import TileLayout, fit_layout
from ..loop.scratch import Scratch
from .tiled_vae import Features, Sweeps, is_exact, plan_tile


class _Counting(Scratch):
    """Makes tensors without memory, and knows how many bytes of them lived at the same time at most."""

    def __init__(self, dtype: torch.dtype):
        super().__init__(torch.device("meta"), dtype, Path())
        self.alive = self.peak = 0

    def new(self, *shape: int) -> Tensor:
        made = torch.empty(shape, dtype=self.dtype, device="meta")
        self.alive += made.nbytes
        self.peak = max(self.peak, self.alive)
        weakref.finalize(made, self._gone, made.nbytes).atexit = False
        return made

    def _gone(self, size: int) -> None:
        self.alive -= size


class _Rehearsal(Sweeps):
    """The layers of a network in their order, of which only the outputs are made."""

    def layer(self, function, *inputs, channels, scale=None, into=None, stats=True) -> Features:
        after = scale or inputs[0].scale
        data = self.scratch.new(channels, *(after * side for side in self.size)) if into is None else into
        return Features(data, after)

    def attention(self, block: Any, x: Features) -> Features:
        return x


def working_memory(vae: Any, height: int, width: int) -> int:
    """Bytes of features that an exact VAE keeps while it decodes `height` x `width` pixels in tiles.

    They lie on the device, in RAM or on disk: wherever there is room.
    """
    network = vae.first_stage_model.decoder
    unit = 2 ** (network.num_resolutions - 1)
    cells = -(-height // unit), -(-width // unit)
    counting = _Counting(vae.vae_dtype)
    rehearsal = _Rehearsal(fit_layout(*cells, max(cells), 0), torch.device("meta"), counting, None)
    rehearsal.decoder(network, torch.empty(network.conv_in.in_channels, *cells, device="meta"))
    return counting.peak


def vae_report(vae: Any, costs: Sequence[StageCost], auto: int) -> str:
    """What encoding and decoding the stages of a plan takes, in a line; `auto` as in `Tiling.largest`."""
    tiled = [cost for cost in costs if _in_tiles(vae, cost, auto)]
    sizes = [(cost.height, cost.width) for cost in costs if cost not in tiled]
    sizes += [(plan_tile(*cost.tiling.largest(auto)),) * 2 for cost in tiled]
    memory = max(_decode_memory(vae, *size) for size in sizes) + vae.patcher.model_size()
    if not tiled:
        return f"VAE: about {memory / 2**30:.1f} GiB, weights included."
    largest = max(tiled, key=lambda cost: cost.height * cost.width)
    count = sum(2 * len(_layout(vae, cost, auto)) for cost in tiled)
    kept = working_memory(vae, largest.height, largest.width)
    return (
        f"VAE: about {memory / 2**30:.1f} GiB, weights included, in {count} tiles of at most "
        f"{plan_tile(*largest.tiling.largest(auto))} px, and {kept / 2**30:.1f} GiB of features on the "
        "device, in RAM or on disk."
    )


def _in_tiles(vae: Any, cost: StageCost, auto: int) -> bool:
    """Whether a stage's picture goes through the VAE in tiles, as `tiled_vae.in_tiles` decides."""
    height, width = cost.tiling.largest(auto)
    return is_exact(vae) and (cost.height > height or cost.width > width)


def _layout(vae: Any, cost: StageCost, auto: int) -> TileLayout:
    """The tiles, in latent cells, in which a stage's picture is encoded, and decoded once more."""
    unit = 2 ** (vae.first_stage_model.decoder.num_resolutions - 1)
    tile = plan_tile(*cost.tiling.largest(auto)) // unit
    return fit_layout(-(-cost.height // unit), -(-cost.width // unit), tile, 0)


def _decode_memory(vae: Any, height: int, width: int) -> float:
    """Bytes that the host reserves to decode so many pixels at once."""
    unit = vae.spacial_compression_decode()
    frames = [1] if vae.latent_dim == 3 else []
    return vae.memory_used_decode(
        (1, vae.latent_channels, *frames, -(-height // unit), -(-width // unit)), vae.vae_dtype
    )
