"""Nodes for models that take more than the noisy latent: conditioning, IC-Light, image guidance."""

from comfy_api.latest import io

from ..core.loop.schedule import CURVES
from ..core.models.concat import CORNERS, MASK_MODES, MAX_NOISE_LEVEL, SIDES
from ..core.pictures.detail import MODES, transfer_detail
from ..host.conditioning import concat, concat_conditioner, concat_patch, edit_guider, ic_light
from ..host.models.model_kind import kind_of_model
from . import sockets

CATEGORY = "ISI/concat models"
KIND_OPTIONS = ["auto", *concat.SUPPORTED]


def concat_kind_input() -> io.Combo.Input:
    return io.Combo.Input(
        "kind",
        options=KIND_OPTIONS,
        default="auto",
        tooltip="What the model is. auto finds out; choose one where a message says that the model could be "
        "either of two (a merged IC-Light model looks like instruct-pix2pix).",
    )


def picture_inputs() -> list:
    return [
        io.Mask.Input(
            "mask",
            optional=True,
            tooltip="Inpainting: white is painted anew. IC-Light: the matte of the foreground, white = keep.",
        ),
        io.Image.Input(
            "depth",
            optional=True,
            tooltip="Depth models: a depth map of any size and range, near = bright (Depth Anything, MiDaS).",
        ),
        io.Image.Input("background", optional=True, tooltip="IC-Light FBC: the background to light it by."),
        io.Int.Input(
            "noise_level",
            default=20,
            min=0,
            max=MAX_NOISE_LEVEL,
            optional=True,
            tooltip="x4 upscaler: noise added to the picture; more invents more detail, 0 stays closest.",
        ),
        io.Int.Input(
            "noise_seed",
            default=0,
            min=0,
            max=2**64 - 1,
            control_after_generate=io.ControlAfterGenerate.fixed,
            optional=True,
            tooltip="x4 upscaler: the seed of that noise.",
        ),
        io.Combo.Input(
            "mask_mode",
            options=list(MASK_MODES),
            default="nearest",
            optional=True,
            tooltip="Inpainting: nearest is what the model was trained with; max-pool keeps lines that are "
            "thinner than 8 pixels.",
        ),
        io.Boolean.Input(
            "invert_depth",
            default=False,
            optional=True,
            tooltip="Depth models: for maps in which near is dark.",
        ),
    ]


class ConcatConditioning(io.ComfyNode):
    """Gives a model the channels that it takes besides the noisy latent, whatever they are."""

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="ISI_ConcatConditioning",
            display_name="ISI Concat Conditioning",
            category=CATEGORY,
            description="One node for every model that takes more than the noisy latent: depth-to-image, x4 "
            "upscaler, instruct-pix2pix, IC-Light, inpainting, Marigold. It looks at the model, takes what "
            "that kind needs, and says what is missing.",
            search_aliases=[
                "concat",
                "depth2img",
                "instruct pix2pix",
                "ip2p",
                "inpaint model conditioning",
                "x4 upscale",
                "ic-light",
                "marigold",
                "edit image",
                "extra channels",
            ],  # fmt: skip
            inputs=[
                io.Model.Input("model", tooltip="A model with 5, 7, 8, 9 or 12 input channels."),
                io.Conditioning.Input("positive", tooltip="The prompt, or the instruction for an edit."),
                io.Conditioning.Input("negative", tooltip="The negative prompt."),
                io.Vae.Input("vae", tooltip="The VAE that belongs to the model."),
                concat_kind_input(),
                io.Image.Input(
                    "image", optional=True, tooltip="The picture to edit, upscale, inpaint, relight or vary."
                ),
                *picture_inputs(),
            ],
            outputs=[
                io.Model.Output("model", tooltip="The model, which now gets its extra channels."),
                io.Conditioning.Output("positive", tooltip="The prompt with the picture."),
                io.Conditioning.Output("negative", tooltip="The negative prompt with the picture."),
                io.Latent.Output("latent", tooltip="The latent to sample, at the picture's size and batch."),
            ],
        )

    @classmethod
    def execute(cls, model, positive, negative, vae, kind, **pictures) -> io.NodeOutput:
        found = kind_of_model(model).decided(kind)
        made = concat.prepare(found, model, vae, concat.Sources(**pictures))
        return io.NodeOutput(
            concat_patch.patched(model, found, made.concat),
            concat_patch.with_concat(positive, made.concat),
            concat_patch.with_concat(negative, made.concat),
            made.latent,
        )


class ICLight(io.ComfyNode):
    """Makes an SD 1.5 model relight a foreground."""

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="ISI_ICLight",
            display_name="ISI IC-Light",
            category=CATEGORY,
            description="Relights a foreground with IC-Light on any SD 1.5 model: by prompt and a light from "
            "one side (FC), or to fit a background (FBC).",
            search_aliases=["ic-light", "iclight", "relight", "relighting", "light", "fc", "fbc"],
            inputs=[
                io.Model.Input("model", tooltip="Any SD 1.5 model with 4 input channels. LoRAs come before."),
                io.Conditioning.Input("positive", tooltip="What the picture shows, and its light."),
                io.Conditioning.Input("negative", tooltip="The negative prompt."),
                io.Vae.Input("vae", tooltip="The VAE of the SD 1.5 model."),
                io.Combo.Input(
                    "file",
                    options=ic_light.files(),
                    tooltip="IC-Light's weight differences: fc takes a foreground, fbc a background as well.",
                ),
                io.Image.Input("foreground", tooltip="The picture to relight."),
                io.Mask.Input(
                    "mask",
                    optional=True,
                    tooltip="The matte of the foreground, white = keep (BiRefNet, RMBG). A foreground with "
                    "alpha brings its own.",
                ),
                io.Image.Input(
                    "background", optional=True, tooltip="For FBC files: the background to light it by."
                ),
                io.Combo.Input(
                    "light_source",
                    options=["none", *SIDES, "image", *CORNERS],
                    default="none",
                    optional=True,
                    tooltip="Where the light comes from: it makes the latent output, to sample with denoise "
                    "0.9. none: an empty latent, denoise 1.",
                ),
                io.Image.Input(
                    "light_image",
                    optional=True,
                    tooltip="For light source image: bright where light comes from.",
                ),
                io.Float.Input(
                    "matte",
                    default=0.5,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    optional=True,
                    advanced=True,
                    tooltip="The grey behind the foreground. IC-Light was trained with 0.5.",
                ),
                io.Color.Input(
                    "light_color",
                    default="#ffffff",
                    optional=True,
                    tooltip="Colour of the light from a side or a corner; it tints a light_image too.",
                ),
            ],
            outputs=[
                io.Model.Output("model", tooltip="The model that relights."),
                io.Conditioning.Output("positive", tooltip="The prompt with the foreground."),
                io.Conditioning.Output("negative", tooltip="The negative prompt with the foreground."),
                io.Latent.Output("latent", tooltip="The latent to sample: the light, or an empty one."),
            ],
        )

    @classmethod
    def execute(
        cls, model, positive, negative, vae, file, foreground, mask=None, background=None,
        light_source="none", light_image=None, matte=0.5, light_color="#ffffff",
    ) -> io.NodeOutput:  # fmt: skip
        padded, found = ic_light.add_differences(model, ic_light.read_differences(file))
        sources = concat.Sources(image=foreground, mask=mask, background=background, grey=matte)
        made = ic_light.relight(padded, found, vae, sources, light_source, light_image, light_color)
        return io.NodeOutput(
            concat_patch.patched(padded, found, made.concat),
            concat_patch.with_concat(positive, made.concat),
            concat_patch.with_concat(negative, made.concat),
            made.latent,
        )


def image_cfg_input() -> io.Float.Input:
    return io.Float.Input(
        "image_cfg",
        default=1.5,
        min=0.0,
        max=30.0,
        step=0.1,
        tooltip="How much of the picture to keep: 1.2 changes freely, 2 stays close, 1 is off.",
    )


class EditGuider(io.ComfyNode):
    """InstructPix2Pix's three-way guidance for SamplerCustomAdvanced."""

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="ISI_EditGuider",
            display_name="ISI Edit Guider",
            category=CATEGORY,
            description="Guides an instruct-pix2pix model by text and by image, each with its own scale, "
            "constant or changing from the first step to the last.",
            search_aliases=["instruct pix2pix", "ip2p", "dual cfg", "image cfg", "three-way cfg", "guider"],
            inputs=[
                io.Model.Input("model", tooltip="The model from ISI Concat Conditioning."),
                io.Conditioning.Input("positive", tooltip="The instruction, from ISI Concat Conditioning."),
                io.Conditioning.Input("negative", tooltip="The negative, from ISI Concat Conditioning."),
                io.Float.Input(
                    "text_cfg",
                    default=7.5,
                    min=0.0,
                    max=100.0,
                    step=0.1,
                    tooltip="How strictly to follow the instruction.",
                ),
                image_cfg_input(),
                io.Combo.Input(
                    "curve",
                    options=list(CURVES),
                    default="constant",
                    optional=True,
                    tooltip="How the scales go from their values to the final ones: constant keeps them, "
                    "aggressive moves early, lazy late.",
                ),
                io.Float.Input(
                    "final_text_cfg",
                    default=7.5,
                    min=0.0,
                    max=100.0,
                    step=0.1,
                    optional=True,
                    tooltip="text_cfg at the last step, where the curve is not constant.",
                ),
                io.Float.Input(
                    "final_image_cfg",
                    default=1.5,
                    min=0.0,
                    max=30.0,
                    step=0.1,
                    optional=True,
                    tooltip="image_cfg at the last step, where the curve is not constant.",
                ),
            ],
            outputs=[io.Guider.Output("guider", tooltip="For SamplerCustomAdvanced.")],
        )

    @classmethod
    def execute(
        cls, model, positive, negative, text_cfg, image_cfg, curve="constant", final_text_cfg=7.5,
        final_image_cfg=1.5,
    ) -> io.NodeOutput:  # fmt: skip
        edit_guider.check_edit_model(kind_of_model(model))
        text = edit_guider.Scale(text_cfg, final_text_cfg, curve)
        image = edit_guider.Scale(image_cfg, final_image_cfg, curve)
        return io.NodeOutput(edit_guider.EditGuider(model, positive, negative, text, image))


class ConcatConditioner(io.ComfyNode):
    """ISI Concat Conditioning inside a loop: each step gets the picture as it is then."""

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="ISI_ConcatConditioner",
            display_name="ISI Concat Conditioner",
            category=CATEGORY,
            description="Lets ISI Iterate run a model that takes more than the noisy latent. Each step works "
            "on the picture that the last one made: 'make it night; add snow; turn the car red'.",
            search_aliases=["concat", "instruct pix2pix loop", "edit loop", "iterate", "conditioner"],
            inputs=[
                concat_kind_input(),
                image_cfg_input(),
                *picture_inputs(),
                sockets.before_input(),
            ],
            outputs=[sockets.conditioner_output()],
        )

    @classmethod
    def execute(cls, kind, image_cfg, conditioner=None, **pictures) -> io.NodeOutput:
        sources = concat.Sources(**pictures)
        return io.NodeOutput(
            concat_conditioner.ConcatConditioner(kind, image_cfg, sources, before=conditioner)
        )


class DetailTransfer(io.ComfyNode):
    """Gives a relit or repainted picture the fine detail of the one that it was made from."""

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="ISI_DetailTransfer",
            display_name="ISI Detail Transfer",
            category=CATEGORY,
            description="Gives a relit picture the fine detail of the original back: text, faces and fabric "
            "stay legible, the new light stays.",
            search_aliases=["relight", "frequency separation", "high pass", "restore detail", "ic-light"],
            inputs=[
                io.Image.Input("target", tooltip="The picture whose light and colours stay: the relit one."),
                io.Image.Input("source", tooltip="The picture whose detail is taken: the original."),
                io.Combo.Input(
                    "mode",
                    options=list(MODES),
                    default="add",
                    tooltip="add: as it is. multiply: as strong as the light on it, for strong shadows. soft "
                    "light: on top of the detail that the target has.",
                ),
                io.Float.Input(
                    "blur",
                    default=2.0,
                    min=0.1,
                    max=100.0,
                    step=0.1,
                    tooltip="Detail is what is finer than this many pixels. Larger takes broader shapes too.",
                ),
                io.Float.Input(
                    "blend", default=1.0, min=0.0, max=1.0, step=0.01, tooltip="0 is off, 1 is full."
                ),
                io.Mask.Input(
                    "mask", optional=True, tooltip="Where it acts, white = fully (a face, a label)."
                ),
            ],
            outputs=[io.Image.Output("image", tooltip="The target with the detail of the source.")],
        )

    @classmethod
    def execute(cls, target, source, mode, blur, blend, mask=None) -> io.NodeOutput:
        return io.NodeOutput(transfer_detail(target, source, mode, blur, blend, mask))


NODES: list[type[io.ComfyNode]] = [ConcatConditioning, ICLight, EditGuider, ConcatConditioner, DetailTransfer]
