"""Films: the iterations of a run, or any batch, to show to people."""

from __future__ import annotations

from comfy_api.latest import io

from ..core.film.film import Timing
from ..host.film.encode import FORMATS
from ..host.film.film import Pictures, of_batch, of_run, save_film
from ..host.loop.gallery import Run
from . import sockets

CATEGORY = "ISI/runs"


class Film(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="ISI_Film",
            display_name="ISI Film",
            category=CATEGORY,
            description="Saves the iterations of a run, or a batch, as an animated WebP, a GIF or an MP4. "
            "Pictures of several sizes are framed, not cropped.",
            search_aliases=["video", "gif", "webp", "mp4", "animation", "timelapse", "save animated"],
            inputs=[
                sockets.Run.Input("run", optional=True, tooltip="From ISI Iterate or ISI Open Run."),
                io.Image.Input("images", optional=True, tooltip="A batch, instead of a run."),
                io.Combo.Input(
                    "format", options=list(FORMATS), default="webp",
                    tooltip="webp: small and plays in browsers. gif: 256 colours, plays anywhere. mp4: for "
                    "video programs and social media.",
                ),
                io.Float.Input("fps", default=12.0, min=1.0, max=60.0, step=1.0, tooltip="Frames a second."),
                io.Float.Input(
                    "hold", default=0.5, min=0.0, max=60.0, step=0.05,
                    tooltip="Seconds that each picture stays; 0 is a single frame.",
                ),
                io.Float.Input(
                    "cross_fade", default=0.25, min=0.0, max=60.0, step=0.05,
                    tooltip="Seconds in which a picture fades into the next one; 0 cuts.",
                ),
                io.Boolean.Input(
                    "ping_pong", default=False, tooltip="Forth and back, so that it repeats without a jump."
                ),
                io.Int.Input(
                    "longest_side", default=0, min=0, max=8192,
                    tooltip="Pixels that the film has at most; 0: as the largest picture.",
                ),
                io.String.Input("filename_prefix", default="isi/film", tooltip="Where in the output folder."),
            ],
            outputs=[],
            hidden=[io.Hidden.prompt, io.Hidden.extra_pnginfo],
            is_output_node=True,
        )  # fmt: skip

    @classmethod
    def execute(
        cls, format, fps, hold, cross_fade, ping_pong, longest_side, filename_prefix, run: Run | None = None,
        images=None,
    ) -> io.NodeOutput:  # fmt: skip
        if (run is None) == (images is None):
            raise ValueError("ISI Film takes a run or an image batch: connect one of the two.")
        pictures: Pictures = of_batch(images) if run is None else of_run(run)
        timing = Timing(fps, hold, cross_fade, ping_pong)
        graph = cls.hidden.prompt, cls.hidden.extra_pnginfo
        saved = save_film(pictures, timing, format, longest_side, filename_prefix, *graph)
        return io.NodeOutput(ui={"images": [saved], "animated": (True,)})


NODES: list[type[io.ComfyNode]] = [Film]
