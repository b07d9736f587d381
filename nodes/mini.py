"""The node that loads the embedded mini models."""

from comfy_api.latest import io

from ..host.models import mini


class MiniCheckpoint(io.ComfyNode):
    """MODEL, CLIP, VAE and CLIP_VISION of one kind of mini model."""

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="ISI_MiniCheckpoint",
            display_name="ISI Mini Checkpoint",
            category="ISI/mini",
            description="Loads a tiny diffusion model that comes with ISI, to try a workflow in seconds on "
            "any computer. It knows a world of coloured shapes: 'a large red circle on a white background'.",
            search_aliases=["mini", "tiny", "demo", "test", "checkpoint", "load"],
            inputs=[
                io.Combo.Input(
                    "kind",
                    options=list(mini.KINDS),
                    default="base",
                    tooltip="base follows a prompt; depth, upscale-x4, instruct-pix2pix, inpaint, unclip and "
                    "the two IC-Light kinds take a picture as well and need their conditioning node.",
                ),
            ],
            outputs=[
                io.Model.Output(tooltip="A small SD 1.5 UNet with the input channels of its kind."),
                io.Clip.Output(tooltip="SD 1's tokenizer and a two-layer text model."),
                io.Vae.Output(tooltip="A small autoencoder: f8, 4 latent channels (upscale-x4: f4)."),
                io.ClipVision.Output(tooltip="A two-layer CLIP vision, for the kind unclip."),
            ],
        )

    @classmethod
    def execute(cls, kind) -> io.NodeOutput:
        return io.NodeOutput(*mini.load_checkpoint(kind))


NODES: list[type[io.ComfyNode]] = [MiniCheckpoint]
