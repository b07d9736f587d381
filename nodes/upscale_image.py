"""Pictures to and from latents in tiles, and upscaling of pictures by a network."""

from __future__ import annotations

from comfy_api.latest import io

from ..core.plans.upscale import target_size
from ..host.models.upscale_models import LANCZOS, load_upscaler, upscale, upscaler_names
from ..host.tiles import tiled_vae

_TILE = "The largest tile, in pixels. Smaller needs less memory. A tile as large as the picture is no tiling."
_OVERLAP = (
    "Only for VAEs whose tiles can't be made exact (video, TAESD, ...): how far tiles overlap, in pixels. "
    "SD, SDXL, SD3 and Flux VAEs need no overlap."
)


class TiledVAEDecode(io.ComfyNode):
    """Decodes a latent tile by tile, with the statistics of the whole picture."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ISI_TiledVAEDecode",
            display_name="ISI Tiled VAE Decode",
            category="ISI/upscale",
            description=(
                "Decodes a large latent in tiles and gives the picture that an untiled decode would give: no "
                "seams, no shift of colour from tile to tile. Needs the memory of one tile."
            ),
            search_aliases=["vae decode tiled", "low vram decode", "large image decode"],
            inputs=[
                io.Latent.Input("samples", tooltip="The latent to decode."),
                io.Vae.Input("vae", tooltip="The VAE to decode with."),
                io.Int.Input("tile_size", default=512, min=64, max=8192, step=32, tooltip=_TILE),
                io.Int.Input("overlap", default=64, min=0, max=4096, step=8, tooltip=_OVERLAP),
            ],
            outputs=[io.Image.Output(display_name="image", tooltip="The decoded picture.")],
        )

    @classmethod
    def execute(cls, samples, vae, tile_size, overlap) -> io.NodeOutput:
        latent = samples["samples"]
        images = tiled_vae.decode(vae, latent.unbind()[0] if latent.is_nested else latent, tile_size, overlap)
        return io.NodeOutput(images.reshape(-1, *images.shape[-3:]))


class TiledVAEEncode(io.ComfyNode):
    """Encodes a picture tile by tile, with the statistics of the whole picture."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ISI_TiledVAEEncode",
            display_name="ISI Tiled VAE Encode",
            category="ISI/upscale",
            description=(
                "Encodes a large picture in tiles and gives the latent that an untiled encode would give. "
                "Needs the memory of one tile."
            ),
            search_aliases=["vae encode tiled", "low vram encode", "large image encode"],
            inputs=[
                io.Image.Input("pixels", tooltip="The picture to encode."),
                io.Vae.Input("vae", tooltip="The VAE to encode with."),
                io.Int.Input("tile_size", default=512, min=64, max=8192, step=32, tooltip=_TILE),
                io.Int.Input("overlap", default=64, min=0, max=4096, step=8, tooltip=_OVERLAP),
            ],
            outputs=[io.Latent.Output(display_name="latent", tooltip="The latent of the picture.")],
        )

    @classmethod
    def execute(cls, pixels, vae, tile_size, overlap) -> io.NodeOutput:
        return io.NodeOutput({"samples": tiled_vae.encode(vae, pixels, tile_size, overlap)})


class UpscaleImage(io.ComfyNode):
    """Upscales a picture by a network or by Lanczos."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ISI_UpscaleImage",
            display_name="ISI Upscale Image",
            category="ISI/upscale",
            description=(
                "Upscales a picture to an exact size or by any factor, with an upscale model (ESRGAN, "
                "SwinIR, DAT, HAT, SRCNN, ...) or Lanczos. Even tiles without seams, alpha kept, no 8-bit "
                "step."
            ),
            search_aliases=["upscale", "super resolution", "esrgan", "enlarge", "srcnn", "resize"],
            inputs=[
                io.Image.Input("image", tooltip="The picture; a fourth channel is alpha and is kept."),
                io.Combo.Input(
                    "model_name",
                    options=upscaler_names(),
                    default=LANCZOS,
                    tooltip="lanczos, a file in models/upscale_models (SRCNN weights too), or the tiny model "
                    "that comes with ISI and knows flat shapes.",
                ),
                io.Float.Input(
                    "factor",
                    default=2.0,
                    min=0.01,
                    max=64.0,
                    step=0.05,
                    tooltip="How many times larger. Any factor: the model's own is resampled to it.",
                ),
                io.Int.Input(
                    "width",
                    default=0,
                    min=0,
                    max=65536,
                    tooltip="Exact width in pixels. 0: from the height, or else from the factor.",
                ),
                io.Int.Input(
                    "height",
                    default=0,
                    min=0,
                    max=65536,
                    tooltip="Exact height in pixels. 0: from the width, or else from the factor.",
                ),
                io.Int.Input(
                    "tile_size",
                    default=512,
                    min=64,
                    max=8192,
                    step=32,
                    tooltip="The largest tile that the model is given, in pixels. Smaller needs less memory.",
                ),
                io.Int.Input(
                    "overlap",
                    default=32,
                    min=0,
                    max=512,
                    step=8,
                    tooltip="Pixels that neighbouring tiles share. More hides seams of models that look far.",
                ),
                io.Boolean.Input(
                    "allow_gigapixel",
                    default=False,
                    tooltip="Confirms that a result of more than one gigapixel is meant.",
                ),
                io.UpscaleModel.Input(
                    "upscale_model", optional=True, tooltip="A loaded model, used instead of model_name."
                ),
            ],
            outputs=[io.Image.Output(display_name="image", tooltip="The upscaled picture.")],
        )

    @classmethod
    def execute(
        cls, image, model_name, factor, width, height, tile_size, overlap, allow_gigapixel, upscale_model=None
    ) -> io.NodeOutput:
        target = target_size(*image.shape[1:3], factor, height, width, allow_gigapixel)
        upscaler = load_upscaler(model_name) if upscale_model is None else upscale_model
        return io.NodeOutput(upscale(image, *target, upscaler, tile_size, overlap))


NODES: list[type[io.ComfyNode]] = [TiledVAEDecode, TiledVAEEncode, UpscaleImage]
