"""The loop: a script becomes a plan, and ISI Iterate carries one picture through it."""

from __future__ import annotations

import math

from comfy_api.latest import io

from ..core.choosing.course import Selection
from ..core.choosing.rules import RULES
from ..core.language.mistakes import ScriptError
from ..core.language.resolve import check_wildcards
from ..core.language.script import parse
from ..core.language.settings import CANDIDATE_RANGE
from ..core.loop.drift import REFERENCES, DriftLock
from ..core.loop.lens import HALF
from ..core.loop.memory import CARRIES, MEMORY_BLENDS, Memory
from ..core.loop.schedule import CHOOSING, CURVES, SEED_MODES, make_plan, with_negatives
from ..core.loop.settle import Settle
from ..host.choosing.choosing import BLOCKED, choices_stamp, note_node
from ..host.conditioning.concat_conditioner import with_own_mask
from ..host.extras import EXTRAS
from ..host.loop.gallery import check_run_name
from ..host.loop.noise import Noise
from ..host.loop.notes import graph_notes
from ..host.loop.run import Request, run_plan
from ..host.loop.sampling import SAMPLERS, SCHEDULERS, Models, Sampling
from ..host.prompts.speak import check_names, shown_mistake
from ..host.prompts.wildcard_folders import changes, wildcards
from . import sockets
from .guard import refusal

CATEGORY = "ISI/iterate"
NAMES = {"sampler": SAMPLERS, "scheduler": SCHEDULERS}
SCRIPT = (
    "{a photo of an old oak tree, masterpiece} spring blossom; (summer green:1.1); golden autumn; deep snow"
)


class Script(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="ISI_Script",
            display_name="ISI Script",
            category=CATEGORY,
            description="Writes a plan: one step a group, groups separated by `;`. `{...}` joins every step, "
            "`(...:1.3)` around a whole group weighs it, `@denoise=.4 @cfg=6 @seed=7 @steps=12 *3` at a "
            "group's end sets that step alone, `{red|green}` and `__wildcard__` draw words.",
            search_aliases=["prompt schedule", "prompt loop", "img2img loop", "loopback", "iterative prompt"],
            inputs=[
                io.String.Input(
                    "script", default=SCRIPT, multiline=True, dynamic_prompts=False,
                    tooltip="{global} first; (second:1.3); third @denoise=.4 *2. Escape { } ; ( ) with \\.",
                ),
                io.Int.Input("steps", default=20, min=1, max=10000, tooltip="Sampler steps an iteration."),
                io.Float.Input(
                    "cfg", default=7.0, min=0.0, max=100.0, step=0.1,
                    tooltip="How strongly the prompt acts; a group's weight multiplies it.",
                ),
                io.Float.Input(
                    "denoise", default=0.75, min=0.0, max=1.0, step=0.01,
                    tooltip="How much the first iteration changes its picture.",
                ),
                io.Float.Input(
                    "final_denoise", default=0.75, min=0.0, max=1.0, step=0.01,
                    tooltip="How much the last iteration changes its picture; the curve lies between.",
                ),
                io.Combo.Input(
                    "curve", options=list(CURVES), default="constant",
                    tooltip="From denoise to final_denoise: constant keeps denoise, aggressive moves early, "
                    "lazy moves late.",
                ),
                io.Int.Input(
                    "seed", default=0, min=0, max=2**64 - 1,
                    control_after_generate=io.ControlAfterGenerate.fixed,
                    tooltip="Seed of the first iteration.",
                ),
                io.Combo.Input(
                    "seed_mode", options=list(SEED_MODES), default="increment",
                    tooltip="Seeds of the others: increment counts up, fixed keeps one (noise burns in), "
                    "hashed draws one for each.",
                ),
                io.Combo.Input(
                    "choices", options=list(CHOOSING), default="random", optional=True,
                    tooltip="How choices and wildcards become words: random draws them from each iteration's "
                    "seed, all makes an iteration of every combination.",
                ),
            ],
            outputs=[
                sockets.Plan.Output("plan", tooltip="Connect to ISI Iterate."),
                io.Int.Output("count", tooltip="How many iterations the plan has."),
                io.String.Output("summary", tooltip="The plan as a table, a line an iteration."),
            ],
        )  # fmt: skip

    @classmethod
    def validate_inputs(cls, script):
        """Shows a slip in the script when the graph is queued, before any node runs."""
        if script is None:  # another node makes it
            return True
        try:
            check_wildcards(parse(script, NAMES), wildcards())
            check_names(script)
        except ScriptError as error:
            return str(error)
        return True

    @classmethod
    def fingerprint_inputs(cls, script=None, **others):
        """A script whose wildcards changed is another one."""
        return changes(script)

    @classmethod
    def execute(
        cls, script, steps, cfg, denoise, final_denoise, curve, seed, seed_mode, choices="random"
    ) -> io.NodeOutput:
        read = parse(script, NAMES)
        plan = make_plan(
            read, steps, cfg, denoise, final_denoise, curve, seed, seed_mode, choices, wildcards()
        )
        table = "\n".join([plan.table(), *map(str, read.hints)])
        return io.NodeOutput(plan, len(plan), table, ui={"text": [table]})


class Iterate(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="ISI_Iterate",
            display_name="ISI Iterate",
            category=CATEGORY,
            description="Runs a plan: each step is image-to-image on what the step before it made. "
            "Each finished iteration is saved at once under output/isi, and queueing again goes on where a "
            "run stopped. Without an image the first step is text-to-image.",
            search_aliases=["loop", "loopback", "iterative img2img", "KSampler loop", "feedback"],
            is_output_node=True,
            hidden=[io.Hidden.prompt, io.Hidden.extra_pnginfo],
            inputs=[
                io.Model.Input("model", tooltip="The model that samples every step."),
                io.Clip.Input("clip", tooltip="Encodes the prompts of the plan."),
                io.Vae.Input("vae", tooltip="Turns pictures into latents and back; the one of the model."),
                sockets.Plan.Input("plan", tooltip="From ISI Script or another plan maker."),
                io.String.Input(
                    "negative", default="", multiline=True, dynamic_prompts=False,
                    tooltip="What no step should show.",
                ),
                io.Combo.Input("sampler_name", options=SAMPLERS, default="euler", tooltip="As in KSampler."),
                io.Combo.Input("scheduler", options=SCHEDULERS, default="normal", tooltip="As in KSampler."),
                io.Image.Input(
                    "image", optional=True,
                    tooltip="Where the first step starts. Not connected: it starts from text alone.",
                ),
                io.Mask.Input(
                    "mask", optional=True,
                    tooltip="1 where the picture may change; everything else stays bit for bit.",
                ),
                io.Int.Input(
                    "width", default=512, min=8, max=16384, optional=True,
                    tooltip="Width of a text-to-image first step; not used with an image.",
                ),
                io.Int.Input(
                    "height", default=512, min=8, max=16384, optional=True,
                    tooltip="Height of a text-to-image first step; not used with an image.",
                ),
                sockets.Memory.Input("memory", optional=True, tooltip="What a step takes over (ISI Memory)."),
                sockets.Drift.Input("drift", optional=True, tooltip="Keeps colours (ISI Drift Lock)."),
                sockets.Stop.Input("stop", optional=True, tooltip="Ends early (ISI Stop When Settled)."),
                sockets.Conditioner.Input(
                    "conditioner", optional=True,
                    tooltip="A ControlNet or concat model that follows the moving picture.",
                ),
                io.String.Input(
                    "run_name", default="", optional=True,
                    tooltip="Folder under output/isi, and name for ISI Open Run. Empty: named by content.",
                ),
                io.Int.Input(
                    "redo_from", default=0, min=0, max=1_000_000, optional=True,
                    tooltip="Makes the steps from this one on again, whatever is stored. 0 is off.",
                ),
                io.Sampler.Input(
                    "sampler", optional=True, tooltip="A sampler of your own, instead of sampler_name."
                ),
                io.Sigmas.Input(
                    "sigmas", optional=True,
                    tooltip="Noise levels of your own for every step, instead of scheduler and the plan's "
                    "steps. A denoise below 1 takes the last share of them, as SplitSigmasDenoise does.",
                ),
                io.Noise.Input(
                    "noise", optional=True,
                    tooltip="ISI Noise: what each step starts from, by the seeds of the plan.",
                ),
                io.Int.Input(
                    "candidates", default=1, min=CANDIDATE_RANGE[0], max=CANDIDATE_RANGE[1], optional=True,
                    tooltip="Seeds that each step is sampled with, one of which it goes on with; 1 is none "
                    "to choose from. A group that ends with *4? has 4 of its own.",
                ),
                io.Combo.Input(
                    "choose", options=list(RULES), default="by hand", optional=True,
                    tooltip="Which candidate a step goes on with. by hand: the run stops there until one is "
                    "clicked in the strip. All candidates are kept, and another can be clicked later.",
                ),
                sockets.Score.Input(
                    "score", optional=True, tooltip="ISI Score: what choose at best score goes by."
                ),
            ],
            outputs=[
                io.Image.Output("image", tooltip="The last iteration."),
                io.Latent.Output("latent", tooltip="The last iteration's latent."),
                sockets.Run.Output("run", tooltip="All iterations: for ISI Run Images, ISI Contact Sheet."),
            ],
        )  # fmt: skip

    @classmethod
    def validate_inputs(cls, run_name="", negative=""):
        """Shows a name or a negative that can't be used when the graph is queued."""
        refused = refusal(check_run_name, run_name)
        return refused if isinstance(refused, str) else shown_mistake(Negative=negative)

    @classmethod
    def fingerprint_inputs(cls, redo_from=0, negative=None, **others):
        """What is to be done again is done at every queueing; changed wildcards make another negative, and
        what is chosen is gone on with."""
        if redo_from:
            return math.nan
        stamp = choices_stamp()
        return [changes(negative), stamp] if stamp else changes(negative)

    @classmethod
    def execute(
        cls, model, clip, vae, plan, negative, sampler_name, scheduler, image=None, mask=None, width=512,
        height=512, memory=None, drift=None, stop=None, conditioner=None, run_name="", redo_from=0,
        sampler=None, sigmas=None, noise=None, candidates=1, choose="by hand", score=None,
    ) -> io.NodeOutput:  # fmt: skip
        plan = with_negatives(plan, negative, wildcards())
        models = Models(model, clip, vae, with_own_mask(model, conditioner))
        if not isinstance(noise, Noise | None):
            raise ValueError(
                f"Expected noise from ISI Noise, but got {type(noise).__name__}, which can't follow the "
                "seeds of a plan: connect ISI Noise, or nothing."
            )
        sampling = Sampling(negative, sampler_name, scheduler, (height, width), sampler, sigmas, noise)
        request = Request(
            models, sampling, plan, image, mask, memory or Memory(), drift, stop, run_name, redo_from,
            Selection(candidates, choose, score),
        )  # fmt: skip
        notes = graph_notes(cls.hidden.prompt, cls.hidden.extra_pnginfo)
        result = run_plan(request, EXTRAS, notes)
        note_node(result.run, result.image is None)
        told = {"run": result.run.name, "count": len(result.run), "waiting": result.waiting}
        shown = {"images": result.shown, "isi_run": [told]}
        if result.image is None:
            # What follows in the graph waits as well.
            return io.NodeOutput(*[BLOCKED] * len(cls.define_schema().outputs), ui=shown)
        half = image is not None and image.dtype in HALF
        made = result.image.to(image.dtype) if half else result.image
        return io.NodeOutput(made, result.latent, result.run, ui=shown)


class MemoryNode(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="ISI_Memory",
            display_name="ISI Memory",
            category=CATEGORY,
            description="What a step takes over from the ones before it: the last picture alone, a fading "
            "mix of all (ema), or the last one pulled back to the first (anchor).",
            search_aliases=["feedback", "moving average", "anchor image"],
            inputs=[
                io.Combo.Input(
                    "carry", options=list(CARRIES), default="image",
                    tooltip="image decodes and encodes between steps; latent skips that: no VAE loss, but no "
                    "drift lock either.",
                ),
                io.Combo.Input(
                    "blend", options=list(MEMORY_BLENDS), default="last",
                    tooltip="last: only the last result. ema: m = (1 - amount) m + amount result. "
                    "anchor: (1 - amount) result + amount first picture.",
                ),
                io.Float.Input(
                    "amount", default=0.5, min=0.0, max=1.0, step=0.01,
                    tooltip="ema: share of the new result (1 = no memory). anchor: pull to the first picture "
                    "(0 = none). Not used with last.",
                ),
            ],
            outputs=[sockets.Memory.Output("memory", tooltip="Connect to ISI Iterate.")],
        )  # fmt: skip

    @classmethod
    def execute(cls, carry, blend, amount) -> io.NodeOutput:
        return io.NodeOutput(Memory(carry, blend, amount))


class DriftLockNode(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="ISI_DriftLock",
            display_name="ISI Drift Lock",
            category=CATEGORY,
            description="Keeps colours from drifting over many iterations: each result gets the mean and "
            "spread of a reference per channel before the next step starts from it.",
            search_aliases=["color correction", "colour match", "hue drift", "color drift"],
            inputs=[
                io.Combo.Input(
                    "reference", options=list(REFERENCES), default="initial image",
                    tooltip="What colours to keep. Without an initial image the first result is used.",
                ),
                io.Float.Input(
                    "strength", default=1.0, min=0.0, max=1.0, step=0.01, tooltip="0 is off, 1 is full."
                ),
                io.Boolean.Input(
                    "save_corrected", default=False,
                    tooltip="Off: what is saved and put out is the result as sampled, and only the next step "
                    "starts from the corrected one. On: the corrected picture is saved too.",
                ),
                io.Image.Input("image", optional=True, tooltip="The picture for reference = given image."),
                io.Mask.Input(
                    "mask", optional=True,
                    tooltip="Pixels that should change colour: they are not counted.",
                ),
            ],
            outputs=[sockets.Drift.Output("drift", tooltip="Connect to ISI Iterate.")],
        )  # fmt: skip

    @classmethod
    def execute(cls, reference, strength, save_corrected, image=None, mask=None) -> io.NodeOutput:
        if reference == "given image" and image is None:
            raise ValueError("ISI Drift Lock is set to a given image: connect an IMAGE to its image input.")
        given = image if reference == "given image" else None
        return io.NodeOutput(DriftLock(reference, strength, save_corrected, given, mask))


class StopWhenSettled(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="ISI_StopWhenSettled",
            display_name="ISI Stop When Settled",
            category=CATEGORY,
            description="Ends a run once the picture stops changing.",
            search_aliases=["early stop", "converged", "loop until"],
            inputs=[
                io.Float.Input(
                    "threshold", default=0.01, min=0.0, max=1.0, step=0.001,
                    tooltip="Root mean square change between two iterations (0..1) that counts as settled.",
                ),
                io.Int.Input(
                    "patience", default=2, min=1, max=1000,
                    tooltip="How many iterations in a row must be below it.",
                ),
            ],
            outputs=[sockets.Stop.Output("stop", tooltip="Connect to ISI Iterate.")],
        )  # fmt: skip

    @classmethod
    def execute(cls, threshold, patience) -> io.NodeOutput:
        return io.NodeOutput(Settle(threshold, patience))


NODES: list[type[io.ComfyNode]] = [Script, Iterate, MemoryNode, DriftLockNode, StopWhenSettled]
