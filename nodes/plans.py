"""Plans as values: join them, or hand them to any other loop as lists."""

from __future__ import annotations

from comfy_api.latest import io

from ..core.loop.plan import join
from . import sockets

CATEGORY = "ISI/iterate"


class JoinPlans(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="ISI_JoinPlans",
            display_name="ISI Join Plans",
            category=CATEGORY,
            description="One plan that does the first, then the second: loop, then outpaint, then upscale.",
            search_aliases=["concat plans", "append plan"],
            inputs=[
                sockets.Plan.Input("first", tooltip="The plan that runs first."),
                sockets.Plan.Input("second", tooltip="The plan that goes on from its last picture."),
            ],
            outputs=[sockets.Plan.Output("plan", tooltip="Both, one after the other.")],
        )

    @classmethod
    def execute(cls, first, second) -> io.NodeOutput:
        return io.NodeOutput(join([first, second]))


class PlanToLists(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="ISI_PlanToLists",
            display_name="ISI Plan to Lists",
            category=CATEGORY,
            description="A plan's prompts, cfgs, denoises and seeds as lists, for any other loop or sampler.",
            search_aliases=["prompt list", "batch prompts", "for each"],
            inputs=[sockets.Plan.Input("plan", tooltip="From ISI Script or another plan maker.")],
            outputs=[
                io.String.Output("prompts", is_output_list=True, tooltip="A prompt a step."),
                io.Float.Output("cfgs", is_output_list=True, tooltip="A cfg a step."),
                io.Float.Output("denoises", is_output_list=True, tooltip="A denoise a step."),
                io.Int.Output("seeds", is_output_list=True, tooltip="A seed a step."),
            ],
        )

    @classmethod
    def execute(cls, plan) -> io.NodeOutput:
        steps = plan.steps
        return io.NodeOutput(
            [s.prompt for s in steps],
            [s.cfg for s in steps],
            [s.denoise for s in steps],
            [s.seed for s in steps],
        )


NODES: list[type[io.ComfyNode]] = [JoinPlans, PlanToLists]
