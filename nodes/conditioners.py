"""What each step of a loop is conditioned by, besides its text."""

from __future__ import annotations

from comfy_api.latest import io

from ..host.conditioning import given
from ..host.conditioning.control_net import HINTS, ControlNetConditioner
from ..host.conditioning.ella import EllaConditioner
from ..host.conditioning.ella_connector import ella_files, load_connector, load_text_encoder, text_encoders
from ..host.vision import clip_vision, families, reference
from ..host.vision.clip_vision import ClipVisionConditioner
from ..host.vision.preprocess import read_preprocess
from . import sockets
from .guard import refusal


class ControlNet(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="ISI_ControlNetConditioner",
            display_name="ISI ControlNet Conditioner",
            category="ISI/iterate",
            description="A ControlNet whose hint is made at each step from the picture the step starts from.",
            search_aliases=["controlnet loop", "controlnet tile", "moving hint", "depth", "pose"],
            inputs=[
                io.ControlNet.Input("control_net", tooltip="A ControlNet that belongs to the model."),
                io.Combo.Input(
                    "hint", options=HINTS, default="picture",
                    tooltip="picture: the picture itself (tile models). edges: its Canny edges.",
                ),
                io.Float.Input(
                    "strength", default=1.0, min=0.0, max=10.0, step=0.01, tooltip="0 is off."
                ),
                io.Float.Input(
                    "start_percent", default=0.0, min=0.0, max=1.0, step=0.001,
                    tooltip="Where in the full schedule it begins to act.",
                ),
                io.Float.Input(
                    "end_percent", default=1.0, min=0.0, max=1.0, step=0.001,
                    tooltip="Where in the full schedule it stops.",
                ),
                sockets.before_input(),
                io.Image.Input(
                    "hint_image", optional=True,
                    tooltip="A hint of your own (depth, pose) in the place of the moving picture: one image, "
                    "or a batch with one for each step.",
                ),
                sockets.Preprocess.Input(
                    "preprocess", optional=True,
                    tooltip="ISI Preprocess: depth, pose, lines of the picture, made anew at each step.",
                ),
            ],
            outputs=[sockets.conditioner_output()],
        )  # fmt: skip

    @classmethod
    def execute(
        cls,
        control_net,
        hint,
        strength,
        start_percent,
        end_percent,
        conditioner=None,
        hint_image=None,
        preprocess=None,
    ) -> io.NodeOutput:
        values = control_net, strength, start_percent, end_percent, hint, hint_image, preprocess
        return io.NodeOutput(ControlNetConditioner(*values, before=conditioner))


class ApplyConditioning(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="ISI_ApplyConditioning",
            display_name="ISI Apply Conditioning",
            category="ISI/iterate",
            description="Puts what other nodes made of a conditioning onto the text of each step of a loop: "
            "unCLIP, ControlNets with a hint of your own, FluxGuidance, GLIGEN, reference latents, areas, "
            "timestep ranges, hooks.",
            search_aliases=["unclip loop", "flux guidance loop", "gligen loop", "controlnet loop", "redux"],
            inputs=[
                io.Conditioning.Input(
                    "positive",
                    tooltip="Any conditioning: its values go onto each step's text. Its own may be empty.",
                ),
                io.Combo.Input(
                    "mode", options=given.MODES, default="keep text",
                    tooltip="keep text: each step keeps the words of the script. replace text: the words of "
                    "this conditioning take their place.",
                ),
                io.Conditioning.Input(
                    "negative", optional=True,
                    tooltip="The same for the negative. Without one the negative is the text alone.",
                ),
                sockets.before_input(),
            ],
            outputs=[sockets.conditioner_output()],
        )  # fmt: skip

    @classmethod
    def execute(cls, positive, mode, negative=None, conditioner=None) -> io.NodeOutput:
        replaces = mode == "replace text"
        return io.NodeOutput(given.GivenConditioner(positive, negative, replaces, before=conditioner))


class ReferenceConditionerNode(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="ISI_ReferenceConditioner",
            display_name="ISI Reference Conditioner",
            category="ISI/iterate",
            description="Lets ISI Iterate run an edit model (Qwen-Image-Edit, Flux Kontext, Flux.2, others): "
            "each step's reference is the picture that the last one made. 'make it night; add snow'.",
            search_aliases=[
                "kontext", "flux kontext loop", "edit model", "reference latent", "flux.2 edit",
                "qwen image edit", "z-image omni", "omnigen2", "joyimage", "hidream o1",
            ],
            inputs=[
                io.Combo.Input(
                    "method", options=reference.METHODS, default="auto",
                    tooltip="How the model tells references apart, as in Edit Model Reference Method. auto: "
                    "the model's own way.",
                ),
                io.Boolean.Input(
                    "scale", default=True,
                    tooltip="Flux Kontext, Z-Image Omni: references at the sizes they were trained with "
                    "(about a megapixel). Off: at their own size. Other families have sizes of their own.",
                ),
                io.Image.Input("image2", optional=True, tooltip="A second reference, the same at each step."),
                io.Image.Input("image3", optional=True, tooltip="A third reference, the same at each step."),
                sockets.before_input(),
                io.Image.Input("image4", optional=True, tooltip="A fourth reference, the same at each step."),
                io.Combo.Input(
                    "encoder", options=families.ENCODERS, default="auto", optional=True,
                    tooltip="auto: the model tells. Qwen-Image-Edit: for the first model of that name; the "
                    "later ones (2509, 2511) look the same and take auto.",
                ),
                io.ClipVision.Input(
                    "clip_vision", optional=True,
                    tooltip="Z-Image Omni alone: the SigLIP 2 that it looks with.",
                ),
            ],
            outputs=[sockets.conditioner_output()],
        )  # fmt: skip

    @classmethod
    def execute(
        cls, method, scale, image2=None, image3=None, conditioner=None, image4=None, encoder="auto",
        clip_vision=None,
    ) -> io.NodeOutput:  # fmt: skip
        images = tuple(image for image in (image2, image3, image4) if image is not None)
        made = reference.ReferenceConditioner(method, scale, images, encoder, clip_vision, before=conditioner)
        return io.NodeOutput(made)


class Preprocess(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ISI_Preprocess",
            display_name="ISI Preprocess",
            category="ISI/iterate",
            description="Runs a node that makes a picture of a picture (Canny, depth, pose, lines) at "
            "each step of a loop, on the picture it starts from: for ISI ControlNet Conditioner.",
            search_aliases=["controlnet preprocessor", "depth loop", "pose loop", "canny loop", "aux"],
            inputs=[
                io.String.Input(
                    "node", default="Canny",
                    tooltip="The node: the name of its class or its title. It needs one picture and settings "
                    "alone.",
                ),
                io.String.Input(
                    "settings", default="", multiline=True, dynamic_prompts=False,
                    tooltip="Its widgets, one a line: low_threshold = 0.2. What is not set has the node's "
                    "default.",
                ),
                sockets.Preprocess.Input(
                    "preprocess", optional=True, tooltip="Another ISI Preprocess that acts before this one."
                ),
            ],
            outputs=[
                sockets.Preprocess.Output("preprocess", tooltip="Connect to ISI ControlNet Conditioner.")
            ],
        )  # fmt: skip

    @classmethod
    def validate_inputs(cls, node="Canny", settings=""):
        """Shows a node or setting that there is not when the graph is queued."""
        return refusal(read_preprocess, node, settings)

    @classmethod
    def execute(cls, node, settings, preprocess=None) -> io.NodeOutput:
        return io.NodeOutput(read_preprocess(node, settings, preprocess))


class ClipVision(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ISI_ClipVisionConditioner",
            display_name="ISI CLIP Vision Conditioner",
            category="ISI/iterate",
            description="Shows the model the picture that each step of a loop starts from, or your own: "
            "unCLIP variations, or a style model such as Redux.",
            search_aliases=["unclip loop", "redux loop", "image variations", "style model", "revision"],
            inputs=[
                io.ClipVision.Input("clip_vision", tooltip="The CLIP vision that belongs to the model."),
                io.Float.Input(
                    "strength", default=1.0, min=0.0, max=10.0, step=0.01,
                    tooltip="How much what it sees counts. 0 is off.",
                ),
                io.Float.Input(
                    "noise_augmentation", default=0.0, min=0.0, max=1.0, step=0.01,
                    tooltip="unCLIP: how far from the picture it may go. Not used with a style model.",
                ),
                io.Combo.Input(
                    "strength_type", options=clip_vision.STRENGTHS, default="multiply",
                    tooltip="Style models: multiply scales their tokens, attn_bias how much they are heeded.",
                ),
                io.Combo.Input(
                    "crop", options=clip_vision.CROPS, default="center",
                    tooltip="center: the middle square is seen. none: all of it, squeezed.",
                ),
                io.StyleModel.Input(
                    "style_model", optional=True, tooltip="Redux or another style model, in place of unCLIP."
                ),
                io.Image.Input(
                    "image", optional=True,
                    tooltip="Seen at every step in place of the moving picture; several are mixed.",
                ),
                sockets.before_input(),
            ],
            outputs=[sockets.conditioner_output()],
        )  # fmt: skip

    @classmethod
    def execute(
        cls, clip_vision, strength, noise_augmentation, strength_type, crop, style_model=None, image=None,
        conditioner=None,
    ) -> io.NodeOutput:  # fmt: skip
        made = ClipVisionConditioner(
            clip_vision, style_model, strength, noise_augmentation, strength_type, crop, image,
            before=conditioner,
        )  # fmt: skip
        return io.NodeOutput(made)


class Ella(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ISI_EllaConditioner",
            display_name="ISI ELLA Conditioner",
            category="ISI/iterate",
            description="Lets an SD 1.5 model follow long prompts: FLAN-T5 reads the text of each step, and "
            "ELLA tells the model what it says, anew at each timestep.",
            search_aliases=["ella", "t5 sd1.5", "long prompt", "semantic alignment"],
            inputs=[
                io.Combo.Input(
                    "ella", options=ella_files(),
                    tooltip="A file of models/ella: ella-sd1.5-tsc-t5xl.safetensors.",
                ),
                io.Combo.Input(
                    "text_encoder", options=text_encoders(),
                    tooltip="The encoder of FLAN-T5 XL, in models/text_encoders. Load CLIP can't load it.",
                ),
                io.Boolean.Input(
                    "clip_tokens", default=False,
                    tooltip="CLIP's own tokens follow ELLA's 64: for words that T5 does not know, such as "
                    "embeddings and the triggers of LoRAs.",
                ),
                sockets.before_input(),
            ],
            outputs=[sockets.conditioner_output()],
        )  # fmt: skip

    @classmethod
    def execute(cls, ella, text_encoder, clip_tokens, conditioner=None) -> io.NodeOutput:
        connector, t5 = load_connector(ella), load_text_encoder(text_encoder)
        return io.NodeOutput(EllaConditioner(connector, t5, clip_tokens, before=conditioner))


NODES: list[type[io.ComfyNode]] = [
    ApplyConditioning,
    ControlNet,
    ReferenceConditionerNode,
    Preprocess,
    ClipVision,
    Ella,
]
