"""ISI_Score: a node of any pack that chooses between candidates."""

from __future__ import annotations

from comfy_api.latest import io

from ..host.choosing.score import read_score
from . import sockets
from .guard import refusal

BETTER = ("highest", "lowest")


class Score(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ISI_Score",
            display_name="ISI Score",
            category="ISI/iterate",
            description="Has a node that makes a number of a picture (aesthetics, likeness to a text, faces "
            "found) choose between the candidates of each step: for ISI Iterate, with choose at best score.",
            search_aliases=["best of n", "aesthetic score", "pick best image", "candidates", "clip score"],
            inputs=[
                io.String.Input(
                    "node", default="",
                    tooltip="The node: the name of its class or its title. It needs one picture and settings "
                    "alone, and its first FLOAT (or INT) output counts.",
                ),
                io.String.Input(
                    "settings", default="", multiline=True, dynamic_prompts=False,
                    tooltip="Its widgets, one a line: threshold = 0.2. What is not set has the node's "
                    "default.",
                ),
                io.Combo.Input(
                    "best", options=list(BETTER), default="highest",
                    tooltip="Which number is the best one. Of a batch the mean counts.",
                ),
            ],
            outputs=[sockets.Score.Output("score", tooltip="Connect to score of ISI Iterate.")],
        )  # fmt: skip

    @classmethod
    def validate_inputs(cls, node="", settings=""):
        """Shows a node or setting that there is not when the graph is queued."""
        return refusal(read_score, node, settings)

    @classmethod
    def execute(cls, node, settings, best) -> io.NodeOutput:
        return io.NodeOutput(read_score(node, settings, best == "lowest"))


NODES: list[type[io.ComfyNode]] = [Score]
