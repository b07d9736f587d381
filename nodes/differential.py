"""Differential diffusion: a mask whose grey says how much each pixel may change."""

from __future__ import annotations

import torch
from comfy_api.latest import io, ui

from ..core.pictures.differential import MODES
from ..core.pictures.masks import as_mask
from ..host.conditioning.differential import Release, patch, preview


class DifferentialDiffusion(io.ComfyNode):
    """Patches a MODEL so that the grey of the noise mask decides when each pixel is released."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ISI_DifferentialDiffusion",
            display_name="ISI Differential Diffusion",
            category="ISI/inpaint",
            description=(
                "Lets the grey of the noise mask say how much each pixel may change: black stays exactly "
                "as it is, white is sampled freely, grey is released during sampling. Means the same under "
                "every scheduler, for eps and flow models, in one or two sampling stages."
            ),
            search_aliases=["soft inpainting", "inpaint gradient", "variable denoise strength", "change map"],
            inputs=[
                io.Model.Input("model", tooltip="The model to sample with. It is cloned, never changed."),
                io.Combo.Input(
                    "mode",
                    options=list(MODES),
                    default="timestep",
                    tooltip=(
                        "timestep: grey is released by the model's own time, as in the paper. step: a grey "
                        "of 0.5 is free for half of the steps, under every scheduler. calibrated: a grey of "
                        "0.5 makes half of the variance new, whatever the scheduler, shift or denoise."
                    ),
                ),
                io.Float.Input(
                    "strength",
                    default=1.0,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip=(
                        "How strongly grey holds a pixel back. Below 1 greys are released earlier (mask to "
                        "the power of strength); black and white stay what they are. 0 is off."
                    ),
                ),
                io.Sigmas.Input(
                    "sigmas",
                    optional=True,
                    tooltip=(
                        "The whole schedule, before it is split. Needed when sampling in two stages with a "
                        "grey mask, and makes the preview exact. With KSampler: a BasicScheduler with the "
                        "same steps, scheduler and denoise."
                    ),
                ),
                io.Latent.Input(
                    "original",
                    optional=True,
                    tooltip=(
                        "What black keeps. Needed when sampling in two stages: the LATENT that the first "
                        "stage started from."
                    ),
                ),
                io.Mask.Input(
                    "mask",
                    optional=True,
                    tooltip=(
                        "Only for the preview: the mask to show. Default: the noise mask of `original`, "
                        "else a ramp from black to white."
                    ),
                ),
            ],
            outputs=[
                io.Model.Output(display_name="model", tooltip="The patched model, for any sampler."),
                io.Mask.Output(
                    display_name="release",
                    tooltip="The share of the steps at which each pixel is free: 1 from the first, 0 never.",
                ),
                io.Image.Output(
                    display_name="preview", tooltip="At which step each pixel is released, with a colour bar."
                ),
            ],
        )

    @classmethod
    def execute(cls, model, mode, strength, sigmas=None, original=None, mask=None) -> io.NodeOutput:
        release = Release(mode, strength, sigmas)
        patched = patch(model, release, original)
        if mask is None and original is not None:
            mask = original.get("noise_mask")
        if mask is None:
            mask = torch.linspace(0, 1, 512).expand(1, 128, 512)
        shown = as_mask(mask.reshape(-1, *mask.shape[-2:]), *mask.shape[-2:])
        share, picture = preview(model, release, shown)
        return io.NodeOutput(patched, share.to(mask.dtype), picture, ui=ui.PreviewImage(picture, cls=cls))


NODES: list[type[io.ComfyNode]] = [DifferentialDiffusion]
