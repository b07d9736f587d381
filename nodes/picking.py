"""Objects picked in the picture: clicks to masks."""

from __future__ import annotations

import zlib

import torch
from comfy_api.latest import io, ui

from ..core.picking.picks import parse_picks
from ..core.picking.segment import numbered, segment
from ..host.loop.run import check_picture
from ..host.vision.segment_anything import bounding_boxes, check_segmenter, coordinates, segment_with
from .guard import refusal

SEGMENTERS = ("auto", "regions", "SAM3")


class Pick(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ISI_Pick",
            display_name="ISI Pick",
            category="ISI/inpaint",
            description="Click objects in the picture: each becomes a mask. Works without a model on flat "
            "and even grounds, and with a SAM3 model on anything.",
            search_aliases=["click", "segment anything", "SAM", "points editor", "select object",
                            "magic wand", "mask"],
            inputs=[
                io.Image.Input("image", tooltip="The picture to pick in, or a batch that is picked in at "
                               "the same places."),
                io.String.Input(
                    "picks", multiline=True, default="", dynamic_prompts=False,
                    tooltip="A line an object, in percent of the picture: name: + 40 55, - 70 30, box 10 20 "
                    "60 80.",
                ),
                io.Combo.Input(
                    "segmenter", options=list(SEGMENTERS),
                    tooltip="auto: SAM3 if a model is connected, else regions of even colour.",
                ),
                io.Model.Input(
                    "model", optional=True, lazy=True,
                    tooltip="A SAM3 model, from Load Checkpoint. Without one no model is needed.",
                ),
            ],
            outputs=[
                io.Mask.Output(
                    "masks",
                    tooltip="One an object, for ISI Edit Objects; of a batch, one a picture for each object.",
                ),
                io.String.Output(
                    "positive_coords", is_output_list=True,
                    tooltip="Of each object the points that add, for SAM3 Detect.",
                ),
                io.String.Output(
                    "negative_coords", is_output_list=True,
                    tooltip="Of each object the points that take away, for SAM3 Detect.",
                ),
                io.BoundingBox.Output(
                    "bboxes", is_output_list=True, tooltip="Of each object its box, for SAM3 Detect."
                ),
                io.String.Output("report", tooltip="A line an object: how much of the picture it covers."),
                io.Mask.Output(
                    "mask",
                    tooltip="All objects together, for ISI Fill or ISI Mask; of a batch one a picture.",
                ),
            ],
        )  # fmt: skip

    @classmethod
    def validate_inputs(cls, picks=""):
        """Shows picks that can't be read when the graph is queued."""
        return refusal(parse_picks, picks)

    @classmethod
    def check_lazy_status(cls, segmenter, **given):
        """The model is loaded only if it is asked; what is connected and not there yet is None."""
        return ["model"] if segmenter != "regions" and given.get("model", True) is None else []

    @classmethod
    def execute(cls, image, picks, segmenter, model=None) -> io.NodeOutput:
        chosen = parse_picks(picks)
        image = check_picture(image)
        if segmenter == "SAM3" and model is None:
            raise ValueError(
                "`segmenter` of ISI Pick is SAM3 and no model is connected: connect Load Checkpoint with a "
                "SAM3 file, or choose auto or regions."
            )
        by_model = model is not None and segmenter != "regions"
        if by_model:
            check_segmenter(model)
        if not chosen:  # as a detector gives that found nothing
            none = image.new_zeros(1, *image.shape[1:3])
            told = cls._told(image, picks, none)
            return io.NodeOutput(none, [""], [""], [[]], "Nothing is picked.", none, ui=told)
        each = [
            segment_with(model, picture, chosen) if by_model else segment(picture, chosen)
            for picture in image
        ]
        masks = torch.stack(each, 1)  # objects, then the pictures of each
        size = image.shape[1:3]
        report = "\n".join(
            f"{number}. {pick.name}: {mask.mean():.1%}" + ("" if mask.any() else ", nothing found")
            for number, (pick, mask) in enumerate(zip(chosen, masks, strict=True), 1)
        )
        return io.NodeOutput(
            masks.flatten(0, 1).to(image),  # its precision, too
            [coordinates(pick.add, *size) for pick in chosen],
            [coordinates(pick.remove, *size) for pick in chosen],
            [bounding_boxes(pick, *size) for pick in chosen],
            report,
            masks.amax(0).to(image),
            ui=cls._told(image, picks, masks[:, 0]),
        )

    @classmethod
    def _told(cls, image, picks, masks):
        """What the page is told: the first picture, which it may not know yet where nodes made it, what tells
        that from others, and what was found in it."""
        picture = image[:1, ..., :3].float()
        shown, found = (ui.PreviewImage(each, cls=cls).values[0] for each in (picture, numbered(masks)))
        which = zlib.crc32(picture.mul(255).clamp(0, 255).byte().cpu().numpy().tobytes())
        return {"isi_pick": [{"picture": shown, "found": found, "picks": picks, "which": which}]}


NODES: list[type[io.ComfyNode]] = [Pick]
