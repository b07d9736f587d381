"""Prompts that change while they are sampled, for the user's own samplers."""

from __future__ import annotations

from comfy_api.latest import io

from ..core.language.resolve import drawn_text
from ..host.prompts.alone import ComposeGuider, conditioning
from ..host.prompts.speak import shown_mistake
from ..host.prompts.wildcard_folders import changes, wildcards

CATEGORY = "ISI/prompts"
TEXT = "[day:night:.5] in the city, {red|blue} lights"
GRAMMAR = (
    "Schedules `[from:to:when]` and `[a|b]`, `AND` with weights, `BREAK`, `<lora:name:0.8>`, choices `{a|b}` "
    "and `__wildcards__`"
)


def drawing_seed() -> io.Input:
    return io.Int.Input(
        "seed", default=0, min=0, max=2**64 - 1, optional=True,
        control_after_generate=io.ControlAfterGenerate.fixed, tooltip="Draws choices and wildcards.",
    )  # fmt: skip


class PromptNode(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="ISI_Prompt",
            display_name="ISI Prompt",
            category=CATEGORY,
            description=f"A prompt for any sampler. {GRAMMAR}: by the steps of the connected sigmas, without "
            "them by shares of the whole schedule.",
            search_aliases=["prompt editing", "prompt schedule", "lora tag", "wildcards", "BREAK"],
            inputs=[
                io.String.Input(
                    "text", default=TEXT, multiline=True, dynamic_prompts=False,
                    tooltip="The prompt, as in a group of ISI Script.",
                ),
                io.Clip.Input("clip", tooltip="Encodes the prompt."),
                io.Model.Input(
                    "model", optional=True,
                    tooltip="Needed for steps, AND and LoRAs. Connect the model output to the sampler.",
                ),
                io.Sigmas.Input(
                    "sigmas", optional=True,
                    tooltip="The sigmas that are sampled (BasicScheduler). Without them only shares count.",
                ),
                drawing_seed(),
            ],
            outputs=[
                io.Conditioning.Output("conditioning", tooltip="For a sampler's positive or negative."),
                io.Model.Output("model", tooltip="The model that heeds steps, AND and LoRAs."),
                io.String.Output("text", tooltip="The prompt with the words that were drawn."),
            ],
        )  # fmt: skip

    @classmethod
    def validate_inputs(cls, text=""):
        """Shows a slip in the prompt when the graph is queued, before any node runs."""
        return shown_mistake(Prompt=text)

    @classmethod
    def fingerprint_inputs(cls, text=None, **others):
        """A prompt whose wildcards changed is another one."""
        return changes(text)

    @classmethod
    def execute(cls, text, clip, model=None, sigmas=None, seed=0) -> io.NodeOutput:
        drawn = drawn_text(text, seed, wildcards(), "Prompt")
        said = conditioning(drawn, clip, model, sigmas)
        return io.NodeOutput(said.positive, said.model, drawn)


class ComposeGuiderNode(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="ISI_ComposeGuider",
            display_name="ISI Compose Guider",
            category=CATEGORY,
            description=f"A guider for SamplerCustomAdvanced that reads its prompts itself. {GRAMMAR}: by "
            "the steps that are sampled. Parts with `AND` are guided to apart: u + cfg * sum of w (c - u).",
            search_aliases=["composable diffusion", "AND", "negative weights"],
            inputs=[
                io.Model.Input("model", tooltip="The model that is sampled."),
                io.Clip.Input("clip", tooltip="Encodes the prompts."),
                io.String.Input(
                    "text", default="a forest AND fog :0.7", multiline=True, dynamic_prompts=False,
                    tooltip="The prompt, as in a group of ISI Script.",
                ),
                io.String.Input(
                    "negative", default="", multiline=True, dynamic_prompts=False,
                    tooltip="What to guide away from; schedules work here too, AND does not.",
                ),
                io.Float.Input(
                    "cfg", default=7.0, min=0.0, max=100.0, step=0.1, tooltip="How strongly the prompt acts."
                ),
                drawing_seed(),
            ],
            outputs=[io.Guider.Output("guider", tooltip="Connect to SamplerCustomAdvanced.")],
        )  # fmt: skip

    @classmethod
    def validate_inputs(cls, text="", negative=""):
        """Shows a slip in a prompt when the graph is queued, before any node runs."""
        return shown_mistake(Prompt=text, Negative=negative)

    @classmethod
    def fingerprint_inputs(cls, text=None, negative=None, **others):
        """Prompts whose wildcards changed are others."""
        return changes(text) or changes(negative)

    @classmethod
    def execute(cls, model, clip, text, negative, cfg, seed=0) -> io.NodeOutput:
        known = wildcards()
        text = drawn_text(text, seed, known, "Prompt")
        negative = drawn_text(negative, seed, known, "Negative")
        return io.NodeOutput(ComposeGuider(model, clip, text, negative, cfg))


NODES: list[type[io.ComfyNode]] = [PromptNode, ComposeGuiderNode]
