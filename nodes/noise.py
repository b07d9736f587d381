"""Noise that belongs together, for the user's own samplers and for loops."""

from __future__ import annotations

from comfy_api.latest import io

from ..host.inside.recovered import Recovery
from ..host.loop.noise import Noise, cell_width

SOURCES = ("seed", "recovered")


class NoiseNode(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ISI_Noise",
            display_name="ISI Noise",
            category="ISI/sampling",
            description="Noise that belongs together: a variation of a seed, the noise of a smaller picture "
            "in a larger one, and for loops a noise that drifts from step to step instead of jumping. For "
            "SamplerCustomAdvanced, or for ISI Iterate.",
            search_aliases=["variation seed", "subseed", "seed resize", "slerp noise", "noise walk"],
            inputs=[
                io.Int.Input(
                    "seed", default=0, min=0, max=2**64 - 1,
                    control_after_generate=io.ControlAfterGenerate.fixed,
                    tooltip="The noise. In ISI Iterate each step's own seed takes its place.",
                ),
                io.Int.Input(
                    "variation_seed", default=0, min=0, max=2**64 - 1,
                    control_after_generate=io.ControlAfterGenerate.fixed,
                    tooltip="The noise that it is turned towards.",
                ),
                io.Float.Input(
                    "variation_strength", default=0.0, min=0.0, max=1.0, step=0.01,
                    tooltip="How far: 0 is the seed's noise, 1 that of variation_seed. 0.1 changes details.",
                ),
                io.Int.Input(
                    "resize_from_width", default=0, min=0, max=16384, step=8,
                    tooltip="Width in pixels of the picture that the seed was found with: its noise lies in "
                    "the middle of this one's. 0: as wide as this picture.",
                ),
                io.Int.Input(
                    "resize_from_height", default=0, min=0, max=16384, step=8,
                    tooltip="Its height in pixels. 0: as high as this picture.",
                ),
                io.Float.Input(
                    "walk", default=1.0, min=0.0, max=1.0, step=0.01,
                    tooltip="In ISI Iterate: how far a step goes from the noise of the step before towards "
                    "its own. 0: all steps have the first one's. 1: each has its own.",
                ),
                io.Model.Input(
                    "model", optional=True,
                    tooltip="With your own sampler and resize_from: tells how many pixels a latent cell "
                    "is wide. Without it 8. It also recovers noise.",
                ),
                io.Combo.Input(
                    "source", options=list(SOURCES), default=SOURCES[0], optional=True,
                    tooltip="recovered: the noise that the sampler turns back into the picture it starts "
                    "from, so that a changed prompt changes what it must and keeps the rest.",
                ),
                io.Conditioning.Input(
                    "original", optional=True,
                    tooltip="recovered: the prompt of what the picture shows now.",
                ),
                io.Conditioning.Input(
                    "negative", optional=True,
                    tooltip="recovered: the negative prompt, for a recover_cfg other than 1.",
                ),
                io.Sigmas.Input(
                    "sigmas", optional=True,
                    tooltip="recovered: those of your own sampler. Without them it has to begin at denoise "
                    "1. ISI Iterate has its own.",
                ),
                io.Int.Input(
                    "recover_steps", default=50, min=1, max=10000, optional=True, advanced=True,
                    tooltip="recovered: steps on the way back, in at most twice as many model calls. As many "
                    "as the sampler makes, or more: more is nearer to the picture.",
                ),
                io.Float.Input(
                    "recover_cfg", default=1.0, min=0.0, max=100.0, step=0.1, optional=True, advanced=True,
                    tooltip="recovered: guidance on the way back. 1 is steadiest.",
                ),
                io.Float.Input(
                    "randomness", default=0.0, min=0.0, max=1.0, step=0.01, optional=True,
                    tooltip="recovered: how much of the seed's noise is mixed in. 1 is the seed's alone.",
                ),
            ],
            outputs=[io.Noise.Output("noise", tooltip="Connect to SamplerCustomAdvanced or ISI Iterate.")],
        )  # fmt: skip

    @classmethod
    def execute(
        cls, seed, variation_seed, variation_strength, resize_from_width, resize_from_height, walk,
        model=None, source=SOURCES[0], original=None, negative=None, sigmas=None, recover_steps=50,
        recover_cfg=1.0,        randomness=0.0,
    ) -> io.NodeOutput:  # fmt: skip
        recovery = None
        if source == "recovered":
            if model is None or original is None:
                raise ValueError(
                    "Recovered noise needs the model, and the prompt of what the picture shows: connect "
                    "model and original of ISI Noise."
                )
            recovery = Recovery(model, original, negative, recover_cfg, recover_steps, sigmas)
            recovery.check()
        size, ratio = (resize_from_height, resize_from_width), cell_width(model)
        made = Noise(seed, variation_seed, variation_strength, size, walk, ratio, recovery, randomness)
        return io.NodeOutput(made)


NODES: list[type[io.ComfyNode]] = [NoiseNode]
