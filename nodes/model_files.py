"""Model files: what a file or a loaded model is, and loading any of them."""

from comfy_api.latest import io, ui

from ..core.models.kinds import UNETS, report
from ..host.models.model_files import MODELS, file_stamp, inspect, model_files
from ..host.models.model_kind import kind_of_model
from ..host.models.model_loading import load_model_file

CHOICES = ["auto", *UNETS]


def file_kind_input(options: list[str]) -> io.Combo.Input:
    return io.Combo.Input(
        "kind",
        options=options,
        default="auto",
        tooltip="Leave this on auto. Two kinds can have the very same shapes; if the report calls the model "
        "ambiguous, choose here.",
    )


def kind_outputs() -> list[io.Output]:
    return [
        io.String.Output("kind", tooltip="The kind, or several joined by | where nothing tells them apart."),
        io.Int.Output(
            "channels", tooltip="Input channels of the first layer; 0 if the file is no such model."
        ),
        io.String.Output("report", tooltip="What it is, what its channels mean and what to connect."),
    ]


class InspectModel(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="ISI_InspectModel",
            display_name="ISI Inspect Model",
            category="ISI/models",
            description="Tells what a model file is (inpainting, pix2pix, depth, IC-Light, LoRA) and what "
            "it needs connected, from its header alone: nothing is loaded.",
            search_aliases=[
                "model info",
                "detect model",
                "what is this model",
                "channels",
                "safetensors header",
            ],
            inputs=[
                io.Combo.Input("file", options=model_files(), tooltip="Any model or LoRA file."),
                file_kind_input([*CHOICES, "ic-light-delta"]),
            ],
            outputs=kind_outputs(),
            is_output_node=True,
        )

    @classmethod
    def fingerprint_inputs(cls, file, kind):
        return file_stamp(file)

    @classmethod
    def execute(cls, file, kind) -> io.NodeOutput:
        found = inspect(file, kind)
        text = f"{file}\n{report(found)}"
        return io.NodeOutput(found.kind, found.channels or 0, text, ui=ui.PreviewText(text))


class ModelKindNode(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="ISI_ModelKind",
            display_name="ISI Model Kind",
            category="ISI/models",
            description="Tells what a loaded model is (inpainting, pix2pix, depth, IC-Light) and what it "
            "needs connected, patches included.",
            search_aliases=["model info", "detect model", "what is this model", "channels"],
            inputs=[io.Model.Input("model", tooltip="Any loaded diffusion model."), file_kind_input(CHOICES)],
            outputs=kind_outputs(),
            is_output_node=True,
        )

    @classmethod
    def execute(cls, model, kind) -> io.NodeOutput:
        found = kind_of_model(model).decided(kind)
        text = report(found)
        return io.NodeOutput(found.kind, found.channels or 0, text, ui=ui.PreviewText(text))


class LoadConcatModel(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="ISI_LoadConcatModel",
            display_name="ISI Load Concat Model",
            category="ISI/models",
            description="Loads any diffusion model file: checkpoints and bare UNets, LDM's and diffusers' "
            "layout, with any number of input channels (depth, x4 upscaler, instruct-pix2pix, inpainting, "
            "merged IC-Light). Follow it with ISI Concat Conditioning.",
            search_aliases=["load checkpoint", "load diffusion model", "unet loader", "depth2img", "pix2pix",
                            "inpainting model", "diffusers unet"],
            inputs=[
                io.Combo.Input(
                    "file", options=model_files(MODELS), tooltip="A checkpoint or a diffusion model."
                ),
                file_kind_input(CHOICES),
            ],
            outputs=[
                io.Model.Output("model", tooltip="The diffusion model; it remembers its kind."),
                io.Clip.Output("clip", tooltip="The text encoder, if the file has one."),
                io.Vae.Output("vae", tooltip="The VAE, if the file has one."),
            ],
        )  # fmt: skip

    @classmethod
    def fingerprint_inputs(cls, file, kind):
        return file_stamp(file)

    @classmethod
    def execute(cls, file, kind) -> io.NodeOutput:
        loaded = load_model_file(file, kind)
        return io.NodeOutput(loaded.model, loaded.clip, loaded.vae)


NODES: list[type[io.ComfyNode]] = [InspectModel, ModelKindNode, LoadConcatModel]
