"""What the user sees: schemas and thin `execute` methods, one file a family. No maths here."""

from comfy_api.latest import ComfyExtension, io

from ..host import routes
from ..host.loop.scratch import know_devices
from ..host.models.mini import know_files
from . import (
    choosing,
    colour,
    concat_conditioning,
    conditioners,
    differential,
    edit_lock,
    exposure,
    film,
    frames,
    grids,
    infotext,
    inpaint,
    isi_iterate,
    mini,
    model_files,
    noise,
    outpaint,
    picking,
    plans,
    prompts,
    regions,
    runs,
    sampling,
    upscale,
    upscale_image,
)
from .guard import guarded

# One module a family; each names its nodes in NODES.
FAMILIES: list = [
    choosing,
    colour,
    concat_conditioning,
    conditioners,
    differential,
    edit_lock,
    exposure,
    film,
    frames,
    grids,
    infotext,
    inpaint,
    isi_iterate,
    mini,
    model_files,
    noise,
    outpaint,
    picking,
    plans,
    prompts,
    regions,
    runs,
    sampling,
    upscale,
    upscale_image,
]


class IsiExtension(ComfyExtension):
    """Hands the pack's nodes to ComfyUI."""

    async def on_load(self) -> None:
        routes.register()
        know_devices()
        know_files()

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        return [guarded(node) for family in FAMILIES for node in family.NODES]
