"""DemoFusion in the host's samplers: skip residual, dilated sampling and the first stage's statistics.

The equations are in `core.tiles.demofusion`. The local path is tiled sampling; the global path runs the model
on every s-th cell of the picture, so it never sees more than a tile either.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import comfy.model_management
import comfy.patcher_extension
import comfy.utils
import torch
from torch import Tensor

from ...core.inside.mix import cosine_weight
from ...core.tiles import demofusion as paper
from ...core.tiles.blend import TileWeights
from ...core.tiles.demofusion import DemoFusion
from ...core.tiles.tiles import TileLayout
from ...core.tiles.tiling import Tiling
from ..inside.during import SamplingRun, ahead_of_predictions, noise_level
from ..inside.mix import mixing
from ..loop.moment import Moment, Needs, StepExtra
from . import tiled
from .attention_guidance import watched
from .tile_conds import TileCut, cut_cond
from .tiled import TiledHandler, TileWindow, auto_tile, patch_tiled, pixel_ratio

KEY = "isi_demofusion"
OUTER_SAMPLE = comfy.patcher_extension.WrappersMP.OUTER_SAMPLE


@dataclass(frozen=True)
class DilatedCut:
    """Every `scale`-th cell of the canvas from each of `offsets` (y, x), as a batch of small pictures."""

    size: tuple[int, int]
    scale: int
    offsets: tuple[tuple[int, int], ...]
    batch: int

    @property
    def part(self) -> tuple[int, int]:
        return -(-self.size[0] // self.scale), -(-self.size[1] // self.scale)

    @property
    def count(self) -> int:
        return len(self.offsets)

    def tensor(self, full: Tensor, scale: int = 1) -> Tensor:
        if self.count > 1:
            full = comfy.utils.repeat_to_batch_size(full, self.batch)
        parts = []
        for y, x in self.offsets:
            rows = _pixels(paper.sparse_rows(self.size[0], self.scale, y), scale).to(full.device)
            columns = _pixels(paper.sparse_rows(self.size[1], self.scale, x), scale).to(full.device)
            parts.append(full.index_select(-2, rows).index_select(-1, columns))
        return torch.cat(parts)

    def hint(self, full: Tensor, scale: int, algorithm: str, kept: dict) -> Tensor:
        # The host shrinks a whole hint to the small picture, as it would for one of that size.
        if self.count == 1 or full.shape[0] == 1:
            return full
        return comfy.utils.repeat_to_batch_size(full, self.batch).repeat(self.count, 1, 1, 1)

    def box(self, height: int, width: int, y: int, x: int) -> tuple[int, int, int, int] | None:
        y, x = min(y // self.scale, self.part[0] - 1), min(x // self.scale, self.part[1] - 1)
        height, width = max(1, height // self.scale), max(1, width // self.scale)
        return min(height, self.part[0] - y), min(width, self.part[1] - x), y, x

    def put(self, canvas: Tensor, parts: Tensor) -> None:
        """Writes the small pictures back to their cells of `canvas`, in place."""
        for (y, x), part in zip(self.offsets, parts.chunk(self.count), strict=True):
            cells = canvas[..., y :: self.scale, x :: self.scale]
            cells.copy_(part[..., : cells.shape[-2], : cells.shape[-1]])


def _pixels(cells: Tensor, scale: int) -> Tensor:
    return (cells.unsqueeze(1) * scale + torch.arange(scale)).flatten()


class DemoFusionHandler(TiledHandler):
    """Tiled sampling fused with dilated sampling."""

    def __init__(self, demofusion: DemoFusion, tiling: Tiling):
        super().__init__(tiling, progress=False)
        self.demofusion = demofusion

    def stride(self, model: Any, shape: torch.Size) -> int:
        """s, or more where every s-th cell would still be a picture larger than a tile."""
        limits = [side // pixel_ratio(model) for side in self.tiling.largest(auto_tile(model))]
        return max(
            self.demofusion.scale, *(-(-n // most) for n, most in zip(shape[-2:], limits, strict=True))
        )

    def splits(self, layout: TileLayout) -> bool:
        return True

    def execute(self, calc_cond_batch, model, conds, x_in, timestep, model_options) -> list[Tensor]:
        evaluate = super().execute
        layout = self.layout(model, x_in.shape)
        if super().splits(layout):
            local = evaluate(calc_cond_batch, model, conds, x_in, timestep, model_options)
        else:
            with watched(self.guidances(), _whole(layout, x_in)):
                local = calc_cond_batch(model, conds, x_in, timestep, model_options)
        t = noise_level(model.model_sampling, timestep)
        c2 = cosine_weight(t, self.demofusion.alpha2)
        if c2 == 0:
            return local
        s = self.stride(model, x_in.shape)
        x_g = paper.blurred(x_in, s, cosine_weight(t, self.demofusion.alpha3))
        sparse = self._sparse(calc_cond_batch, model, conds, x_g, s, timestep, model_options)
        return [
            paper.fused(here, paper.dilated(x_in, x_g, there), c2)
            for here, there in zip(local, sparse, strict=True)
        ]

    def _sparse(self, calc_cond_batch, model, conds, x_g, s, timestep, model_options) -> list[Tensor]:
        """The model's answer on every s-th cell, for all s * s offsets, put together on the canvas."""
        out = [torch.zeros_like(x_g) for _ in conds]
        offsets = [(y, x) for y in range(s) for x in range(s)]
        kept, size = self.run.kept if self.run else {}, (x_g.shape[-2], x_g.shape[-1])
        # All sparse pictures are of one size, at which a held picture is shown whole.
        whole = DilatedCut(size, s, ((0, 0),), x_g.shape[0])
        options = self.patched_options(model, model_options, [whole], x_g)(0)
        for i in range(0, len(offsets), self.tiling.batch):
            comfy.model_management.throw_exception_if_processing_interrupted()
            group = tuple(offsets[i : i + self.tiling.batch])
            cut = DilatedCut(size, s, group, x_g.shape[0])
            x, ratio, sigma = cut.tensor(x_g), pixel_ratio(model), timestep.repeat(cut.count)
            part_conds = [
                c if c is None else [p for one in c if (p := cut_cond(one, cut, x_g.shape, ratio, kept))]
                for c in conds
            ]
            parts = calc_cond_batch(model, part_conds, x, sigma, options)
            for canvas, part in zip(out, parts, strict=True):
                cut.put(canvas, part)
        return out


def _whole(layout: TileLayout, canvas: Tensor) -> TileWindow:
    """The one tile of a layout that covers all."""
    weights = TileWeights(layout, "linear", device=canvas.device)
    return TileWindow(TileCut(layout, tuple(layout), canvas.shape[0]), weights, 1)


def patch_demofusion(model: Any, demofusion: DemoFusion) -> Any:
    """A clone of a MODEL that samples as DemoFusion does at `scale`; at scale 1 the model itself.

    The tiling of the local path is the one that the model has, or the automatic one.
    """
    if demofusion.scale < 2:
        return model
    held = model.model_options.get("context_handler")
    tiling = held.tiling if isinstance(held, TiledHandler) else Tiling()
    model = patch_tiled(model, DemoFusionHandler(demofusion, tiling))

    def begin(run: SamplingRun):
        return None if run.start is None else mixing(demofusion.alpha1)

    def outer_sample(executor, noise, latent_image, sampler, sigmas, denoise_mask=None, *args, **kwargs):
        out = executor(noise, latent_image, sampler, sigmas, denoise_mask, *args, **kwargs)
        # Under a mask the statistics of the whole are not the sampler's to keep.
        return out if denoise_mask is not None else paper.with_statistics(out, latent_image.to(out))

    model.remove_wrappers_with_key(OUTER_SAMPLE, KEY)
    model.add_wrapper_with_key(OUTER_SAMPLE, KEY, outer_sample)
    return ahead_of_predictions(model, KEY, begin)


def unpatched(model: Any) -> Any:
    """A clone of a MODEL without tiling and DemoFusion; one that has neither is returned as it is."""
    if not isinstance(model.model_options.get("context_handler"), TiledHandler):
        return model
    model = model.clone()
    del model.model_options["context_handler"]
    for kind in (OUTER_SAMPLE, comfy.patcher_extension.WrappersMP.PREPARE_SAMPLING):
        for key in (KEY, tiled.KEY):
            model.remove_wrappers_with_key(kind, key)
    return model


class DemoFusionExtra(StepExtra[DemoFusion]):
    """A plan's step that samples as DemoFusion does. Comes after `tiled`, whose tiles it uses."""

    value = DemoFusion

    def needs(self, value: DemoFusion) -> Needs:
        return Needs("DemoFusion", picture=value.scale > 1)

    def check(self, value: DemoFusion, model: Any, vae: Any) -> None:
        patch_demofusion(model, value)

    def patch(self, moment: Moment, value: DemoFusion) -> Moment:
        return replace(moment, model=patch_demofusion(moment.model, value))
