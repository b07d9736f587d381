"""Frames as an animated WebP, a GIF or an MP4, one at a time: memory has one frame and what is encoded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction
from io import BytesIO
from typing import Any

import av
import numpy as np
import torch
from av.video.reformatter import ColorRange, Colorspace
from PIL import Image
from torch import Tensor

FORMATS = ("webp", "gif", "mp4")
QUALITY = 90
"""Of a WebP, 0..100."""
CRF = "18"
"""Of H.264: what the eye can't tell from the original."""
_WORKFLOW_TAGS = {"prompt": 0x0110, "workflow": 0x010F}
"""EXIF tags in which the host keeps the graph of a WebP."""
_BT709 = 1


def encode(frames: Iterator[Tensor], form: str, fps: float, notes: Mapping[str, str]) -> bytes:
    """The file of `frames` `[H, W, 3]` in 0..1, H and W even; `notes` are the graph, as JSON texts."""
    levels = (_levels(frame) for frame in frames)
    return _video(levels, fps, notes) if form == "mp4" else _animation(levels, form, fps, notes)


def _levels(frame: Tensor) -> np.ndarray:
    return frame.clamp(0, 1).mul(255).round().to(torch.uint8).cpu().numpy()


def _animation(levels: Iterator[np.ndarray], form: str, fps: float, notes: Mapping[str, str]) -> bytes:
    pictures = (Image.fromarray(frame) for frame in levels)
    first, file = next(pictures), BytesIO()
    options: dict[str, Any] = {"save_all": True, "append_images": pictures, "loop": 0}
    options["duration"] = round(1000 / fps)
    if form == "webp":
        exif = Image.Exif()
        for key, text in notes.items():
            if tag := _WORKFLOW_TAGS.get(key):
                exif[tag] = f"{key}:{text}"
        options |= {"quality": QUALITY, "method": 4, "exif": exif.tobytes()}
    first.save(file, form.upper(), **options)
    return file.getvalue()


def _video(levels: Iterator[np.ndarray], fps: float, notes: Mapping[str, str]) -> bytes:
    first, file = next(levels), BytesIO()
    with av.open(file, "w", format="mp4", options={"movflags": "use_metadata_tags"}) as output:
        for key, text in notes.items():
            output.metadata[key] = text
        stream = output.add_stream("h264", rate=Fraction(fps).limit_denominator(1000))
        stream.height, stream.width = first.shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.options = {"crf": CRF}
        # Said, so that every player shows the same colours: those that guess do it by the size.
        context = stream.codec_context
        context.color_range, context.colorspace = ColorRange.MPEG, Colorspace.ITU709
        context.color_primaries = context.color_trc = _BT709
        for frame in _all(first, levels):
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), "rgb24")
            picture = picture.reformat(
                format="yuv420p", dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG
            )
            output.mux(stream.encode(picture))
        output.mux(stream.encode(None))
    return file.getvalue()


def _all(first: np.ndarray, rest: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    yield first
    yield from rest
