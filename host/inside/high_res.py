"""ISI High Res: HiDiffusion's two parts (arXiv:2311.17528) in the UNets of the host."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import comfy.latent_formats
import comfy.model_base
import comfy.patcher_extension
from comfy.ldm.modules.attention import SpatialTransformer
from comfy.ldm.modules.diffusionmodules.openaimodel import Downsample, UNetModel, Upsample
from torch import Tensor, nn

from ...core.inside.high_res import halvings, into_windows, out_of_windows, shift, thinned, windows
from ...core.inside.portion import Portion
from ..loop.noise import cell_width
from .during import SamplingRun, around_predictions

KEY = "ISI_HighRes"


@dataclass(frozen=True)
class Blocks:
    """Where a UNet halves, and where it first looks at all of a picture.

    `downs` are the input blocks that halve; `outer` the level (0 is the latent's own size) of the first
    blocks with attention, `attention` their places.
    """

    downs: tuple[int, ...]
    outer: int
    attention: frozenset[tuple[str, int]]


def blocks_of(unet: Any) -> Blocks | None:
    """The blocks of a UNet of the host; None for other models, and for a UNet without them."""
    if not isinstance(unet, UNetModel):
        return None
    downs = tuple(at for at, block in enumerate(unet.input_blocks) if _has(block, Downsample))
    levels = {("input", at): sum(down <= at for down in downs) for at in range(len(unet.input_blocks))}
    level = len(downs)
    for at, block in enumerate(unet.output_blocks):
        levels["output", at] = level
        level -= _has(block, Upsample)
    parts = {"input": unet.input_blocks, "output": unet.output_blocks}
    looking = {place for place in levels if _has(parts[place[0]][place[1]], SpatialTransformer)}
    if not downs or not looking:
        return None
    outer = min(levels[place] for place in looking)
    return Blocks(downs, outer, frozenset(place for place in looking if levels[place] == outer))


def _has(block: Any, kind: type[nn.Module]) -> bool:
    return any(type(part) is kind for part in block)


def trained_size(model: Any) -> int:
    """The side in pixels that a MODEL was trained at: SD 1.5 512, SD 2 with v 768, SDXL 1024."""
    if type(model.get_model_object("latent_format")) is not comfy.latent_formats.SD15:
        return 1024
    return 768 if model.model.model_type == comfy.model_base.ModelType.V_PREDICTION else 512


def patch_high_res(model: Any, portion: Portion, windowed: bool, trained: int = 0) -> Any:
    """A clone of a MODEL whose deep blocks are as large as at `trained` pixels (0: what its kind was trained
    at) in the steps of `portion`, and whose outer attention looks at windows of that size, in all steps.

    What is no larger than that is left alone, bit for bit. A second one takes the place of the first.
    Raises ValueError for models without these blocks.
    """
    blocks = blocks_of(model.get_model_object("diffusion_model"))
    if blocks is None:
        raise ValueError(
            "ISI High Res works on the UNets of SD 1.5, SD 2 and SDXL, and this is another kind of model: "
            "take it out, or connect such a model."
        )
    cells = (trained or trained_size(model)) / cell_width(model)

    def begin(run: SamplingRun):
        steps = portion.steps(run.count)
        if not steps and not windowed:
            return None

        def around(run: SamplingRun, predict: Callable[[], Tensor], x: Tensor, options: dict) -> Tensor:
            inner = options["model_options"].setdefault("transformer_options", {})
            call = Call(blocks, cells, run.step, run.step in steps, windowed)
            before = {name: inner.get(name) for name in ("patches", "wrappers")}
            inner.update(call.added(before["patches"] or {}, before["wrappers"] or {}))
            try:
                return predict()
            finally:
                for name, value in before.items():
                    inner.pop(name) if value is None else inner.update({name: value})

        return around

    model = model.clone()
    model.remove_wrappers_with_key(comfy.patcher_extension.WrappersMP.SAMPLER_SAMPLE, KEY)
    return around_predictions(model, KEY, begin)


@dataclass(frozen=True)
class Call:
    """What is done in one call of the model, which may be one tile of a picture: by the size that it sees."""

    blocks: Blocks
    cells: float
    step: int
    deep: bool
    windowed: bool

    def added(self, patches: dict, wrappers: dict) -> dict:
        """`transformer_options` with these patches of the host beside those that are there.

        Windows are cut last and joined first, so that other patches see whole pictures.
        """
        kind = comfy.patcher_extension.WrappersMP.DIFFUSION_MODEL
        patches, wrappers = dict(patches), dict(wrappers)
        if self.deep:
            name = "input_block_patch_after_skip"
            patches[name] = [*patches.get(name, ()), self.thin]
            wrappers[kind] = {**wrappers.get(kind, {}), KEY: [self.with_control]}
        if self.windowed:
            patches["attn1_patch"] = [*patches.get("attn1_patch", ()), self.cut]
            patches["attn1_output_patch"] = [self.join, *patches.get("attn1_output_patch", ())]
        return {"patches": patches, "wrappers": wrappers}

    def thinnings(self, level: int, height: int, width: int) -> int:
        """How often what is at `level` was halved for a latent of `height` x `width`, beside the UNet's own
        halvings: once at each of the first, so the host's upsamplers come back to the size of the skips."""
        return min(level, halvings(height, width, self.cells)) if self.deep else 0

    def thin(self, h: Tensor, options: dict) -> Tensor:
        """RAU-Net: the map before a downsampler thinned out, so that it strides by 4."""
        following = options["block"][1] + 1
        if following not in self.blocks.downs:
            return h
        height, width = options["original_shape"][-2:]
        level = self.blocks.downs.index(following)
        more = self.thinnings(level + 1, height, width) > self.thinnings(level, height, width)
        return thinned(h) if more else h

    def with_control(
        self, executor, x, timesteps=None, context=None, y=None, control=None, options=None, **more
    ):
        """What a ControlNet adds, thinned out as the maps that it is added to."""
        if control is not None:
            height, width = x.shape[-2:]

            def fit(part: Tensor | None) -> Tensor | None:
                level = 0 if part is None else halvings(height / part.shape[-2], width / part.shape[-1], 1)
                for _ in range(self.thinnings(level, height, width)):
                    part = thinned(part)  # type: ignore[arg-type]
                return part

            control = {name: [fit(part) for part in parts] for name, parts in control.items()}
        return executor(x, timesteps, context, y, control, options, **more)

    def grid(self, options: dict) -> tuple[int, int, tuple[int, int]] | None:
        """Height and width of the map that an attention looks at, and its rows and columns of windows."""
        if options["block"] not in self.blocks.attention:
            return None
        height, width = options["activations_shape"][-2:]
        parts = 2 ** halvings(height, width, self.cells / 2**self.blocks.outer)
        return height, width, (windows(height, parts), windows(width, parts))

    def cut(self, n: Tensor, context: Tensor, value: Tensor, options: dict):
        """MSW-MSA: queries, keys and values as windows."""
        found = self.grid(options)
        # Another patch may have put in tokens that have no place in the picture.
        if found is None or found[2] == (1, 1) or not n.shape[1] == context.shape[1] == value.shape[1]:
            return n, context, value
        moved = shift(*found, self.step)
        q = into_windows(n, *found, moved)
        k = q if context is n else into_windows(context, *found, moved)
        return q, k, k if value is context else into_windows(value, *found, moved)

    def join(self, n: Tensor, options: dict) -> Tensor:
        """The windows put together again."""
        found = self.grid(options)
        if found is None or n.shape[1] == found[0] * found[1]:
            return n
        return out_of_windows(n, *found, shift(*found, self.step))
