"""Colour tools for loops: bring grey, washed-out results back to full contrast."""

from __future__ import annotations

from comfy_api.latest import io

from ..core.pictures.colour import MATCHINGS, MODES, equalize, match_colours
from ..core.pictures.masks import as_mask
from ..host.packages import needed_by


class Equalize(io.ComfyNode):
    """Histogram equalisation in float."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ISI_Equalize",
            display_name="ISI Equalize",
            category="ISI/colour",
            description=(
                "Histogram equalisation in float: spreads the levels of a grey, washed-out picture over the "
                "whole range, without the banding of the 8-bit version."
            ),
            search_aliases=["histogram equalization", "auto contrast", "auto levels", "grey vae fix"],
            inputs=[
                io.Image.Input("image", tooltip="The pictures; each one of a batch is equalised alone."),
                io.Combo.Input(
                    "mode",
                    options=list(MODES),
                    default=MODES[0],
                    tooltip=(
                        "per channel: red, green and blue each, which also removes a colour cast. luma: "
                        "brightness only, hues stay."
                    ),
                ),
                io.Float.Input(
                    "strength",
                    default=1.0,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip="How much of the equalised picture is mixed in. 0 leaves the picture as it is.",
                ),
            ],
            outputs=[io.Image.Output(display_name="image", tooltip="The equalised pictures; alpha stays.")],
        )

    @classmethod
    def execute(cls, image, mode, strength) -> io.NodeOutput:
        return io.NodeOutput(equalize(image, mode, strength))


class ColorMatch(io.ComfyNode):
    """The colours of one picture given to another."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ISI_ColorMatch",
            display_name="ISI Color Match",
            category="ISI/colour",
            description=(
                "Gives pictures the colours of a reference: takes back the cast of a sampler or a VAE, or "
                "makes the pictures of a set look alike. In float; values are not clamped."
            ),
            search_aliases=["colour transfer", "color transfer", "histogram matching", "match colors",
                            "reinhard", "fix color shift"],
            inputs=[
                io.Image.Input("image", tooltip="The pictures to correct; each one of a batch alone."),
                io.Image.Input(
                    "reference", tooltip="The picture with the right colours: one for all, or one a picture."
                ),
                io.Combo.Input(
                    "mode", options=list(MATCHINGS), default=MATCHINGS[0],
                    tooltip="mean and contrast: those of each channel. lab: the same in L*a*b*, which keeps "
                    "brightness and colour apart. histogram: the whole distribution of each channel.",
                ),
                io.Float.Input(
                    "strength", default=1.0, min=0.0, max=1.0, step=0.01,
                    tooltip="How much of the matched picture is mixed in. 0 leaves the picture as it is.",
                ),
                io.Mask.Input(
                    "exclude", optional=True,
                    tooltip="What is not measured, since it ought to differ: what an inpainting replaced. In "
                    "a reference of the same size neither. It is corrected with the rest.",
                ),
            ],
            outputs=[io.Image.Output(display_name="image", tooltip="The matched pictures; alpha stays.")],
        )  # fmt: skip

    @classmethod
    def execute(cls, image, reference, mode, strength, exclude=None) -> io.NodeOutput:
        if exclude is not None:
            exclude = as_mask(exclude, *image.shape[1:3], len(image))
        with needed_by("The mode lab of ISI Color Match"):
            return io.NodeOutput(match_colours(image, reference, mode, strength, exclude))


NODES: list[type[io.ComfyNode]] = [Equalize, ColorMatch]
