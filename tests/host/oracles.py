"""Denoisers with a known answer, as models of the host: what its samplers return can be checked."""

from __future__ import annotations

import torch


def oracle(denoise, latent_format=None, flow=False, **attributes):
    """A MODEL whose denoised prediction is `denoise(call)`.

    `call` is a dict: `x`, `sigma` (as `[B, 1, ...]`), `c_concat`, `c_crossattn`, `control`, `options` and
    the rest of the model's conditions. A prompt's `canvas` entry comes as `c_concat`.
    `model.model.calls` records the shape of every input, and `model.model.budget` every shape that the
    host asked the memory of. `attributes` are set on the diffusion model.
    """
    import comfy.conds
    import comfy.latent_formats
    import comfy.model_base
    import comfy.model_patcher
    import comfy.supported_models

    class Oracle(comfy.model_base.BaseModel):
        def __init__(self, config):
            kind = comfy.model_base.ModelType.FLOW if flow else comfy.model_base.ModelType.EPS
            super().__init__(config, kind, device=torch.device("cpu"))
            self.diffusion_model = torch.nn.Linear(1, 1)
            self.diffusion_model.dtype = torch.float32
            for name, value in attributes.items():
                setattr(self.diffusion_model, name, value)
            self.calls, self.budget = [], []

        def _apply_model(self, x, t, c_concat=None, c_crossattn=None, control=None, transformer_options=None,
                         **rest):  # fmt: skip
            self.calls.append(tuple(x.shape))
            sigma = t.reshape(-1, *[1] * (x.ndim - 1)).to(x)
            call = {"x": x, "sigma": sigma, "c_concat": c_concat, "c_crossattn": c_crossattn}
            return denoise(call | {"control": control, "options": transformer_options} | rest)

        def extra_conds(self, **kwargs):
            out = super().extra_conds(**kwargs)
            if "canvas" in kwargs:
                out["c_concat"] = comfy.conds.CONDNoiseShape(kwargs["canvas"])
            if "reference_latents" in kwargs:
                out["ref_latents"] = comfy.conds.CONDList(kwargs["reference_latents"])
            return out

        def memory_required(self, input_shape, cond_shapes=None):
            self.budget.append(tuple(input_shape))
            return super().memory_required(input_shape, cond_shapes or {})

    config = comfy.supported_models.SD15({"disable_unet_model_creation": True})
    config.latent_format = (latent_format or comfy.latent_formats.SDXL)()
    config.set_inference_dtype(torch.float32, None)
    base = Oracle(config)
    cpu = torch.device("cpu")
    return comfy.model_patcher.ModelPatcher(base.eval(), load_device=cpu, offload_device=cpu)


def prompt(value: float = 0.0, width: int = 8, **entries) -> list:
    """A CONDITIONING whose text embedding is a constant."""
    return [[torch.full((1, 4, width), value), entries]]


def sample(model, latent, *, sampler="euler", scheduler="normal", steps=4, cfg=1.0, denoise=1.0, seed=3,
           positive=None, negative=None, noise_mask=None, callback=None):  # fmt: skip
    """The host's own KSampler on the latent `[B, C, ...]`."""
    import comfy.sample

    noise = comfy.sample.prepare_noise(latent, seed)
    return comfy.sample.sample(
        model, noise, steps, cfg, sampler, scheduler, positive or prompt(1.0), negative or prompt(0.0),
        latent, denoise=denoise, noise_mask=noise_mask, callback=callback, disable_pbar=True, seed=seed,
    )  # fmt: skip
