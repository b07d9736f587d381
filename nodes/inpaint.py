"""Inpainting by context crops: crop, sample with any sampler, stitch; and objects as a plan of edits."""

from __future__ import annotations

from comfy_api.latest import io

from ..core.frames.clip import FRAMES, check_clip, clip_of
from ..core.loop.lens import widened
from ..core.pictures.crop import RESAMPLINGS, ViewSize, blended
from ..core.pictures.masks import FLOOR, as_mask
from ..core.pictures.stitch import Around, crop_for_inpaint
from ..core.plans.objects import ORDERS, ObjectEdits, parse_actions
from ..host.loop.run import check_picture
from ..host.models.fill_models import fill_called, fill_names
from . import sockets

CATEGORY = "ISI/inpaint"


def size_input() -> io.Input:
    """How large a crop is worked on."""
    multiple = io.Int.Input(
        "multiple_of", default=8, min=1, max=256, tooltip="Both sides of the crop are multiples of this."
    )
    return io.DynamicCombo.Input(
        "size",
        options=[
            io.DynamicCombo.Option(
                "megapixels",
                [
                    io.Float.Input(
                        "megapixels", default=1.0, min=0.01, max=64.0, step=0.05,
                        tooltip="1 is 1024x1024 pixels: 0.25 for SD 1.5, 1 for SDXL and newer.",
                    ),
                    multiple,
                ],
            ),
            io.DynamicCombo.Option(
                "target",
                [
                    io.Int.Input("width", default=1024, min=8, max=16384, step=8, tooltip="Exact width."),
                    io.Int.Input("height", default=1024, min=8, max=16384, step=8, tooltip="Exact height."),
                ],
            ),
            io.DynamicCombo.Option("original", [multiple]),
        ],
        tooltip="How large the crop is sampled. The crop first grows to that aspect ratio, so nothing is "
        "stretched. original: pixel for pixel.",
    )  # fmt: skip


def view_size(size: dict, minimum: int) -> ViewSize:
    """What the widgets of `size_input` say, and the least that the shorter side may be."""
    if size["size"] == "target":
        return ViewSize(target=(size["height"], size["width"]))
    return ViewSize(megapixels=size.get("megapixels"), multiple=size["multiple_of"], minimum=minimum)


def relative_padding_input() -> io.Input:
    return io.Float.Input(
        "relative_padding", default=0.0, min=0.0, max=8.0, step=0.05, optional=True,
        tooltip="The crop shows at least this share of the mask's longer side round it, however large it is: "
        "0.5 is half of it on each side. The larger of this and padding counts.",
    )  # fmt: skip


def resampling_input() -> io.Input:
    return io.Combo.Input(
        "resampling", options=list(RESAMPLINGS), default="smooth", optional=True,
        tooltip="How a crop gets to its working size and back. nearest: for pixel art, no colour is mixed.",
    )  # fmt: skip


def mask_floor_input() -> io.Input:
    return io.Float.Input(
        "mask_floor", default=FLOOR, min=0.0, max=1.0, step=0.01, optional=True,
        tooltip="What stays below this level is not looked for, such as the noise of a mask that was a JPEG; "
        "soft edges of what is above it are. Only for finding: blending keeps every level. 0 finds all.",
    )  # fmt: skip


class CropForInpaint(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ISI_CropForInpaint",
            display_name="ISI Crop For Inpaint",
            category=CATEGORY,
            description="Cuts out what surrounds a mask at the size your model likes, for any sampler; ISI "
            "Stitch puts it back. One picture with several masks gives a crop each; a batch of pictures one "
            "crop at a steady place.",
            search_aliases=["inpaint crop", "crop and stitch", "only masked", "detailer", "context crop"],
            inputs=[
                io.Image.Input("image", tooltip="The picture, or a batch of them (a video)."),
                io.Mask.Input("mask",
                tooltip="What may be sampled: one mask, one a picture, or one an object."),
                size_input(),
                io.Int.Input(
                    "padding", default=64, min=0, max=4096,
                    tooltip="Pixels of surroundings that the model sees beyond the masks.",
                ),
                io.Int.Input(
                    "blend", default=16, min=0, max=512,
                    tooltip="How far beyond the mask the result fades into the picture. Changes only what "
                    "comes back, never what is sampled.",
                ),
                io.Mask.Input(
                    "composite_mask", optional=True,
                    tooltip="What comes back into the picture, in place of mask and blend.",
                ),
                io.Mask.Input("context_mask", optional=True, tooltip="More that the model is to see."),
                relative_padding_input(),
                resampling_input(),
                io.Combo.Input(
                    "box", options=["one for all", "one each"], default="one for all", optional=True,
                    tooltip="For a batch of pictures. one for all: a steady place, for a video. one each: "
                    "each picture is cropped round its own mask.",
                ),
                io.Int.Input(
                    "minimum_size", default=0, min=0, max=8192, step=8, optional=True,
                    tooltip="The shorter side of a crop is enlarged to at least this. 0 is off; an exact "
                    "target stays as it is.",
                ),
                mask_floor_input(),
            ],
            outputs=[
                sockets.Stitch.Output(display_name="stitch", tooltip="For ISI Stitch."),
                io.Image.Output(display_name="image", tooltip="The crops."),
                io.Mask.Output(display_name="mask", tooltip="What may be sampled in each crop."),
            ],
        )  # fmt: skip

    @classmethod
    def execute(
        cls,
        image,
        mask,
        size,
        padding,
        blend,
        composite_mask=None,
        context_mask=None,
        relative_padding=0.0,
        resampling="smooth",
        box="one for all",
        minimum_size=0,
        mask_floor=FLOOR,
    ):
        height, width = image.shape[1:3]
        batch = len(image) if len(image) > 1 else None
        sample = as_mask(mask, height, width, batch)
        composite = blended(sample, blend)
        if composite_mask is not None:
            composite = as_mask(
                composite_mask, height, width, batch or (len(sample) if len(sample) > 1 else None)
            )
        context = None if context_mask is None else as_mask(context_mask, height, width, batch or len(sample))
        around = Around(padding, relative_padding, mask_floor, box == "one each")
        working = view_size(size, minimum_size)
        stitch = crop_for_inpaint(image, sample, composite, context, around, working, resampling)
        view = stitch.view()
        return io.NodeOutput(stitch, view.pixels, view.mask.to(mask.dtype))


class Stitch(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ISI_Stitch",
            display_name="ISI Stitch",
            category=CATEGORY,
            description="Puts sampled crops back into their picture, all of them. Pixels outside the "
            "composite mask stay bit for bit.",
            search_aliases=["inpaint stitch", "uncrop", "paste back", "composite"],
            inputs=[
                sockets.Stitch.Input("stitch", tooltip="From ISI Crop For Inpaint."),
                io.Image.Input("image", tooltip="The sampled crops, at any size."),
                io.Float.Input(
                    "match", default=1.0, min=0.0, max=1.0, step=0.05,
                    tooltip="Takes back how far sampling shifted colours and contrast, as seen near the mask "
                    "where nothing was to change. 0 is off.",
                ),
            ],
            outputs=[io.Image.Output(display_name="image", tooltip="The whole picture.")],
        )  # fmt: skip

    @classmethod
    def execute(cls, stitch, image, match) -> io.NodeOutput:
        return io.NodeOutput(stitch.stitched(image, match))


class EditObjects(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ISI_EditObjects",
            display_name="ISI Edit Objects",
            category=CATEGORY,
            description="Plans edits of any number of objects in one picture: remove one, paint another in "
            "its place, or keep some and replace the background of them all. Connect the plan to ISI Iterate "
            "with the same picture.",
            search_aliases=["inpaint anything", "remove object", "replace object", "replace background",
                            "erase",
                            "detailer"],
            inputs=[
                io.Image.Input("image", tooltip="The picture that ISI Iterate starts from."),
                io.Mask.Input(
                    "masks",
                    tooltip="One mask an object: a batch, or ISI Mask's objects. For a video one for all its "
                    "pictures, or for each object one a picture.",
                ),
                io.String.Input(
                    "actions", multiline=True, default="remove",
                    tooltip="A line an object: remove, fill, or replace background. The last line goes for "
                    "all further objects.",
                ),
                io.String.Input(
                    "prompts", multiline=True, default="",
                    tooltip="A line an object: what to paint (for remove: what lies behind it). The last "
                    "line goes for all further objects.",
                ),
                io.Combo.Input("order", options=list(ORDERS), tooltip="Which object comes first."),
                io.Combo.Input(
                    "fill", options=fill_names(), default="telea",
                    tooltip="What takes the place of a removed object: LaMa (a file of models/inpaint) is "
                    "best.",
                ),
                io.Float.Input(
                    "denoise", default=1.0, min=0.0, max=1.0, step=0.01,
                    tooltip="How freely fill and replace background paint.",
                ),
                io.Float.Input(
                    "remove_denoise", default=0.0, min=0.0, max=1.0, step=0.01,
                    tooltip="Sampling over a removed object's fill: 0 is the fill alone, 0.4 adds texture.",
                ),
                io.Int.Input(
                    "grow", default=8, min=0, max=512,
                    tooltip="Pixels by which the mask of an object to remove or fill is widened.",
                ),
                io.Int.Input(
                    "blend", default=16, min=0, max=512, tooltip="How far beyond that the result fades out."
                ),
                io.Int.Input(
                    "padding", default=64, min=0, max=4096,
                    tooltip="Pixels of surroundings that the model sees."
                ),
                io.Float.Input(
                    "megapixels", default=1.0, min=0.01, max=64.0, step=0.05,
                    tooltip="Size at which each object is worked on: 0.25 for SD 1.5, 1 for SDXL and newer.",
                ),
                io.Int.Input("steps", default=20, min=1, max=1000, tooltip="Sampling steps an object."),
                io.Float.Input("cfg", default=7.0, min=0.0, max=100.0, step=0.1, tooltip="Prompt guidance."),
                io.Int.Input(
                    "seed", default=0, min=0, max=2**64 - 1,
                    control_after_generate=io.ControlAfterGenerate.fixed,
                    tooltip="Seed of the first mask; each further one adds 1, whatever the order.",
                ),
                relative_padding_input(),
                resampling_input(),
                mask_floor_input(),
                io.Combo.Input(
                    "frames", options=list(FRAMES), optional=True,
                    tooltip="For a batch that is a clip. clean plate: what other frames show behind the "
                    "removed objects, also where the camera pans or zooms; fill is for what none of them "
                    "shows. one after another: each frame is an iteration that begins with the one before, "
                    "with the same noise; all objects are one. ISI Run Images has them.",
                ),
                sockets.window_input(),
                io.Float.Input(
                    "frame_denoise", default=0.0, min=0.0, max=1.0, step=0.01, optional=True,
                    tooltip="Only with one after another: sampling over what was painted in the frame "
                    "before. 0: it stays, and only what is new is painted, at denoise or remove_denoise.",
                ),
            ],
            outputs=[
                sockets.Plan.Output(display_name="plan", tooltip="For ISI Iterate or ISI Join Plans."),
                io.String.Output(display_name="report", tooltip="A line an object."),
            ],
        )  # fmt: skip

    @classmethod
    def execute(
        cls, image, masks, actions, prompts, fill, frames=FRAMES[0], window=48, **settings
    ) -> io.NodeOutput:
        masks = as_mask(masks, *image.shape[1:3])
        what = {"actions": parse_actions(actions), "prompts": prompts.splitlines() or [""]}
        # One mask is for all pictures of a batch; otherwise each of them has its own.
        count = len(image) if len(masks) > 1 else 1
        if len(masks) % count:
            raise ValueError(
                f"There are {len(masks)} masks for {count} pictures: connect one mask, or one a picture "
                "for each object (ISI Mask gives them with `frames` on)."
            )
        if frames == "clean plate":
            check_clip(clip_of(image, masks))
        else:
            window = 0
        edits = ObjectEdits(fill=fill_called(fill), window=window, **what, **settings)
        if frames == "one after another":
            together = masks.unflatten(0, (-1, count)).amax(0).expand(len(image), -1, -1)
            plan = edits.in_turn(widened(check_picture(image)), together)
        else:
            plan = edits.plan(masks, count)
        return io.NodeOutput(plan, plan.table())


NODES: list[type[io.ComfyNode]] = [CropForInpaint, Stitch, EditObjects]
