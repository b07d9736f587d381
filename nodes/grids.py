"""Grids: the same graph with other values, side by side."""

from __future__ import annotations

from comfy_api.latest import io, ui

from ..core.grids.axes import read_axes
from ..host.grids.queueing import go_on, nothing_yet, shown, take_pictures, wants_picture
from ..host.grids.sheet import sheet
from .guard import refusal

EXAMPLE = "KSampler.cfg = 3, 5, 7\nKSampler.sampler_name = euler, dpmpp_2m"


class Grid(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="ISI_Grid",
            display_name="ISI Grid",
            category="ISI/grids",
            description="Makes the connected picture once for each combination of values, as ordinary "
            "prompts of the queue, and shows all of them side by side. Queued again, it makes only what is "
            "missing.",
            search_aliases=["x/y/z plot", "infinity grid", "prompt matrix", "compare", "sweep", "axes"],
            inputs=[
                io.Image.Input("image", lazy=True, tooltip="The picture that is to be compared."),
                io.String.Input(
                    "axes", default=EXAMPLE, multiline=True,
                    tooltip="One axis a line: Title.widget = values, such as 3, 5 .. 11. Further: "
                    'seeds = 1 .. 4, prompt = replace "oak": "birch", skip = cfg > 9; the help page has all.',
                ),
                io.String.Input(
                    "name", default="", optional=True,
                    tooltip="The folder under output/isi_grids; empty is a name by content. A named grid "
                    "keeps its cells when its axes change.",
                ),
            ],
            outputs=[
                io.Image.Output("sheet", tooltip="The first three axes as one labelled picture."),
                io.String.Output("folder", tooltip="Where the grid is: open index.html in it."),
            ],
            hidden=[io.Hidden.prompt],
            is_output_node=True,
            is_input_list=True,
        )  # fmt: skip

    @classmethod
    def validate_inputs(cls, axes, name=("",)):
        return refusal(read_axes, axes[0])

    @classmethod
    def fingerprint_inputs(cls, **_):
        return float("nan")  # which cells are there changes outside of the graph

    @classmethod
    def check_lazy_status(cls, **_):
        return ["image"] if wants_picture() else []

    @classmethod
    def execute(cls, axes, image=(None,), name=("",)) -> io.NodeOutput:
        made = take_pictures(image)
        if made:
            return io.NodeOutput(nothing_yet(), nothing_yet(), ui=made)
        plan, finished = go_on(cls.hidden.prompt, axes[0])
        if not finished:
            return io.NodeOutput(nothing_yet(), nothing_yet(), ui=shown(plan.folder))
        whole = sheet(plan)
        seen = ui.PreviewImage(whole, cls=cls).as_dict() | shown(plan.folder)
        return io.NodeOutput(whole, str(plan.folder.path), ui=seen)


NODES: list[type[io.ComfyNode]] = [Grid]
