"""Colour tools for loops: bring grey, washed-out results back to full contrast."""

from __future__ import annotations

from comfy_api.latest import io

from ..core.pictures.colour import MODES, equalize


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


NODES: list[type[io.ComfyNode]] = [Equalize]
