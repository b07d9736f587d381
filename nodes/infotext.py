"""What pictures of other programs say of how they were made, for the nodes of this one."""

from __future__ import annotations

from comfy_api.latest import io

from ..host.prompts.infotext import (
    SAMPLERS,
    SCHEDULERS,
    input_pictures,
    picture_stamp,
    read_file,
    read_infotext,
)

CATEGORY = "ISI/prompts"


class ReadInfotext(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="ISI_ReadInfotext",
            display_name="ISI Read Infotext",
            category=CATEGORY,
            description="Takes prompt and settings from a picture of A1111, Forge, Civitai, NovelAI, "
            "InvokeAI, Fooocus or ComfyUI, or from their text. Drop such a picture or text onto ISI Script "
            "to fill a whole loop.",
            search_aliases=["png info", "parameters", "metadata", "civitai", "a1111", "exif"],
            inputs=[
                io.Combo.Input(
                    "image", options=input_pictures(), upload=io.UploadType.image,
                    image_folder=io.FolderType.input,
                    tooltip="A PNG, JPEG or WebP that was never saved anew.",
                ),
                io.String.Input(
                    "text", default="", multiline=True, dynamic_prompts=False,
                    tooltip="An infotext (generation data) that is read in the place of the picture's.",
                ),
            ],
            outputs=[
                io.String.Output("prompt", tooltip="For a text encoder."),
                io.String.Output("negative", tooltip="For a text encoder, or ISI Iterate's negative."),
                io.String.Output("script", tooltip="The prompt for ISI Script, its marks escaped."),
                io.Int.Output("seed", tooltip="0 where the text says none."),
                io.Int.Output("steps", tooltip="20 where the text says none."),
                io.Float.Output("cfg", tooltip="7 where the text says none."),
                io.Float.Output("denoise", tooltip="1 where the text says none."),
                io.Int.Output("width", tooltip="512 where the text says none."),
                io.Int.Output("height", tooltip="512 where the text says none."),
                io.Combo.Output("sampler_name", options=SAMPLERS, tooltip="euler where there is no equal."),
                io.Combo.Output("scheduler", options=SCHEDULERS, tooltip="normal where there is no equal."),
                io.String.Output("notes", tooltip="What no output here says, a line each."),
            ],
        )  # fmt: skip

    @classmethod
    def validate_inputs(cls, image, text=""):
        """A picture that is gone is said when the graph is queued, unless a text is read in its place."""
        try:
            return text is None or bool(text.strip()) or bool(picture_stamp(image))
        except ValueError as error:
            return str(error)

    @classmethod
    def fingerprint_inputs(cls, image=None, text=None):
        """A picture that was replaced under its name is another one."""
        return text if image is None or (text and text.strip()) else picture_stamp(image)

    @classmethod
    def execute(cls, image, text="") -> io.NodeOutput:
        said = read_infotext(text) if text.strip() else read_file(image)
        defaults = {
            "seed": 0, "steps": 20, "cfg": 7.0, "denoise": 1.0, "width": 512, "height": 512,
            "sampler": "euler", "scheduler": "normal",
        }  # fmt: skip
        values = [said[name] if said[name] is not None else value for name, value in defaults.items()]
        texts = said["prompt"], said["negative"], said["script"]
        return io.NodeOutput(*texts, *values, "\n".join(said["notes"]))


NODES: list[type[io.ComfyNode]] = [ReadInfotext]
