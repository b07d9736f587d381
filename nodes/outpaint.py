"""Outpainting: canvases, fills, masks, and whole pictures as a plan of passes."""

from __future__ import annotations

import torch
from comfy_api.latest import io

from ..core.fills.fill import MODES
from ..core.loop.room import need_room
from ..core.loop.schedule import parse_denoise
from ..core.pictures import masks
from ..core.pictures.canvas import ANCHORS, Canvas, Sides, check_overlap, sides_of
from ..core.pictures.crop import Box, take_mask
from ..core.pictures.masks import PROFILES, as_mask
from ..core.plans.outpaint import Outpainting
from ..host.models.fill_models import fill_by_name, fill_called, fill_names
from . import sockets

CATEGORY = "ISI/inpaint"
FILL_TOOLTIP = (
    "What an area holds before it is sampled. At denoise 1 it matters little; below 1 the sampler builds on "
    "it. Files of models/inpaint (LaMa, MAT) are listed too."
)


def side_input(name: str) -> io.Input:
    return io.Int.Input(
        name, default=0, min=-16384, max=16384, step=8, tooltip=f"Room at the {name}. Negative cuts."
    )


def anchor_input() -> io.Input:
    return io.Combo.Input(
        "anchor",
        options=sorted(ANCHORS, key=lambda name: ANCHORS[name]),
        default="center",
        tooltip="Where the picture lies on the canvas.",
    )


def multiple_input() -> io.Input:
    return io.Int.Input(
        "multiple_of", default=8, min=1, max=256, tooltip="Both sides are rounded up to a multiple of this."
    )


def extend_input() -> io.Input:
    """How large the canvas is to be: three ways to say it."""
    return io.DynamicCombo.Input(
        "extend",
        options=[
            io.DynamicCombo.Option(
                "aspect ratio",
                [
                    io.String.Input(
                        "ratio",
                        default="16:9",
                        tooltip="Width to height: 16:9, 4/3, 1.5. Never cuts the picture.",
                    ),
                    anchor_input(),
                    multiple_input(),
                ],
            ),
            io.DynamicCombo.Option(
                "size",
                [
                    io.Int.Input("width", default=1920, min=8, max=16384, tooltip="Exact width in pixels."),
                    io.Int.Input("height", default=1080, min=8, max=16384, tooltip="Exact height in pixels."),
                    anchor_input(),
                ],
            ),
            io.DynamicCombo.Option(
                "sides",
                [
                    *(side_input(name) for name in ("left", "top", "right", "bottom")),
                    io.Combo.Input(
                        "unit",
                        options=["pixels", "percent"],
                        tooltip="Percent are of the picture's own side.",
                    ),
                    multiple_input(),
                ],
            ),
        ],
        tooltip="How to say how large the canvas is to be.",
    )


def describe(sides: Sides, height: int, width: int) -> str:
    """What happens to the picture, in a line."""
    top, bottom, left, right = sides
    named = {"top": top, "bottom": bottom, "left": left, "right": right}
    parts = [
        f"{'adds' if side > 0 else 'cuts'} {abs(side)} px {name}" for name, side in named.items() if side
    ]
    size = f"{width}x{height} -> {width + left + right}x{height + top + bottom}"
    return f"{size}: {', '.join(parts) or 'nothing to do'}."


class OutpaintCanvas(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ISI_OutpaintCanvas",
            display_name="ISI Outpaint Canvas",
            category=CATEGORY,
            description="Puts a picture on a larger canvas and makes the masks for outpainting: what may be "
            "sampled (soft), and what is to come back into the picture. The size is exact.",
            search_aliases=["pad image for outpainting", "uncrop", "extend image", "aspect ratio",
                            "expand canvas"],
            inputs=[
                io.Image.Input("image", tooltip="The picture."),
                extend_input(),
                io.Combo.Input("fill", options=fill_names(), default="edge", tooltip=FILL_TOOLTIP),
                io.Int.Input(
                    "overlap", default=48, min=0, max=2048,
                    tooltip="How far the sample mask reaches into the picture, in pixels. The composite mask "
                    "reaches half as far; at 0 every pixel of the picture stays.",
                ),
                io.Combo.Input(
                    "feather", options=list(PROFILES), default="cosine", tooltip="The shape of the soft edge."
                ),
                io.Int.Input(
                    "seed", default=0, min=0, max=2**64 - 1,
                    control_after_generate=io.ControlAfterGenerate.fixed,
                    tooltip="Only for the fill patch noise.",
                ),
                io.Mask.Input("mask", optional=True, tooltip="More of the picture that may change."),
            ],
            outputs=[
                io.Image.Output(display_name="image", tooltip="The picture on its canvas."),
                io.Mask.Output(
                    display_name="sample_mask",
                    tooltip="For Set Latent Noise Mask or InpaintModelConditioning."
                ),
                io.Mask.Output(
                    display_name="composite_mask",
                    tooltip="For ImageCompositeMasked with the sampled picture as source, or for ISI Crop "
                    "For Inpaint.",
                ),
                io.BoundingBox.Output(
                    display_name="region",
                    tooltip="Where the picture lies on the canvas: x, y, width, height."
                ),
                io.String.Output(display_name="report", tooltip="What was added and what was cut."),
            ],
        )  # fmt: skip

    @classmethod
    def execute(cls, image, extend, fill, overlap, feather, seed, mask=None) -> io.NodeOutput:
        batch, height, width = image.shape[:3]
        sides = sides_of(extend, height, width)
        check_overlap(height, width, sides, overlap)
        canvas = Canvas(*sides, fill=fill if fill in MODES else "edge", profile=feather, seed=seed)
        pixels = canvas.get(image, {}).pixels
        if fill not in MODES:
            pixels = fill_by_name(pixels, canvas.mask(height, width, 0), fill, seed)
        soft = [canvas.mask(height, width, reach) for reach in (overlap, overlap // 2)]
        frame = Box(-sides[0], -sides[2], pixels.shape[1], pixels.shape[2])
        if mask is not None:
            wide = take_mask(as_mask(mask, height, width, batch), frame)
            soft = [torch.maximum(one, wide) for one in soft]
        rows, columns = Box(0, 0, height, width).slices(frame)
        rows, columns = range(pixels.shape[1])[rows], range(pixels.shape[2])[columns]
        region = {"x": columns.start, "y": rows.start, "width": len(columns), "height": len(rows)}
        soft = [one.to(image.dtype) for one in soft]
        return io.NodeOutput(pixels, *soft, region, describe(sides, height, width))


class Mask(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ISI_Mask",
            display_name="ISI Mask",
            category=CATEGORY,
            description="Prepares a mask: ramp, threshold, fill holes, grow or shrink by exact pixels, "
            "bounding boxes, feather, and split it into its objects. In that order; each is off at first.",
            search_aliases=["grow mask", "shrink mask", "expand mask", "feather mask", "blur mask",
                            "split mask",
                            "mask to objects", "connected components", "fill holes", "threshold"],
            inputs=[
                io.Mask.Input("mask", tooltip="The mask; a batch is done one by one."),
                io.Float.Input(
                    "threshold", default=0.0, min=0.0, max=1.0, step=0.01,
                    tooltip="Makes the mask black and white: white from this level on. 0 is off.",
                ),
                io.Boolean.Input("fill_holes", default=False, tooltip="Fills what the mask encloses."),
                io.Int.Input(
                    "grow", default=0, min=-2048, max=2048,
                    tooltip="Exactly this many pixels more on every side; negative shrinks.",
                ),
                io.Int.Input(
                    "feather", default=0, min=0, max=2048,
                    tooltip="Softens edges over this many pixels on either side. Grow by as much first to "
                    "keep the inside white.",
                ),
                io.Combo.Input("profile", options=list(PROFILES), default="cosine",
                tooltip="Shape of soft edges."),
                io.Combo.Input(
                    "latent", options=["off", "max", "area"],
                    tooltip="Makes blocks of 8x8 pixels so that the host's reduction to latent size loses "
                    "nothing. max: a stroke of one pixel frees its block. area: by the share of the block.",
                ),
                io.Int.Input(
                    "max_objects", default=16, min=1, max=256,
                    tooltip="How many objects to give, largest first."
                ),
                io.Float.Input(
                    "ramp_low", default=0.0, min=0.0, max=1.0, step=0.01, optional=True,
                    tooltip="Grey up to here becomes black, before all else: steadies a mask that is noisy "
                    "or too soft.",
                ),
                io.Float.Input(
                    "ramp_high", default=1.0, min=0.0, max=1.0, step=0.01, optional=True,
                    tooltip="Grey from here on becomes white; between the two it rises evenly.",
                ),
                io.Combo.Input(
                    "bounding_box", options=["off", "whole", "each object"], optional=True,
                    tooltip="Boxes in place of shapes, after growing: one round the whole mask, or one round "
                    "each object.",
                ),
                io.Boolean.Input(
                    "frames", default=False, optional=True,
                    tooltip="The batch is a video: each object is followed through it. The output objects "
                    "then has a mask a frame for the largest object, then for the next one.",
                ),
                io.Float.Input(
                    "mask_floor", default=masks.FLOOR, min=0.0, max=1.0, step=0.01, optional=True,
                    tooltip="What stays below this level is no object, such as the noise of a mask that was "
                    "a JPEG; soft edges belong to theirs. 0 finds all.",
                ),
            ],
            outputs=[
                io.Mask.Output(display_name="mask", tooltip="The whole mask."),
                io.Mask.Output(display_name="objects", tooltip="One mask an object, largest first."),
                io.Int.Output(display_name="count", tooltip="How many objects there are."),
            ],
        )  # fmt: skip

    @classmethod
    def execute(
        cls,
        mask,
        threshold,
        fill_holes,
        grow,
        feather,
        profile,
        latent,
        max_objects,
        ramp_low=0.0,
        ramp_high=1.0,
        bounding_box="off",
        frames=False,
        mask_floor=masks.FLOOR,
    ):
        given = mask.dtype
        height, width = mask.shape[-2:]
        reach = 2 * max(abs(grow), feather)
        need_room(
            5 * mask.nbytes
            + 4 * 4 * (height + reach) * (width + reach) * (mask.numel() // (height * width or 1)),
            f"A mask of {width}x{height} pixels that grows by {abs(grow)} and is feathered by {feather}",
            "lower them, or use fewer masks at once",
            mask.device,
        )
        mask = masks.levels(as_mask(mask, height, width), ramp_low, ramp_high)
        mask = masks.threshold(mask, threshold)
        mask = masks.grow(masks.fill_holes(mask) if fill_holes else mask, grow)
        if bounding_box != "off":
            mask = masks.boxed(mask, bounding_box == "each object", mask_floor)
        split = masks.split_frames if frames else masks.split_objects
        objects = split(mask, max_objects, mask_floor)
        count = int(objects.unflatten(0, (-1, len(mask) if frames else 1)).flatten(1).any(1).sum())
        soft = [one.clone() if one is mask else one for one in (mask, objects)]
        for one in (each for batch in soft for each in batch.split(1)):  # in place: there can be many
            softened = masks.feather(one, feather, profile)
            one.copy_(softened if latent == "off" else masks.latent_blocks(softened, how=latent))
        return io.NodeOutput(*(one.to(given) for one in soft), count)


class Outpaint(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ISI_Outpaint",
            display_name="ISI Outpaint",
            category=CATEGORY,
            description="Plans outpainting to any size or aspect ratio in passes that the model likes: each "
            "crops a window, samples what is new in it, and puts it back. Every pixel of the picture stays. "
            "Connect the plan to ISI Iterate with the same picture.",
            search_aliases=["outpainting plan", "uncrop", "extend image", "panorama", "zoom out",
                            "aspect ratio"],
            inputs=[
                io.Image.Input("image", tooltip="The picture that ISI Iterate starts from."),
                extend_input(),
                io.String.Input(
                    "prompts", multiline=True, default="",
                    tooltip="What to paint, a line a pass; the last line goes for all further passes.",
                ),
                io.Int.Input(
                    "pass_size", default=1024, min=64, max=8192, step=8,
                    tooltip="The longest side of a pass: 512 for SD 1.5, 1024 for SDXL and newer.",
                ),
                io.Int.Input(
                    "overlap", default=64, min=0, max=2048, step=8,
                    tooltip="How far a pass may change what the one before made, in pixels, fading out.",
                ),
                io.Int.Input(
                    "blend", default=0, min=0, max=512,
                    tooltip="How far new content may mix into the picture itself. 0 keeps its every pixel.",
                ),
                io.Combo.Input("fill", options=fill_names(), default="edge", tooltip=FILL_TOOLTIP),
                io.String.Input(
                    "denoise", default="1.0",
                    tooltip="How freely each pass paints, 0 to 1. Several values with commas: one a pass.",
                ),
                io.Int.Input("steps", default=20, min=1, max=1000, tooltip="Sampling steps of a pass."),
                io.Float.Input("cfg", default=7.0, min=0.0, max=100.0, step=0.1, tooltip="Prompt guidance."),
                io.Int.Input(
                    "seed", default=0, min=0, max=2**64 - 1,
                    control_after_generate=io.ControlAfterGenerate.fixed,
                    tooltip="Seed of the first pass; each further one adds 1.",
                ),
                io.Float.Input(
                    "match", default=1.0, min=0.0, max=1.0, step=0.05,
                    tooltip="Takes back how far a pass shifted the colours of what was not to change.",
                ),
            ],
            outputs=[
                sockets.Plan.Output(display_name="plan", tooltip="For ISI Iterate or ISI Join Plans."),
                io.String.Output(display_name="report", tooltip="The canvas, and a line a pass."),
            ],
        )  # fmt: skip

    @classmethod
    def execute(cls, image, extend, prompts, fill, denoise, **settings) -> io.NodeOutput:
        height, width = image.shape[1:3]
        sides = sides_of(extend, height, width)
        what = {"prompts": prompts.splitlines() or [""], "denoise": parse_denoise(denoise)}
        plan = Outpainting(sides=sides, fill=fill_called(fill), **what, **settings).plan(height, width)
        return io.NodeOutput(plan, f"{describe(sides, height, width)}\n{plan.table()}")


NODES: list[type[io.ComfyNode]] = [OutpaintCanvas, Mask, Outpaint]
