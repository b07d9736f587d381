"""Upscaling without seams: tiled sampling, progressive plans, and what they will cost."""

from __future__ import annotations

from comfy_api.latest import io, ui

from ..core.loop.schedule import parse_denoise
from ..core.plans.upscale import BICUBIC, Upscale, target_size, upscale_plan
from ..core.tiles.blend import TILE_BLENDS
from ..core.tiles.demofusion import DemoFusion
from ..core.tiles.tiling import ORIGINS, WRAPS, Origin, Tiling
from ..host.models.upscale_models import upscaler_names
from ..host.tiles.cost import estimate
from ..host.tiles.tiled import TiledHandler, patch_tiled
from . import sockets

CATEGORY = "ISI/upscale"


def tiling_inputs() -> list:
    """The inputs that make a `Tiling`, but for the tile batch."""
    return [
        io.Int.Input(
            "tile_size", default=0, min=0, max=8192, step=16,
            tooltip="Side of a tile in pixels. 0 fits tiles of at most 1216 px (768 for SD 1.x) so that they "
            "divide the picture evenly.",
        ),
        io.Int.Input(
            "overlap", default=128, min=0, max=2048, step=8,
            tooltip="Pixels that neighbouring tiles share. More hides seams better and costs more: about "
            "12% of extra work at 64, 25% at 128.",
        ),
        io.Combo.Input(
            "blend", options=list(TILE_BLENDS), default="cosine",
            tooltip="How tiles fade into each other where they overlap.",
        ),
        io.Boolean.Input(
            "shift_grid", default=False,
            tooltip="Moves the tile borders at each step, so that no place lies under a border twice. Costs "
            "up to one more row and column of tiles.",
        ),
        io.Combo.Input(
            "wrap", options=list(WRAPS), default="off",
            tooltip="Joins opposite borders: horizontal for panoramas, both for seamless textures.",
        ),
    ]  # fmt: skip


def more_tiling_inputs() -> list:
    """Those that came later, at the end of a node's inputs."""
    return [
        io.Int.Input(
            "tile_height", default=0, min=0, max=8192, step=16, advanced=True, optional=True,
            tooltip="Height of a tile in pixels, where it is not tile_size. 0: as tile_size.",
        ),
        io.Combo.Input(
            "origin", options=list(ORIGINS), default="canvas", advanced=True, optional=True,
            tooltip="Where a transformer's positions begin (Flux, Z-Image, Qwen-Image, ...). canvas: a tile "
            "knows its place in the picture. tile: it is as if it were a picture of its own.",
        ),
    ]  # fmt: skip


class TiledSampling(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="ISI_TiledSampling",
            display_name="ISI Tiled Sampling",
            category=CATEGORY,
            description="Samples large pictures in tiles, all of them together at every step, so "
            "that memory depends on the tile and no seams appear. ControlNets, masks, regions and inpaint "
            "channels are cut to each tile. Use it with any sampler node.",
            search_aliases=["tiled diffusion", "multidiffusion", "mixture of diffusers", "tiled ksampler",
                            "ultimate sd upscale", "high resolution", "seamless"],
            is_input_list=True,
            inputs=[
                io.Model.Input("model", tooltip="The model that a sampler will use."),
                *tiling_inputs(),
                io.Int.Input(
                    "tile_batch", default=1, min=1, max=64,
                    tooltip="Tiles that go through the model at once. More is a little faster and needs more "
                    "memory; the picture stays the same.",
                ),
                io.Conditioning.Input(
                    "tile_prompts", optional=True,
                    tooltip="A list of prompts, one for each tile, row by row (a list of texts through CLIP "
                    "Text Encode). They take the place of the positive prompt.",
                ),
                io.Float.Input(
                    "global_share", default=0.3, min=0.0, max=1.0, step=0.05,
                    tooltip="With tile_prompts: how much of the sampler's own prompt stays in each tile.",
                ),
                io.Float.Input(
                    "skip_flat", default=0.0, min=0.0, max=1.0, step=0.005, advanced=True,
                    tooltip="At denoise 0.5 and less, tiles with no detail above this are left as they are "
                    "(sky, paper). 0 is off; 0.03 is a good start.",
                ),
                *more_tiling_inputs(),
            ],
            outputs=[io.Model.Output("model", tooltip="Connect to a sampler.")],
        )  # fmt: skip

    @classmethod
    def execute(
        cls, model, tile_size, overlap, blend, shift_grid, wrap, tile_batch, global_share, skip_flat,
        tile_prompts=(), tile_height=(0,), origin=("canvas",),
    ) -> io.NodeOutput:  # fmt: skip
        tiling = Tiling(
            tile_size[0], overlap[0], blend[0], tile_batch[0], shift_grid[0], wrap[0], skip_flat[0],
            tile_height[0], origin[0],
        )  # fmt: skip
        if tile_prompts and tiling.shift:
            raise ValueError("tile_prompts belong to tiles that stay in place: switch shift_grid off.")
        handler = TiledHandler(tiling, [p for p in tile_prompts if p is not None], global_share[0])
        return io.NodeOutput(patch_tiled(model[0], handler))


class UpscaleNode(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="ISI_Upscale",
            display_name="ISI Upscale",
            category=CATEGORY,
            description="Writes a plan that enlarges a picture in stages, each sampled in tiles upon the "
            "one before it. Connect it to ISI Iterate, alone or after another plan.",
            search_aliases=["hires fix", "progressive upscale", "demofusion", "4x", "8x", "ultimate upscale"],
            inputs=[
                io.Image.Input(
                    "image", tooltip="The picture to enlarge, or the one that the loop starts from."
                ),
                io.String.Input(
                    "prompt", multiline=True, dynamic_prompts=True,
                    tooltip="What the picture shows; the material and style matter more than the scene.",
                ),
                io.Float.Input(
                    "factor", default=2.0, min=0.0, max=64.0, step=0.05,
                    tooltip="How many times as wide and high. Not used when width or height is set.",
                ),
                io.Int.Input(
                    "width", default=0, min=0, max=131072,
                    tooltip="Exact width in pixels; 0 follows the factor, or the height and the aspect.",
                ),
                io.Int.Input(
                    "height", default=0, min=0, max=131072,
                    tooltip="Exact height in pixels; 0 follows the factor, or the width and the aspect.",
                ),
                io.Int.Input(
                    "stages", default=0, min=0, max=16,
                    tooltip="In how many steps it grows. 0: as many as keep each at most twice as large.",
                ),
                io.String.Input(
                    "denoise", default="0.4",
                    tooltip="How much each stage may change: one number, or one for each stage with commas: "
                    "0.5, 0.35. DemoFusion works with 0.7 and more.",
                ),
                io.Int.Input("steps", default=20, min=1, max=10000, tooltip="Sampler steps of each stage."),
                io.Float.Input(
                    "cfg", default=7.0, min=0.0, max=100.0, step=0.1, tooltip="How strongly the prompt acts."
                ),
                io.Int.Input(
                    "seed", default=0, min=0, max=2**64 - 1,
                    control_after_generate=io.ControlAfterGenerate.fixed,
                    tooltip="Seed of the first stage; the others count up from it.",
                ),
                *tiling_inputs(),
                io.Int.Input(
                    "tile_batch", default=1, min=1, max=64,
                    tooltip="Tiles that go through the model at once; the picture stays the same.",
                ),
                io.Boolean.Input(
                    "demofusion", default=False,
                    tooltip="Keeps the composition at high denoise: each stage is held to the picture before "
                    "it, and every tile is mixed with a look at the whole. Doubles the work.",
                ),
                io.Float.Input(
                    "skip_residual", default=3.0, min=0.01, max=100.0, step=0.1, advanced=True,
                    tooltip="DemoFusion: exponent of the hold to the picture before. Higher lets go earlier.",
                ),
                io.Float.Input(
                    "dilated_sampling", default=1.0, min=0.01, max=100.0, step=0.1, advanced=True,
                    tooltip="DemoFusion: exponent of the look at the whole. Higher lets go earlier.",
                ),
                io.Float.Input(
                    "blur", default=1.0, min=0.01, max=100.0, step=0.1, advanced=True,
                    tooltip="DemoFusion: exponent of the blur before the look at the whole.",
                ),
                io.Float.Input(
                    "skip_flat", default=0.0, min=0.0, max=1.0, step=0.005, advanced=True,
                    tooltip="At denoise 0.5 and less, tiles with no detail above this are left as they are. "
                    "0 is off; 0.03 is a good start.",
                ),
                io.Boolean.Input(
                    "allow_gigapixel", default=False, advanced=True,
                    tooltip="Confirms a result of more than 1,000,000,000 pixels.",
                ),
                *more_tiling_inputs(),
                io.Combo.Input(
                    "model_name", options=[BICUBIC, *upscaler_names()], default=BICUBIC, advanced=True,
                    optional=True,
                    tooltip="What enlarges the picture before each stage: bicubic, lanczos, or an upscale "
                    "model of models/upscale_models.",
                ),
                io.Float.Input(
                    "keep_low", default=0.0, min=0.0, max=8192.0, step=1.0, optional=True,
                    tooltip="Waves longer than this many pixels stay those of the enlarged picture: no bands "
                    "of tiles, no islands of colour. 0 is off; 64 is a good start.",
                ),
            ],
            outputs=[
                sockets.Plan.Output("plan", tooltip="Connect to ISI Iterate or ISI Join Plans."),
                io.Int.Output("width", tooltip="Width of the result in pixels."),
                io.Int.Output("height", tooltip="Height of the result in pixels."),
                io.String.Output("summary", tooltip="The plan as a table, a line a stage."),
            ],
        )  # fmt: skip

    @classmethod
    def execute(
        cls, image, prompt, factor, width, height, stages, denoise, steps, cfg, seed, tile_size, overlap,
        blend, shift_grid, wrap, tile_batch, demofusion, skip_residual, dilated_sampling, blur, skip_flat,
        allow_gigapixel, tile_height=0, origin: Origin = "canvas", model_name=BICUBIC,
        keep_low=0.0,
    ) -> io.NodeOutput:  # fmt: skip
        size = image.shape[1], image.shape[2]
        target = target_size(*size, factor, height, width, allow_gigapixel)
        tiling = Tiling(
            tile_size, overlap, blend, tile_batch, shift_grid, wrap, skip_flat, tile_height, origin
        )
        fusion = DemoFusion(1, skip_residual, dilated_sampling, blur) if demofusion else None
        how = Upscale(prompt, steps, cfg, parse_denoise(denoise), seed, tiling, fusion, model_name, keep_low)
        plan = upscale_plan(size, target, stages, how)
        table = plan.table()
        return io.NodeOutput(plan, target[1], target[0], table, ui={"text": [table]})


class UpscaleCost(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="ISI_UpscaleCost",
            display_name="ISI Upscale Cost",
            category=CATEGORY,
            description="What tiled sampling will cost, before it runs: tiles, model calls, memory, time and "
            "the grid of tiles drawn over the picture.",
            search_aliases=["estimate", "how long", "vram", "tile preview", "tile grid"],
            is_output_node=True,
            inputs=[
                io.Model.Input(
                    "model", tooltip="The model that will sample; without a plan, from ISI Tiled Sampling."
                ),
                io.Image.Input(
                    "image",
                    tooltip="With a plan: the picture it starts from. Without: the picture as it is sampled.",
                ),
                io.Int.Input(
                    "steps", default=20, min=1, max=10000, tooltip="Sampler steps. Not used with a plan."
                ),
                io.Float.Input(
                    "cfg", default=7.0, min=0.0, max=100.0, step=0.1,
                    tooltip="At 1 only the positive prompt is computed. Not used with a plan.",
                ),
                sockets.Plan.Input("plan", optional=True, tooltip="From ISI Upscale, or any other plan."),
                io.Conditioning.Input(
                    "positive", optional=True,
                    tooltip="Any prompt of this model: one tile is sampled for three steps to time it.",
                ),
                io.Vae.Input(
                    "vae", optional=True, tooltip="With a plan: the VAE of ISI Iterate, to count it too."
                ),
            ],
            outputs=[
                io.String.Output("report", tooltip="The costs as text."),
                io.Image.Output("grid", tooltip="The tiles of the largest stage over the picture."),
                io.Int.Output("tiles", tooltip="Tiles of the largest stage, for tile_prompts."),
                io.Int.Output("calls", tooltip="Model calls of the whole run."),
                io.Float.Output("seconds", tooltip="Expected time; 0 without `positive`."),
            ],
        )  # fmt: skip

    @classmethod
    def execute(cls, model, image, steps, cfg, plan=None, positive=None, vae=None) -> io.NodeOutput:
        # Of no pictures as of one: what counts is their size.
        image = image if len(image) else image.new_zeros(1, *image.shape[1:])
        estimated = estimate(model, image, steps, cfg, plan, positive, vae)
        shown = ui.PreviewImage(estimated.grid, cls=cls).as_dict() | {"text": [estimated.report]}
        return io.NodeOutput(
            estimated.report,
            estimated.grid,
            estimated.tiles,
            estimated.calls,
            estimated.seconds,
            ui=shown,
        )


NODES: list[type[io.ComfyNode]] = [TiledSampling, UpscaleNode, UpscaleCost]
