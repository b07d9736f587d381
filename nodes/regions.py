"""Another prompt for each region of the picture."""

from __future__ import annotations

from comfy_api.latest import io

from ..core.language.prompts import read_prompt
from ..core.language.resolve import drawn_text
from ..core.tiles.regions import ratio_masks, read_ratios, shared_masks
from ..host.conditioning.regions import SIZE, RegionConditioner
from ..host.prompts.wildcard_folders import changes, wildcards
from . import sockets


class Regions(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="ISI_Regions",
            display_name="ISI Regions",
            category="ISI/prompts",
            description="A prompt for each region of the picture, cut at BREAK: each step's own in a loop, "
            "or a text for other samplers. The regions add up to 1 at every pixel.",
            search_aliases=["regional prompter", "regional prompt", "BREAK", "attention couple"],
            inputs=[
                io.Clip.Input("clip", tooltip="Encodes the text."),
                io.String.Input(
                    "ratios", default="1,1",
                    tooltip="1,2: two columns. 1,2,1;1,1: rows, whose first number is their height.",
                ),
                io.Float.Input(
                    "base", default=0.2, min=0.0, max=1.0, step=0.01,
                    tooltip="Share of the first part, which is for the whole picture. 0: there is none.",
                ),
                io.Float.Input(
                    "feather", default=0.1, min=0.0, max=1.0, step=0.01,
                    tooltip="How wide neighbours blend, as a share of the shorter side. Not used with masks.",
                ),
                io.String.Input(
                    "text", default="", multiline=True, dynamic_prompts=False,
                    tooltip="For the conditioning output: whole BREAK left BREAK right. A loop has its own.",
                ),
                io.Int.Input(
                    "seed", default=0, min=0, max=2**64 - 1,
                    control_after_generate=io.ControlAfterGenerate.fixed,
                    tooltip="Draws choices and wildcards of the text.",
                ),
                io.Mask.Input(
                    "masks", optional=True,
                    tooltip="A batch of masks in place of the ratios: one a region, divided by their sum.",
                ),
                sockets.Conditioner.Input(
                    "conditioner", optional=True, tooltip="Another conditioner that acts before this one."
                ),
            ],
            outputs=[
                sockets.Conditioner.Output("conditioner", tooltip="Connect to ISI Iterate."),
                io.Conditioning.Output("conditioning", tooltip="The text, for a sampler's positive."),
                io.Mask.Output("masks", tooltip="The regions as a batch of masks."),
            ],
        )  # fmt: skip

    @classmethod
    def validate_inputs(cls, ratios="1,1"):
        """Shows ratios that can't be read when the graph is queued."""
        try:
            read_ratios(ratios)
        except ValueError as error:
            return str(error)
        return True

    @classmethod
    def fingerprint_inputs(cls, text=None, **others):
        """A text whose wildcards changed is another one."""
        return changes(text)

    @classmethod
    def execute(cls, clip, ratios, base, feather, text, seed, masks=None, conditioner=None) -> io.NodeOutput:
        found = ratio_masks(ratios, SIZE, SIZE, feather) if masks is None else shared_masks(masks)
        regions = RegionConditioner(found, base, before=conditioner)
        conditioning = []
        if text.strip():
            prompt = read_prompt(drawn_text(text, seed, wildcards(), "Text"), "Text")
            if not prompt.plain:
                raise ValueError(
                    "The text of ISI Regions is the same at every step: leave out schedules, AND and LoRAs, "
                    "or write them into ISI Script and connect the conditioner to ISI Iterate."
                )
            conditioning = regions.encode(clip, prompt.text)
        return io.NodeOutput(regions, conditioning, found)


NODES: list[type[io.ComfyNode]] = [Regions]
