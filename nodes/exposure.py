"""Pictures at several exposures, and one picture made of them."""

from __future__ import annotations

from comfy_api.latest import io

from ..core.inside.exposure import fuse
from ..core.plans.brackets import brackets_plan
from ..host.loop.run import check_picture
from . import sockets

CATEGORY = "ISI/colour"


class Brackets(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ISI_Brackets",
            display_name="ISI Brackets",
            category=CATEGORY,
            description="Plans the same picture at several exposures, each sampled anew with its own light, "
            "so that the dark ones have drawing in the lights and the light ones in the shadows. For ISI "
            "Exposure Fusion.",
            search_aliases=["hdr", "exposure bracketing", "high dynamic range"],
            inputs=[
                io.Image.Input("image", tooltip="The picture; connect the same one to ISI Iterate."),
                io.String.Input(
                    "prompt", multiline=True, dynamic_prompts=True, tooltip="What the picture shows."
                ),
                io.Int.Input("count", default=5, min=3, max=9, tooltip="How many exposures."),
                io.Float.Input(
                    "gap", default=0.25, min=0.0, max=1.0, step=0.01,
                    tooltip="How much darker the first and lighter the last is, of colours from 0 to 1.",
                ),
                io.Float.Input(
                    "curve", default=1.2, min=0.1, max=10.0, step=0.1,
                    tooltip="Over 1 gathers the exposures round the middle, below 1 at the ends.",
                ),
                io.Float.Input(
                    "denoise", default=0.4, min=0.0, max=1.0, step=0.01,
                    tooltip="How much each may change. Low, so that all show the same.",
                ),
                io.Int.Input("steps", default=20, min=1, max=10000, tooltip="Sampler steps of each."),
                io.Float.Input(
                    "cfg", default=5.0, min=0.0, max=100.0, step=0.1, tooltip="How strongly the prompt acts."
                ),
                io.Int.Input(
                    "seed", default=0, min=0, max=2**64 - 1,
                    control_after_generate=io.ControlAfterGenerate.fixed,
                    tooltip="The seed of all of them.",
                ),
            ],
            outputs=[
                sockets.Plan.Output("plan", tooltip="Connect to ISI Iterate, then ISI Run Images."),
                io.String.Output("summary", tooltip="The plan as a table, a line an exposure."),
            ],
        )  # fmt: skip

    @classmethod
    def execute(cls, image, prompt, count, gap, curve, denoise, steps, cfg, seed) -> io.NodeOutput:
        picture = check_picture(image)
        plan = brackets_plan(picture, prompt, count, gap, curve, steps, cfg, denoise, seed)
        table = plan.table()
        return io.NodeOutput(plan, table, ui={"text": [table]})


class ExposureFusion(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        def weight(name: str, tooltip: str) -> io.Float.Input:
            return io.Float.Input(name, default=1.0, min=0.0, max=10.0, step=0.1, tooltip=tooltip)

        return io.Schema(
            node_id="ISI_ExposureFusion",
            display_name="ISI Exposure Fusion",
            category=CATEGORY,
            description="Makes one picture of a batch of exposures of the same scene, the best of each at "
            "every place (Mertens). In float: save it as 16-bit PNG or EXR.",
            search_aliases=["hdr", "mertens", "exposure blending", "focus stacking"],
            inputs=[
                io.Image.Input("images", tooltip="The exposures as one batch, in any order."),
                weight("contrast", "How much fine contrast counts. 0 does not count."),
                weight("saturation", "How much colour counts."),
                weight("exposedness", "How much a middle brightness counts."),
            ],
            outputs=[io.Image.Output("image", tooltip="One picture; values may go a little over 0 to 1.")],
        )

    @classmethod
    def execute(cls, images, contrast, saturation, exposedness) -> io.NodeOutput:
        return io.NodeOutput(fuse(check_picture(images), contrast, saturation, exposedness))


NODES: list[type[io.ComfyNode]] = [Brackets, ExposureFusion]
