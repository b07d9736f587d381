"""Upscaling without seams: tiled sampling, progressive plans, and what they will cost."""

from __future__ import annotations

from comfy_api.latest import io

from ..core.blend import BLENDS
from ..core.tiling import WRAPS, Tiling
from ..host.tiled import TiledHandler, patch_tiled

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
            "blend", options=list(BLENDS), default="cosine",
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
            ],
            outputs=[io.Model.Output("model", tooltip="Connect to a sampler.")],
        )  # fmt: skip

    @classmethod
    def execute(
        cls, model, tile_size, overlap, blend, shift_grid, wrap, tile_batch, global_share, skip_flat,
        tile_prompts=(),
    ) -> io.NodeOutput:  # fmt: skip
        tiling = Tiling(
            tile_size[0], overlap[0], blend[0], tile_batch[0], shift_grid[0], wrap[0], skip_flat[0]
        )
        if tile_prompts and tiling.shift:
            raise ValueError("tile_prompts belong to tiles that stay in place: switch shift_grid off.")
        handler = TiledHandler(tiling, [p for p in tile_prompts if p is not None], global_share[0])
        return io.NodeOutput(patch_tiled(model[0], handler))


NODES: list[type[io.ComfyNode]] = [TiledSampling]
