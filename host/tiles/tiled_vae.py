"""VAE encode and decode tile by tile, equal to the untiled run.

A tile decoded on its own differs from the whole picture because every GroupNorm takes its mean and variance
from what it sees. Here the tiles go through the network together: one layer is run over all tiles, its
output is kept in scratch memory while its statistics are gathered over the whole picture, then the next
layer normalises by them. A convolution reads one cell beyond its tile, so that no work is done twice but at
the tiles' edges, and nothing has to be blended. The attention of the middle block is taken over the whole
latent, some of the queries at a time.

That serves the host's KL autoencoders of pictures (SD 1.5 to SDXL, SD3, Flux, ...). Other VAEs are tiled by
the host's own scheme.
"""

from __future__ import annotations

import copy
import logging
import math
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import comfy.model_management
import comfy.utils
import folder_paths
import torch
from comfy.ldm.models.autoencoder import AutoencodingEngine
from comfy.ldm.modules.diffusionmodules.model import AttnBlock, Decoder, Encoder, ResnetBlock
from torch import Tensor
from torch.nn import functional
from torch.nn.functional import pixel_shuffle, pixel_unshuffle

from ...core.loop.room import need_room
from ...core.tiles.group_stats import GroupStats, normalise
from ...core.tiles.tiles import Axis, TileLayout, fit_layout
from ..loop.scratch import Scratch

log = logging.getLogger("isi")

PLAN_TILE = 512
"""Largest side in pixels of what a plan's VAE sees at once, as is the default of the tiled VAE's nodes."""


@dataclass
class Features:
    """What a layer made of the whole picture: `data` `[C, H, W]`, `scale` cells a latent cell, statistics."""

    data: Tensor
    scale: int
    stats: GroupStats | None = None


class Sweeps:
    """Runs layers over all tiles of one picture. `layout` is in latent cells.

    `scores` is how many attention scores are computed at a time: 2^26 take 256 MB in float32.
    """

    def __init__(
        self,
        layout: TileLayout,
        device: torch.device,
        scratch: Scratch,
        progress: Any,
        scores: int = 2**26,
    ):
        self.spans = [(rows, columns) for rows in _spans(layout.rows) for columns in _spans(layout.columns)]
        self.size, self.tile_cells = layout.size, math.prod(layout.tile_size)
        self.device, self.scratch, self.progress = device, scratch, progress
        self.scores = scores
        self.computed = self.needed = 0

    @property
    def area_ratio(self) -> float:
        """Cells computed over cells needed, over all layers."""
        return self.computed / self.needed

    def layer(
        self,
        function: Callable[..., Tensor],
        *inputs: Features,
        channels: int,
        scale: int | None = None,
        into: Tensor | None = None,
        stats: bool = True,
    ) -> Features:
        """`function` of tiles `[1, C, h, w]` of `inputs`, each a cell larger than needed on every side.

        It pads by zeros as the untiled layer does; only what it makes of a tile's own cells is kept.
        `into` may be the data of an input that `function` reads at a tile's own cells only.
        """
        before = inputs[0].scale
        after = scale or before
        out = self.scratch.new(channels, *(after * n for n in self.size)) if into is None else into
        made = Features(out, after, GroupStats(channels) if stats else None)
        for rows, columns in self.spans:
            _next(self.progress)
            ys, y = _with_halo(rows, before, after, self.size[0])
            xs, x = _with_halo(columns, before, after, self.size[1])
            tiles = [part.data[None, :, ys, xs].to(self.device) for part in inputs]
            tile = function(*tiles)[0][:, y, x]
            self.computed += (ys.stop - ys.start) * (xs.stop - xs.start)
            self.needed += math.prod(end - begin for begin, end in (rows, columns)) * before**2
            out[:, _cells(rows, after), _cells(columns, after)] = tile.to(out)
            if made.stats is not None:
                made.stats.add(tile)
        return made

    def resnet(self, block: Any, x: Features) -> Features:
        """Two normalised convolutions and the shortcut: `ResnetBlock.forward` without time embedding."""

        def second(h: Tensor, x: Tensor) -> Tensor:
            h = block.conv2(_act(block.norm2, hidden, h))
            if block.in_channels == block.out_channels:
                return x + h
            return (block.conv_shortcut if block.use_conv_shortcut else block.nin_shortcut)(x) + h

        hidden = self.layer(lambda x_: block.conv1(_act(block.norm1, x, x_)), x, channels=block.out_channels)
        same = block.in_channels == block.out_channels
        return self.layer(second, hidden, x, channels=block.out_channels, into=x.data if same else None)

    def attention(self, block: Any, x: Features) -> Features:
        """Every cell of the latent attends to every other, as in `AttnBlock.forward`, in place."""
        channels, height, width = x.data.shape
        data = x.data.view(1, channels, 1, -1)
        cells = height * width
        stats = GroupStats(channels)
        # No layer sees more cells than a tile has, however large the picture.
        at_once = max(1, min(self.scores // cells, self.tile_cells))
        runs = [slice(begin, min(begin + at_once, cells)) for begin in range(0, cells, at_once)]

        def project(layer: Any, run: slice) -> Tensor:
            """A 1x1 convolution of the normalised cells: `[1, n, C]`."""
            cells = normalise(data[..., run].to(self.device), *_affine(block.norm, x, self.device))
            return layer(cells).squeeze(2).transpose(1, 2)

        keys = torch.cat([project(block.k, run) for run in runs], 1)
        values = torch.cat([project(block.v, run) for run in runs], 1)
        for run in runs:
            comfy.model_management.throw_exception_if_processing_interrupted()
            seen = functional.scaled_dot_product_attention(project(block.q, run), keys, values)
            part = data[..., run].to(self.device) + block.proj_out(seen.transpose(1, 2).unsqueeze(2))
            stats.add(part[0])
            data[..., run] = part.to(data)
        return Features(x.data, x.scale, stats)

    def middle(self, mid: Any, x: Features) -> Features:
        """The middle of an encoder or a decoder."""
        return self.resnet(mid.block_2, self.attention(mid.attn_1, self.resnet(mid.block_1, x)))

    def last(self, network: Any, x: Features) -> Features:
        """The last norm and convolution of an encoder or a decoder."""
        channels = network.conv_out.out_channels
        return self.layer(
            lambda x_: network.conv_out(_act(network.norm_out, x, x_)), x, channels=channels, stats=False
        )

    def decoder(self, network: Any, z: Tensor) -> Features:
        """`Decoder.forward` of `z` `[C, h, w]`."""
        x = self.layer(network.conv_in, Features(z, 1), channels=network.conv_in.out_channels)
        x = self.middle(network.mid, x)
        for level in reversed(range(network.num_resolutions)):
            for block in network.up[level].block:
                x = self.resnet(block, x)
            if level:
                x = self.layer(network.up[level].upsample, x, channels=x.data.shape[0], scale=x.scale * 2)
        x = self.last(network, x)
        return Features(torch.tanh(x.data), x.scale) if network.tanh_out else x

    def encoder(self, network: Any, read: Callable[[Tensor], Tensor], pixels: Tensor) -> Features:
        """`Encoder.forward` of `pixels` `[C, H, W]`, each tile of which is first passed through `read`."""
        x = Features(pixels, 2 ** (network.num_resolutions - 1))
        x = self.layer(lambda p: network.conv_in(read(p)), x, channels=network.conv_in.out_channels)
        for level, down in enumerate(network.down):
            for block in down.block:
                x = self.resnet(block, x)
            if level < network.num_resolutions - 1:
                x = self.layer(down.downsample, x, channels=x.data.shape[0], scale=x.scale // 2)
        return self.last(network, self.middle(network.mid, x))


def _spans(axis: Axis) -> list[tuple[int, int]]:
    """The axis cut at the tiles' ends: first and one past the last cell of each, each cell once."""
    return list(pairwise([0, *(start + axis.tile for start in axis.starts)]))


def _cells(span: tuple[int, int], scale: int) -> slice:
    return slice(span[0] * scale, span[1] * scale)


def _with_halo(span: tuple[int, int], before: int, after: int, length: int) -> tuple[slice, slice]:
    """What a layer from scale `before` to `after` must read for `span`, and where in its result that is.

    One cell more on each side; two where the scale halves, so that the stride stays in step.
    """
    halo = max(1, before // after)
    begin, end = max(0, span[0] * before - halo), min(length * before, span[1] * before + halo)
    first = (span[0] * before - begin) * after // before
    return slice(begin, end), slice(first, first + (span[1] - span[0]) * after)


def _affine(norm: Any, x: Features, device: torch.device) -> tuple[Tensor, Tensor]:
    assert x.stats is not None
    return x.stats.affine(norm.num_groups, norm.weight.to(device), norm.bias.to(device), norm.eps)


def _act(norm: Any, x: Features, tile: Tensor) -> Tensor:
    """`silu(norm(tile))` with the statistics of the whole of `x`."""
    return functional.silu(normalise(tile, *_affine(norm, x, tile.device)))


def _next(progress: Any) -> None:
    """One more tile begins: the place where the host may interrupt."""
    comfy.model_management.throw_exception_if_processing_interrupted()
    if progress is not None:
        progress.update(1)


def is_exact(vae: Any) -> bool:
    """True for the picture autoencoders whose layers this module knows; others get the host's tiling."""
    engine = vae.first_stage_model
    if not isinstance(engine, AutoencodingEngine) or vae.latent_dim != 2:
        return False
    if type(engine.encoder) is not Encoder or type(engine.decoder) is not Decoder:
        return False
    blocks = [module for module in engine.modules() if isinstance(module, ResnetBlock)]
    attention = [module for module in engine.modules() if isinstance(module, AttnBlock)]
    middles = [engine.encoder.mid.attn_1, engine.decoder.mid.attn_1]
    return (
        all(type(block) is ResnetBlock and not hasattr(block, "temb_proj") for block in blocks)
        and all(type(block) is AttnBlock for block in attention)
        and {id(block) for block in attention} == {id(block) for block in middles}
        and isinstance(engine.encoder.conv_in, torch.nn.Conv2d)
        and isinstance(engine.decoder.conv_in, torch.nn.Conv2d)
    )


@torch.no_grad()
def decode(vae: Any, latent: Tensor, tile: int, overlap: int, shown: bool = True) -> Tensor:
    """Pictures `[B, H, W, C]` of `latent`, decoded in tiles of at most `tile` pixels.

    `overlap` in pixels is for VAEs that get the host's own tiling. One tile is the host's plain decode.
    `shown` has the host show the progress. Raises ValueError where there is no room for the pictures.
    """
    unit = vae.spacial_compression_decode()
    if tile >= max(latent.shape[-2:]) * unit:
        return vae.decode(latent)
    if not is_exact(vae) or latent.ndim != 4:
        size, overlap = max(1, tile // unit), min(overlap, tile // 4) // unit
        return vae.decode_tiled(latent, tile_x=size, tile_y=size, overlap=overlap)
    tile_shape = (1, latent.shape[1], tile // unit + 2, tile // unit + 2)
    _load(vae, vae.memory_used_decode(tile_shape, vae.vae_dtype))
    engine = vae.first_stage_model
    height, width = (side * unit for side in latent.shape[-2:])
    channels = engine.decoder.conv_out.out_channels
    # All of them once, and the one in work as it leaves the decoder and as it is processed.
    need_room(
        (len(latent) + 2) * channels * height * width * 4,
        f"{len(latent)} decoded pictures of {width}x{height} pixels",
        "use fewer pictures at once, or a smaller latent",
        vae.output_device,
    )
    pictures = torch.empty(len(latent), channels, height, width, device=vae.output_device)
    with _sweeps(vae, engine.decoder, tile, shown) as sweeps_for:
        for index, one in enumerate(latent):
            z = _into_decoder(engine, one.to(vae.device, vae.vae_dtype).unsqueeze(0))[0]
            sweeps = sweeps_for((z.shape[-2], z.shape[-1]), len(latent))
            picture = sweeps.decoder(engine.decoder, z).data
            pictures[index] = vae.process_output(picture.to(vae.output_device, torch.float32, copy=True))
            log.debug("VAE decode: %d tiles, area ratio %.3f", len(sweeps.spans), sweeps.area_ratio)
    return pictures.movedim(1, -1)


@torch.no_grad()
def encode(vae: Any, pixels: Tensor, tile: int, overlap: int, shown: bool = True) -> Tensor:
    """The latent of pictures `[B, H, W, C]`, encoded in tiles of at most `tile` pixels.

    Cropped to the VAE's multiple and to its channels as the host does. `overlap`, `shown` as in `decode`. To
    a video's VAE a batch is the frames of one video, as in the host's VAEEncodeTiled.
    """
    if tile >= max(pixels.shape[1:3]):
        return vae.encode(pixels)
    if not is_exact(vae):
        return vae.encode_tiled(pixels, tile_x=tile, tile_y=tile, overlap=min(overlap, tile // 4))
    pixels = vae.vae_encode_crop_pixels(pixels).movedim(-1, 1)
    _load(vae, vae.memory_used_encode((1, pixels.shape[1], tile + 16, tile + 16), vae.vae_dtype))
    engine = vae.first_stage_model
    factor = 2 ** (engine.encoder.num_resolutions - 1)
    latents = []
    with _sweeps(vae, engine.encoder, tile, shown) as sweeps_for:
        for one in pixels:
            sweeps = sweeps_for((one.shape[-2] // factor, one.shape[-1] // factor), len(pixels))
            read = lambda p: vae.process_input(p).to(vae.vae_dtype)  # noqa: E731
            h = sweeps.encoder(engine.encoder, read, one).data
            z = _out_of_encoder(engine, h.to(vae.device).unsqueeze(0))
            latents.append(z[0].to(vae.output_device, torch.float32))
            log.debug("VAE encode: %d tiles, area ratio %.3f", len(sweeps.spans), sweeps.area_ratio)
    return torch.stack(latents)


def plan_tile(height: int, width: int) -> int:
    """Largest side in pixels of a VAE's tile where the sampler's tiles are `height` x `width` pixels."""
    return min(height, width, PLAN_TILE)


def in_tiles(vae: Any, height: int, width: int) -> Any:
    """A view of a VAE that works in tiles on whatever is larger than `height` x `width` pixels.

    A VAE whose tiles can't be made exact is returned as it is. The progress is the run's own.
    """
    if not is_exact(vae):
        return vae
    tile = plan_tile(height, width)

    def fits(rows: int, columns: int) -> bool:
        return rows <= height and columns <= width

    def encode_view(pixels: Tensor) -> Tensor:
        return vae.encode(pixels) if fits(*pixels.shape[1:3]) else encode(vae, pixels, tile, 0, shown=False)

    def decode_view(samples: Tensor) -> Tensor:
        unit = vae.spacial_compression_decode()
        whole = fits(*(side * unit for side in samples.shape[-2:]))
        return vae.decode(samples) if whole else decode(vae, samples, tile, 0, shown=False)

    view = copy.copy(vae)
    view.encode, view.decode = encode_view, decode_view
    return view


def _load(vae: Any, memory: float) -> None:
    comfy.model_management.load_models_gpu(
        [vae.patcher], memory_required=int(memory), force_full_load=vae.disable_offload
    )


@contextmanager
def _sweeps(
    vae: Any, network: Any, tile: int, shown: bool
) -> Iterator[Callable[[tuple[int, int], int], Sweeps]]:
    """Makes `Sweeps` for a size in latent cells, of a batch whose pictures share one progress bar."""
    blocks = sum(isinstance(module, ResnetBlock) for module in network.modules())
    layers = 2 * blocks + 2 + network.num_resolutions - 1
    unit = 2 ** (network.num_resolutions - 1)
    progress: list[Any] = []
    temp = folder_paths.get_temp_directory()
    Path(temp).mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=temp, ignore_cleanup_errors=True) as folder:
        scratch = Scratch(vae.device, vae.vae_dtype, Path(folder))

        def sweeps_for(size: tuple[int, int], batch: int) -> Sweeps:
            layout = fit_layout(*size, max(1, tile // unit), 0)
            if shown and not progress:
                progress.append(comfy.utils.ProgressBar(layers * len(layout) * batch))
            return Sweeps(layout, vae.device, scratch, progress[0] if progress else None)

        yield sweeps_for


def _into_decoder(engine: Any, z: Tensor) -> Tensor:
    """What `decode` of the engine does before its decoder: these layers see one latent cell at a time."""
    if getattr(engine, "bn", None) is not None:
        mean, deviation = _batch_norm(engine, z)
        z = pixel_shuffle(z * deviation + mean, engine.ps[0])
    return engine.post_quant_conv(z) if hasattr(engine, "quant_conv") else z


def _out_of_encoder(engine: Any, z: Tensor) -> Tensor:
    """What `encode` of the engine does after its encoder."""
    if hasattr(engine, "quant_conv"):
        z = engine.quant_conv(z)
    z, _ = engine.regularization(z)
    if getattr(engine, "bn", None) is not None:
        z = pixel_unshuffle(z, engine.ps[0])
        mean, deviation = _batch_norm(engine, z)
        z = (z - mean) / deviation
    return z


def _batch_norm(engine: Any, z: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and deviation `[1, C, 1, 1]` of the latent's batch norm (Flux.2)."""
    mean = engine.bn.running_mean.to(z).view(1, -1, 1, 1)
    return mean, (engine.bn.running_var.to(z).view(1, -1, 1, 1) + engine.bn_eps).sqrt()
