"""What stands in the place of what a mask covers, in a picture or in the frames of a clip."""

from __future__ import annotations

from comfy_api.latest import io

from ..core.frames.clip import FRAMES, Clip, clip_of
from ..core.frames.keys import found_in, parse_keys
from ..core.pictures import masks
from ..core.pictures.masks import as_mask
from ..host.frames.clean import clean_clip
from ..host.frames.track import track_clip
from ..host.loop.run import check_picture
from ..host.models.fill_models import fill_by_name, fill_names
from . import sockets
from .guard import refusal

CATEGORY = "ISI/inpaint"


class Fill(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ISI_Fill",
            display_name="ISI Fill",
            category=CATEGORY,
            description="Fills what a mask covers from what surrounds it: for removing things, or as a start "
            "for inpainting. Pixels outside the mask are not touched.",
            search_aliases=["inpaint fill", "lama", "mat", "telea", "navier stokes", "remove object", "erase",
                            "patch noise", "masked blur"],
            inputs=[
                io.Image.Input("image", tooltip="The picture."),
                io.Mask.Input("mask", tooltip="What to fill. Grey mixes the fill with the picture."),
                io.Combo.Input(
                    "mode", options=fill_names(), default="telea",
                    tooltip="neutral: grey. edge: the nearest pixel. blur: a smooth surface. telea, "
                    "navier-stokes: carry colours and edges inwards. patch noise: noise with the picture's "
                    "spectrum and colours, for outpainting at high denoise. Files of models/inpaint: LaMa "
                    "(big-lama.pt), MAT; press R after you put one there.",
                ),
                io.Int.Input(
                    "seed", default=0, min=0, max=2**64 - 1,
                    control_after_generate=io.ControlAfterGenerate.fixed,
                    tooltip="For patch noise, and for MAT, which paints from a random latent.",
                ),
                io.Int.Input(
                    "falloff", default=0, min=0, max=1024, optional=True,
                    tooltip="The fill fades in over this many pixels from the mask's edge inwards. 0: "
                    "at once.",
                ),
                io.Combo.Input(
                    "frames", options=list(FRAMES[:2]), optional=True,
                    tooltip="For a batch that is a clip. clean plate: what other frames show behind the "
                    "mask, also where the camera pans or zooms; mode fills only what none of them shows, the "
                    "same in each frame.",
                ),
                sockets.window_input(),
            ],
            outputs=[
                io.Image.Output(display_name="image", tooltip="The filled picture."),
                io.Mask.Output(
                    display_name="unseen",
                    tooltip="What mode made up: the mask, or with clean plate what no frame showed.",
                ),
            ],
        )  # fmt: skip

    @classmethod
    def execute(cls, image, mask, mode, seed, falloff=0, frames="each alone", window=48) -> io.NodeOutput:
        if frames == "each alone" or not len(image):
            hole = masks.inward(as_mask(mask, *image.shape[1:3], len(image)), falloff)
            return io.NodeOutput(fill_by_name(image, hole, mode, seed), hole.to(mask.dtype))
        clip = clip_of(image, mask)
        if falloff:
            clip = Clip(image, masks.inward(clip.masks, falloff))
        shown, unseen = clean_clip(clip, mode, seed, window)
        return io.NodeOutput(shown, unseen.to(mask.dtype))


class TrackMasks(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ISI_TrackMasks",
            display_name="ISI Track Masks",
            category=CATEGORY,
            description="Carries the masks of a few key frames to all frames of a clip, without a model: "
            "each object is followed forwards and backwards, also where it leaves and comes back.",
            search_aliases=["track object", "mask propagation", "video mask", "rotoscope", "follow mask",
                            "segment video"],
            inputs=[
                io.Image.Input("image", tooltip="The frames of the clip, as one batch."),
                io.Mask.Input(
                    "masks", tooltip="One mask an object in each key frame, as ISI Pick gives them.",
                ),
                io.String.Input(
                    "key_frames", default="1",
                    tooltip="Which frames the masks are of, from 1: 1, 25, 48.",
                ),
            ],
            outputs=[
                io.Mask.Output(
                    "masks",
                    tooltip="For each object one a frame, for ISI Fill, ISI Edit Objects or ISI Mask.",
                ),
                io.String.Output("report", tooltip="A line an object: in which frames it was found."),
            ],
        )  # fmt: skip

    @classmethod
    def validate_inputs(cls, key_frames=""):
        """Shows key frames that can't be read when the graph is queued."""
        return refusal(parse_keys, key_frames)

    @classmethod
    def execute(cls, image, masks, key_frames) -> io.NodeOutput:
        frames = check_picture(image)
        keys = parse_keys(key_frames, len(frames))
        given = as_mask(masks, *frames.shape[1:3])
        if len(given) % len(keys):
            raise ValueError(
                f"There are {len(given)} masks for {len(keys)} key frames: connect for each object one a key "
                "frame, or name the frames that the masks are of."
            )
        made = track_clip(frames, given, keys)
        found = made.flatten(1).any(1).unflatten(0, (-1, len(frames)))
        report = "\n".join(f"{number}. {found_in(one.tolist())}" for number, one in enumerate(found, 1))
        return io.NodeOutput(made.to(masks.dtype), report)


NODES: list[type[io.ComfyNode]] = [Fill, TrackMasks]
