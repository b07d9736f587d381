"""ISI: iterative image-to-image with memory, for ComfyUI. This file is the door and nothing else."""

WEB_DIRECTORY = "./js"


async def comfy_entrypoint():
    """Called by ComfyUI when it loads the pack."""
    from .nodes import IsiExtension

    return IsiExtension()


__all__ = ["WEB_DIRECTORY", "comfy_entrypoint"]
