"""Tiled sampling: at each step all tiles are denoised and blended before the sampler goes on.

MultiDiffusion (arXiv:2302.08113) with the smooth weights of Mixture of Diffusers (arXiv:2302.02412), through
the host's context-handler seam: each tile goes through the host's own batching, offloading and memory count.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import comfy.context_windows
import comfy.model_management
import comfy.patcher_extension
import comfy.sampler_helpers
import comfy.utils
import torch
from torch import Tensor

from ...core.loop.sigmas import step_of
from ...core.pictures.flat import detail_map
from ...core.tiles.blend import TileWeights
from ...core.tiles.tiles import Tile, TileLayout
from ...core.tiles.tiling import Tiling
from ..inside.during import noise_level
from ..inside.frequency import locked_tile
from ..loop.moment import Moment, StepExtra
from ..models import geometry
from .attention_guidance import TiledGuidance, guided_by_tiles, watched
from .positions import has_places, with_places
from .tile_conds import Cut, TileCut, cut_cond, touches
from .tile_patches import check_patches, cut_patches, held_pictures, with_patches
from .tiled_vae import in_tiles

log = logging.getLogger("isi")

KEY = "isi_tiled"
WRAPPERS = comfy.patcher_extension.WrappersMP

LOW_DENOISE = 0.5
"""Flat tiles are only left out when sampling starts at or below this share of the schedule."""


@dataclass
class TiledRun:
    """What lives for one sampling run: its conditions by tile, the detail of its picture, its progress."""

    guider: Any
    latent: Tensor
    steps: int
    detail: Tensor | None = None
    prompts: tuple[list[dict], ...] = ()
    kept: dict = field(default_factory=dict)
    guidances: list[TiledGuidance] = field(default_factory=list)
    progress: comfy.utils.ProgressBar | None = None


@dataclass(frozen=True)
class TileWindow(comfy.context_windows.ContextWindowABC):
    """Tiles that go through the model together, as the host's handlers know windows."""

    cut: TileCut
    weights: TileWeights
    ratio: int

    @property
    def pictures(self) -> int:
        return self.cut.count * self.cut.batch

    def get_tensor(self, full: Tensor) -> Tensor:
        return self.cut.tensor(full)

    def add_window(self, full: Tensor, to_add: Tensor) -> Tensor:
        for tile, piece in zip(self.cut.tiles, to_add.chunk(self.cut.count), strict=True):
            self.cut.layout.add(full, tile, piece * self.weights[tile])
        return full


class TiledHandler(comfy.context_windows.ContextHandlerABC):
    """The host asks this object to evaluate the model; it does so tile by tile.

    `prompts` are CONDITIONINGs, one a tile row by row; `share` (0..1) is how much the positive prompt of the
    whole picture counts in each tile beside its own.
    """

    run: TiledRun | None = None

    def __init__(
        self, tiling: Tiling, prompts: Sequence[list] = (), share: float = 0.0, progress: bool = True
    ):
        self.tiling = tiling
        self.prompts = tuple(prompts)
        self.share = share
        self.progress = progress

    def layout(self, model: Any, shape: Sequence[int]) -> TileLayout:
        """The tiles of a latent of this shape."""
        return self.tiling.layout(shape[-2], shape[-1], pixel_ratio(model), auto_tile(model))

    def begin(self, guider: Any, latent: Tensor, sigmas: Tensor) -> TiledHandler:
        """This handler for one run. Raises ValueError before anything is loaded or sampled."""
        model = guider.model_patcher.model
        if latent.ndim not in (4, 5):
            raise ValueError(
                f"Tiled sampling works on pictures and videos; got a latent of shape {list(latent.shape)}. "
                "Connect a LATENT of an image, or take ISI Tiled Sampling out for this model."
            )
        layout = self.layout(model, latent.shape)
        if self.prompts and len(self.prompts) != len(layout):
            raise ValueError(
                f"This picture has {len(layout)} tiles ({len(layout.rows)} rows of {len(layout.columns)}), "
                f"but {len(self.prompts)} prompts are connected to tile_prompts: connect one for each tile, "
                "row by row (ISI Upscale Cost shows the grid)."
            )
        handler = copy.copy(self)
        handler.run = TiledRun(guider, latent, max(1, len(sigmas) - 1))
        if self.splits(layout):
            handler.run.guidances = guided_by_tiles(guider.model_options)
            check_patches(guider.model_options, layout.size, pixel_ratio(model))
        if self.progress and not layout.whole:
            handler.run.progress = comfy.utils.ProgressBar(1)
        for i, prompt in enumerate(self.prompts):
            guider.conds[f"{KEY}_{i}"] = comfy.sampler_helpers.convert_cond(prompt)
        if self.tiling.skip_flat and noise_level(model.model_sampling, sigmas[:1]) <= LOW_DENOISE:
            handler.run.detail = latent_detail(model, latent)
        height, width = (side * pixel_ratio(model) for side in layout.tile_size)
        log.info("Tiled sampling: %d tiles of %d x %d pixels.", len(layout), width, height)
        return handler

    def splits(self, layout: TileLayout) -> bool:
        """Whether the model is shown parts: one tile that covers all is the host's own sampling."""
        return not layout.whole or bool(self.prompts)

    def should_use_context(self, model, conds, x_in, timestep, model_options) -> bool:
        return self.splits(self.layout(model, x_in.shape))

    def get_resized_cond(self, cond_in, x_in, window, device=None) -> list:
        """The conditions `cond_in` of a canvas `x_in`, for the tiles of `window` (a `TileWindow`)."""
        assert isinstance(window, TileWindow)
        ratio, kept = window.ratio, self.run.kept if self.run else {}
        return [c for cond in cond_in if (c := cut_cond(cond, window.cut, x_in.shape, ratio, kept))]

    def execute(self, calc_cond_batch, model, conds, x_in, timestep, model_options) -> list[Tensor]:
        """The model's answer for each list of conditions, on the whole canvas."""
        step = int(step_of(timestep[0], model_options["transformer_options"]["sample_sigmas"]))
        ratio = pixel_ratio(model)
        layout = self.tiling.at_step(self.layout(model, x_in.shape), step, ratio)
        weights = TileWeights(layout, self.tiling.blend, self.tiling.margin(ratio), x_in.device)
        out = [torch.zeros_like(x_in) for _ in conds]
        groups = list(self._groups(model, layout, conds, x_in, bool(held_pictures(model_options))))
        cuts = [TileCut(layout, tiles, x_in.shape[0]) for tiles, _ in groups]
        options = self.patched_options(model, model_options, cuts, x_in)
        placed = self.placed(model)
        guidances = self.guidances()
        for done, (tiles, tile_conds) in enumerate(groups, 1):
            comfy.model_management.throw_exception_if_processing_interrupted()
            window = TileWindow(cuts[done - 1], weights, ratio)
            with watched(guidances, window):
                if self._flat(layout, tiles[0]):
                    parts = [window.get_tensor(self._source(model, x_in))] * len(conds)
                else:
                    own = options(done - 1)
                    parts = calc_cond_batch(
                        model,
                        [c if c is None else self.get_resized_cond(c, x_in, window) for c in tile_conds],
                        window.get_tensor(x_in),
                        timestep.repeat(len(tiles)),
                        with_places(own, model, layout, tiles[0]) if placed else own,
                    )
            for canvas, part in zip(out, parts, strict=True):
                window.add_window(canvas, locked_tile(part, window.get_tensor, model_options))
            self._report(step, done, len(groups))
        return out

    def guidances(self) -> list[TiledGuidance]:
        """What guides by the attention of each tile, for an evaluation that begins."""
        found = self.run.guidances if self.run else []
        for one in found:
            one.begin()
        return found

    def placed(self, model: Any) -> bool:
        """Whether the model is told where each tile lies, so that tiles can't share a call."""
        return self.tiling.origin == "canvas" and has_places(model)

    def patched_options(self, model, model_options, cuts: Sequence[Cut], x_in) -> Callable[[int], dict]:
        """Options for the cut of an index: patches that hold a picture hold the part of that cut.

        The parts of one kind of cuts are kept until others are asked for.
        """
        patches = held_pictures(model_options)
        if not patches:
            return lambda index: model_options
        kept, kind = self.run.kept if self.run else {}, type(cuts[0])
        key = tuple(cuts), tuple(map(id, patches))
        if kept.get(kind, (None, None))[0] != key:
            kept.pop(kind, None)
            kept[kind] = key, cut_patches(patches, cuts, x_in.shape, pixel_ratio(model))
        copies = kept[kind][1]
        return lambda index: with_patches(model_options, copies[index], x_in.device)

    def _groups(self, model, layout, conds, x_in, alone) -> Iterator[tuple[tuple[Tile, ...], list]]:
        """Tiles that can share a model call, with the conditions they share; `alone`: none can."""
        batch = 1 if alone or self.placed(model) else self.tiling.batch
        waiting: list[Tile] = []
        last_key, last_conds = None, []
        for i, tile in enumerate(layout):
            tile_conds = [self._with_tile_prompt(cond, i) for cond in conds]
            key = self._key(tile_conds, TileCut(layout, (tile,), x_in.shape[0]), x_in.shape)
            if waiting and (key is None or key != last_key or len(waiting) == batch):
                yield tuple(waiting), last_conds
                waiting = []
            waiting.append(tile)
            last_key, last_conds = key, tile_conds
        yield tuple(waiting), last_conds

    def _key(self, conds: list, cut: TileCut, shape: torch.Size) -> tuple | None:
        """Equal for tiles whose conditions have the same form; None for a tile that must stay alone."""
        if self._flat(cut.layout, cut.tiles[0]) or any("gligen" in c for cond in conds for c in cond or ()):
            return None
        return tuple(
            tuple((c["uuid"], touches(c, cut, shape)) for c in cond) if cond is not None else None
            for cond in conds
        )

    def _with_tile_prompt(self, cond: list[dict] | None, index: int) -> list[dict] | None:
        """The positive conditions with the tile's own prompt mixed in; other lists as they are."""
        if cond is None or not (self.run and self.prompts):
            return cond
        if cond is not self.run.guider.conds.get("positive"):
            return cond
        # The host appends conditions to match areas elsewhere: only the prompt's own count.
        own = self.run.guider.conds[f"{KEY}_{index}"][: len(self.prompts[index])]
        if self.share <= 0:
            return own
        if self.share >= 1:
            return cond
        return [_weighed(c, self.share) for c in cond] + [_weighed(c, 1 - self.share) for c in own]

    def _flat(self, layout: TileLayout, tile: Tile) -> bool:
        if self.run is None or self.run.detail is None or self.run.detail.shape[-2:] != layout.size:
            return False
        return bool(layout.cut(self.run.detail, tile).max() < self.tiling.skip_flat)

    def _source(self, model: Any, x_in: Tensor) -> Tensor:
        """The latent that sampling started from, as the model sees it."""
        assert self.run is not None
        if "source" not in self.run.kept:
            self.run.kept["source"] = model.process_latent_in(self.run.latent.to(x_in))
        return self.run.kept["source"]

    def _report(self, step: int, done: int, total: int) -> None:
        if self.run and self.run.progress:
            self.run.progress.update_absolute(step * total + done, self.run.steps * total)


def patch_tiled(model: Any, handler: TiledHandler) -> Any:
    """A clone of a MODEL that samples in tiles. Raises ValueError where another node holds the seam."""
    held = model.model_options.get("context_handler")
    if held is not None and not isinstance(held, TiledHandler):
        raise ValueError(
            "Tiled sampling and context windows both decide how the model is evaluated, and this MODEL has "
            "context windows: bypass the Context Windows node, or connect a MODEL from before it."
        )
    handler.tiling.check(pixel_ratio(model.model))
    model = model.clone()
    model.model_options["context_handler"] = handler
    wrappers: tuple[tuple[str, Callable], ...] = (
        (WRAPPERS.OUTER_SAMPLE, _outer_sample),
        (WRAPPERS.PREPARE_SAMPLING, _prepare_sampling),
    )
    for kind, wrapper in wrappers:
        model.remove_wrappers_with_key(kind, KEY)
        model.add_wrapper_with_key(kind, KEY, wrapper)
    return model


def _outer_sample(executor, noise, latent_image, sampler, sigmas, *args, latent_shapes=None, **kwargs):
    """Gives one sampling run a handler of its own, so that nothing outlives it."""
    guider = executor.class_obj
    handler = guider.model_options.get("context_handler")
    if not isinstance(handler, TiledHandler):
        raise ValueError(
            "A Context Windows node after ISI Tiled Sampling takes its place: bypass one of the two."
        )
    guider.model_options["context_handler"] = handler.begin(guider, latent_image, sigmas)
    return executor(noise, latent_image, sampler, sigmas, *args, latent_shapes=latent_shapes, **kwargs)


def _prepare_sampling(executor, model, noise_shape, conds, *args, **kwargs):
    """Has the host reserve memory for a batch of tiles, not for the canvas."""
    handler = kwargs["model_options"]["context_handler"]
    layout = handler.layout(model.model, noise_shape)
    if layout.whole:
        return executor(model, noise_shape, conds, *args, **kwargs)
    batch = noise_shape[0] * min(handler.tiling.batch, len(layout))
    shape = [batch, *noise_shape[1:-2], *layout.tile_size]
    seen = {name: [_references_cut(cond, layout) for cond in conds[name]] for name in conds}
    real_model, _, models = executor(model, shape, seen, *args, **kwargs)
    return real_model, conds, models


def _references_cut(cond: dict, layout: TileLayout) -> dict:
    """A condition as the host's memory estimate should see it: reference latents at tile size."""
    if "reference_latents" not in cond:
        return cond
    tile = next(iter(layout))
    references = cond["reference_latents"]
    return cond | {
        "reference_latents": [
            layout.cut(latent, tile) if latent.shape[-2:] == layout.size else latent for latent in references
        ]
    }


def pixel_ratio(model: Any) -> int:
    """Pixels a latent cell, of a BaseModel."""
    return model.latent_format.spacial_downscale_ratio


def auto_tile(model: Any) -> int:
    """Longest side in pixels of an automatic tile, of a BaseModel."""
    return geometry.auto_tile(model.latent_format)


def latent_detail(model: Any, latent: Tensor) -> Tensor | None:
    """`[H, W]` detail (0..1) of a latent, seen through the host's preview colours; None without those."""
    form = model.latent_format
    if form.latent_rgb_factors is None or form.latent_rgb_factors_reshape or not torch.count_nonzero(latent):
        return None
    seen = model.process_latent_in(latent.float().cpu()).movedim(1, -1).flatten(0, -4)
    colours = torch.nn.functional.linear(seen, torch.tensor(form.latent_rgb_factors).T.to(seen)) / 2
    return detail_map(colours).amax(0)


def _weighed(cond: dict, weight: float) -> dict:
    return cond | {"strength": cond.get("strength", 1.0) * weight}


class TiledExtra(StepExtra[Tiling]):
    """A plan's step that samples in tiles."""

    value = Tiling

    def check(self, value: Tiling, model: Any, vae: Any) -> None:
        patch_tiled(model, TiledHandler(value))

    def vae(self, vae: Any, value: Tiling, model: Any) -> Any:
        return in_tiles(vae, *value.largest(auto_tile(model.model)))

    def patch(self, moment: Moment, value: Tiling) -> Moment:
        return replace(moment, model=patch_tiled(moment.model, TiledHandler(value, progress=False)))
