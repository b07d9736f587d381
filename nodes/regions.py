"""Another prompt for each region of the picture."""

from __future__ import annotations

from comfy_api.latest import io, ui

from ..core.language.prompts import read_prompt
from ..core.language.resolve import drawn_text
from ..core.pictures.masks import as_mask
from ..core.tiles.regions import ratio_masks, read_ratios, region_picture, shared_masks
from ..host.conditioning.regions import SIZE, RegionConditioner
from ..host.prompts.speak import shown_mistake
from ..host.prompts.wildcard_folders import changes, wildcards
from . import sockets
from .guard import refusal


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
                    tooltip="How wide neighbours blend, as a share of each side. Not used with masks.",
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
                sockets.before_input(),
            ],
            outputs=[
                sockets.conditioner_output(),
                io.Conditioning.Output("conditioning", tooltip="The text, for a sampler's positive."),
                io.Mask.Output("masks", tooltip="The regions as a batch of masks."),
            ],
        )  # fmt: skip

    @classmethod
    def validate_inputs(cls, ratios="1,1", text=""):
        """Shows ratios that can't be read, or a slip in the text, when the graph is queued."""
        refused = refusal(read_ratios, ratios)
        return refused if isinstance(refused, str) else shown_mistake(Text=text)

    @classmethod
    def fingerprint_inputs(cls, text=None, **others):
        """A text whose wildcards changed is another one."""
        return changes(text)

    @classmethod
    def execute(cls, clip, ratios, base, feather, text, seed, masks=None, conditioner=None) -> io.NodeOutput:
        if masks is None:
            found = ratio_masks(ratios, SIZE, SIZE, feather)
        else:
            found = shared_masks(as_mask(masks, *masks.shape[-2:]))
        regions = RegionConditioner(found, base, before=conditioner)
        conditioning = []
        if text.strip():
            prompt = read_prompt(drawn_text(text, seed, wildcards(), "Text"), "Text")
            if not prompt.plain:
                raise ValueError(
                    "The text of ISI Regions is the same at every step: leave out schedules, AND and LoRAs, "
                    "or write them into ISI Script and connect the conditioner to ISI Iterate."
                )
            conditioning = regions.encode_parts(clip, prompt.text)
        shown = ui.PreviewImage(region_picture(found), cls=cls)
        given = found if masks is None else found.to(masks.dtype)
        return io.NodeOutput(regions, conditioning, given, ui=shown)


NODES: list[type[io.ComfyNode]] = [Regions]
