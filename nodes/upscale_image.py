"""Pictures to and from latents in tiles, and upscaling of pictures."""

from __future__ import annotations

from comfy_api.latest import io

from ..host import tiled_vae

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


NODES: list[type[io.ComfyNode]] = [TiledVAEDecode, TiledVAEEncode]
