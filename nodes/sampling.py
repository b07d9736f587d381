"""Patches of a MODEL that act while a picture is sampled: in ISI Iterate and with any sampler."""

from __future__ import annotations

from comfy_api.latest import io

from ..core.inside.mirror import TURNS
from ..core.inside.portion import Portion
from ..core.inside.tone import Tone
from ..host.inside.detail import patch_detail, patch_weights
from ..host.inside.frequency import patch_frequency
from ..host.inside.high_res import patch_high_res
from ..host.inside.mirror import HOWS, patch_mirror
from ..host.inside.mix import patch_mix
from ..host.inside.tail import patch_tail
from ..host.inside.tone import patch_tone

CATEGORY = "ISI/sampling"


def model_input() -> io.Model.Input:
    return io.Model.Input("model", tooltip="The model that a sampler or ISI Iterate will use.")


def model_output() -> io.Model.Output:
    return io.Model.Output("model", tooltip="Connect to a sampler or to ISI Iterate.")


def portion_inputs(start: float = 0.0, end: float = 1.0) -> list:
    """For which of the steps a patch acts."""
    return [
        io.Float.Input(
            "start", default=start, min=0.0, max=1.0, step=0.01,
            tooltip="Where it begins, as a share of the steps that are made, at any denoise.",
        ),
        io.Float.Input(
            "end", default=end, min=0.0, max=1.0, step=0.01,
            tooltip="Where it ends, as a share of the steps that are made.",
        ),
    ]  # fmt: skip


class IterativeMix(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ISI_IterativeMix",
            display_name="ISI Iterative Mix",
            category=CATEGORY,
            description="Holds a picture to its original while it is sampled: before each step it is mixed "
            "with the original at the same noise. An upscale or a loop keeps its composition at denoise 1.",
            search_aliases=["iterative mixer", "skip residual", "demofusion", "hold composition"],
            inputs=[
                model_input(),
                io.Float.Input(
                    "alpha", default=3.0, min=0.0, max=100.0, step=0.1,
                    tooltip="Exponent of the hold, which falls from 1 to 0 as the noise does. Higher lets go "
                    "earlier; near 0 the original comes out.",
                ),
                *portion_inputs(),
            ],
            outputs=[model_output()],
        )  # fmt: skip

    @classmethod
    def execute(cls, model, alpha, start, end) -> io.NodeOutput:
        return io.NodeOutput(patch_mix(model, alpha, Portion(start, end)))


class TailAverage(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ISI_TailAverage",
            display_name="ISI Tail Average",
            category=CATEGORY,
            description="Ends sampling with the mean of some of the last predictions, and leaves the very "
            "last steps out: softer, less burnt pictures at a high cfg.",
            search_aliases=["anti burn", "overcooked", "average last steps", "high cfg"],
            inputs=[
                model_input(),
                io.Int.Input(
                    "drop", default=0, min=0, max=1000,
                    tooltip="How many of the last steps are not made.",
                ),
                io.Int.Input(
                    "average", default=3, min=1, max=1000,
                    tooltip="Of how many predictions before them the mean is taken. 1 is the last alone.",
                ),
            ],
            outputs=[model_output()],
        )  # fmt: skip

    @classmethod
    def execute(cls, model, drop, average) -> io.NodeOutput:
        return io.NodeOutput(patch_tail(model, drop, average))


class ToneNode(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        def amount(name: str, tooltip: str) -> io.Float.Input:
            return io.Float.Input(name, default=0.0, min=-1.0, max=1.0, step=0.01, tooltip=tooltip)

        return io.Schema(
            node_id="ISI_Tone",
            display_name="ISI Tone",
            category=CATEGORY,
            description="Brightness, contrast, saturation and colour while the picture is sampled, so that "
            "the model paints for them instead of a filter laying them over. For every model and sampler.",
            search_aliases=["vectorscope", "colour grade", "color correction", "brightness", "saturation"],
            inputs=[
                model_input(),
                amount("brightness", "Lighter (over 0) or darker."),
                amount("contrast", "Farther from the mean of the picture, or nearer."),
                amount("saturation", "More colour, or less: -1 is grey."),
                amount("red", "More red, or less (cyan)."),
                amount("green", "More green, or less (magenta)."),
                amount("blue", "More blue, or less (yellow)."),
                *portion_inputs(),
                io.Vae.Input(
                    "vae", optional=True,
                    tooltip="Measures the colours of the model's latents. Without it ComfyUI's own factors "
                    "for this kind of model are taken.",
                ),
            ],
            outputs=[model_output()],
        )  # fmt: skip

    @classmethod
    def execute(
        cls, model, brightness, contrast, saturation, red, green, blue, start, end, vae=None
    ) -> io.NodeOutput:
        tone = Tone(brightness, contrast, saturation, red, green, blue)
        return io.NodeOutput(patch_tone(model, tone, Portion(start, end), vae))


class Detail(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ISI_Detail",
            display_name="ISI Detail",
            category=CATEGORY,
            description="More or less detail: the model is told of another noise level than there is, in the "
            "middle of sampling (detail daemon), or two of its weights are scaled (CD Tuner).",
            search_aliases=["detail daemon", "cd tuner", "add detail", "sharpness", "lying sigma"],
            inputs=[
                model_input(),
                io.Float.Input(
                    "amount", default=0.1, min=-1.0, max=1.0, step=0.01,
                    tooltip="By how much less noise (over 0: more detail) or more noise (below 0: less "
                    "detail) the model is told of in the middle, as a share. 0 is off.",
                ),
                *portion_inputs(0.2, 0.8),
                io.Float.Input(
                    "first_layer", default=0.0, min=-50.0, max=50.0, step=0.1, advanced=True,
                    tooltip="UNets: d of the first layer, weight x (1 - 0.01 d) and bias x (1 + 0.02 d), at "
                    "all steps. 0 is off.",
                ),
                io.Float.Input(
                    "last_norm", default=0.0, min=-50.0, max=50.0, step=0.1, advanced=True,
                    tooltip="UNets: the same of the last normalisation. 0 is off.",
                ),
            ],
            outputs=[model_output()],
        )  # fmt: skip

    @classmethod
    def execute(cls, model, amount, start, end, first_layer, last_norm) -> io.NodeOutput:
        model = patch_weights(model, first_layer, last_norm)
        return io.NodeOutput(patch_detail(model, amount, Portion(start, end)))


class Mirror(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ISI_Mirror",
            display_name="ISI Mirror",
            category=CATEGORY,
            description="Symmetric pictures: during the first steps the picture is averaged with its mirror "
            "image or its turns, or turned at every step; then the model is left alone.",
            search_aliases=["latent mirroring", "symmetry", "kaleidoscope", "mandala"],
            inputs=[
                model_input(),
                io.Combo.Input(
                    "turn", options=list(TURNS), default=TURNS[0],
                    tooltip="What leaves the picture as it is. A quarter turn needs a square picture.",
                ),
                io.Combo.Input(
                    "how", options=list(HOWS), default=HOWS[0],
                    tooltip="average: symmetric before each of these steps. alternate: turned before each, a "
                    "looser symmetry.",
                ),
                io.Float.Input(
                    "end", default=0.25, min=0.0, max=1.0, step=0.01,
                    tooltip="Up to where, as a share of the steps that are made. 0 is off, 1 is exact.",
                ),
            ],
            outputs=[model_output()],
        )  # fmt: skip

    @classmethod
    def execute(cls, model, turn, how, end) -> io.NodeOutput:
        return io.NodeOutput(patch_mirror(model, turn, how, end))


class FrequencyLock(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ISI_FrequencyLock",
            display_name="ISI Frequency Lock",
            category=CATEGORY,
            description="Keeps the large shapes and colours of the picture that sampling starts from, "
            "whatever the denoise: only what is smaller than the cutoff is made anew. No bands of tiles, no "
            "islands of colour.",
            search_aliases=["diffusehigh", "low frequency", "keep colours", "colour islands", "tile bands"],
            inputs=[
                model_input(),
                io.Float.Input(
                    "cutoff", default=64.0, min=0.0, max=8192.0, step=1.0,
                    tooltip="Waves longer than this many pixels stay those of the start. 0 is off.",
                ),
                io.Float.Input(
                    "strength", default=1.0, min=0.0, max=1.0, step=0.01,
                    tooltip="How much of the way to the start. 0 is off.",
                ),
                *portion_inputs(),
            ],
            outputs=[model_output()],
        )  # fmt: skip

    @classmethod
    def execute(cls, model, cutoff, strength, start, end) -> io.NodeOutput:
        return io.NodeOutput(patch_frequency(model, cutoff, strength, Portion(start, end)))


class HighRes(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ISI_HighRes",
            display_name="ISI High Res",
            category=CATEGORY,
            description="Pictures larger than the model was trained for, without objects that come twice, "
            "and faster: in the first steps the deep blocks work at the size that they know, and attention "
            "looks at windows of that size. For SD 1.5, SD 2 and SDXL.",
            search_aliases=["hidiffusion", "raunet", "msw-msa", "deep shrink", "high resolution", "hires"],
            inputs=[
                model_input(),
                *portion_inputs(0.0, 0.4),
                io.Boolean.Input(
                    "windows", default=True,
                    tooltip="The outer attention looks at windows instead of the whole picture, in all "
                    "steps: faster. The windows lie elsewhere at each step.",
                ),
                io.Int.Input(
                    "trained_size", default=0, min=0, max=8192, step=64, advanced=True,
                    tooltip="The side in pixels that the model was trained at. 0 is that of its kind: SD "
                    "1.5 512, SD 2 768, SDXL 1024. What is no larger is left alone.",
                ),
            ],
            outputs=[model_output()],
        )  # fmt: skip

    @classmethod
    def execute(cls, model, start, end, windows, trained_size) -> io.NodeOutput:
        return io.NodeOutput(patch_high_res(model, Portion(start, end), windows, trained_size))


NODES: list[type[io.ComfyNode]] = [
    IterativeMix, TailAverage, ToneNode, Detail, Mirror, FrequencyLock, HighRes,
]  # fmt: skip
