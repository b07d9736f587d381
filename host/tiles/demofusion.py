"""DemoFusion in the host's samplers: skip residual, dilated sampling and the first stage's statistics.

The equations are in `core.tiles.demofusion`. The local path is tiled sampling; the global path runs the model
on every s-th cell of the picture, so it never sees more than a tile either.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from typing import Any

import comfy.model_management
import comfy.patcher_extension
import comfy.samplers
import comfy.utils
import torch
from torch import Tensor

from ...core.tiles import demofusion as paper
from ...core.tiles.demofusion import DemoFusion
from ...core.tiles.tiles import TileLayout
from ...core.tiles.tiling import Tiling
from ..loop.moment import Moment, Needs, StepExtra
from . import tiled
from .tile_conds import cut_cond
from .tiled import TiledHandler, auto_tile, noise_level, patch_tiled, pixel_ratio

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
        if super().splits(self.layout(model, x_in.shape)):
            local = evaluate(calc_cond_batch, model, conds, x_in, timestep, model_options)
        else:
            local = calc_cond_batch(model, conds, x_in, timestep, model_options)
        t = noise_level(model.model_sampling, timestep)
        c2 = paper.cosine_weight(t, self.demofusion.alpha2)
        if c2 == 0:
            return local
        s = self.stride(model, x_in.shape)
        x_g = paper.blurred(x_in, s, paper.cosine_weight(t, self.demofusion.alpha3))
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


def patch_demofusion(model: Any, demofusion: DemoFusion) -> Any:
    """A clone of a MODEL that samples as DemoFusion does at `scale`; at scale 1 the model itself.

    The tiling of the local path is the one that the model has, or the automatic one.
    """
    if demofusion.scale < 2:
        return model
    held = model.model_options.get("context_handler")
    tiling = held.tiling if isinstance(held, TiledHandler) else Tiling()
    model = patch_tiled(model, DemoFusionHandler(demofusion, tiling))

    def outer_sample(executor, noise, latent_image, sampler, sigmas, denoise_mask=None, *args, **kwargs):
        base = executor.class_obj.model_patcher.model
        source = base.process_latent_in(latent_image)
        skipping = with_skip_residual(sampler, base.model_sampling, noise, source, demofusion.alpha1)
        out = executor(noise, latent_image, skipping, sigmas, denoise_mask, *args, **kwargs)
        # Under a mask the statistics of the whole are not the sampler's to keep.
        return out if denoise_mask is not None else paper.with_statistics(out, latent_image.to(out))

    model.remove_wrappers_with_key(OUTER_SAMPLE, KEY)
    model.add_wrapper_with_key(OUTER_SAMPLE, KEY, outer_sample)
    return model


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


def with_skip_residual(sampler: Any, model_sampling: Any, noise: Tensor, z_0: Tensor, alpha1: float) -> Any:
    """A copy of a SAMPLER that pulls its picture to the noised `z_0` before each model call.

    Raises ValueError for a sampler that is not one of the host's step functions.
    """
    if not isinstance(sampler, comfy.samplers.KSAMPLER):
        raise ValueError(
            "DemoFusion changes the picture between a sampler's steps, which this SAMPLER does not allow: "
            "choose one of KSampler's, such as euler."
        )
    function = sampler.sampler_function

    def sample(model, x, sigmas, **options):
        return function(
            _SkipResidual(model, model_sampling, noise.to(x), z_0.to(x), alpha1), x, sigmas, **options
        )

    skipping = copy.copy(sampler)
    skipping.sampler_function = sample
    return skipping


class _SkipResidual:
    """The model as a sampler sees it, which mixes the noised z_0 into the sampler's own x."""

    def __init__(self, inner: Any, model_sampling: Any, noise: Tensor, z_0: Tensor, alpha1: float):
        self._inner, self._model_sampling = inner, model_sampling
        self._noise, self._z_0, self._alpha1 = noise, z_0, alpha1

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def __call__(self, x: Tensor, sigma: Tensor, **options) -> Tensor:
        c1 = paper.cosine_weight(noise_level(self._model_sampling, sigma), self._alpha1)
        noised = self._model_sampling.noise_scaling(sigma[:1], self._noise, self._z_0)
        # In place: the sampler must go on from the mixed picture, not only have it judged.
        x.copy_(paper.skip_residual(x, noised, c1))
        return self._inner(x, sigma, **options)


class DemoFusionExtra(StepExtra[DemoFusion]):
    """A plan's step that samples as DemoFusion does. Comes after `tiled`, whose tiles it uses."""

    value = DemoFusion

    def needs(self, value: DemoFusion) -> Needs:
        return Needs("DemoFusion", picture=value.scale > 1)

    def check(self, value: DemoFusion, model: Any, vae: Any) -> None:
        patch_demofusion(model, value)

    def patch(self, moment: Moment, value: DemoFusion) -> Moment:
        return replace(moment, model=patch_demofusion(moment.model, value))
