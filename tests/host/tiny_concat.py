"""Tiny real models of every concat-conditioned kind, and a look at what their UNets are given."""

from __future__ import annotations

import importlib.util
import json
from contextlib import contextmanager
from pathlib import Path

import torch

from .tiny import CONTEXT, fill, tiny_model

VECTORS = Path(__file__).resolve().parents[1] / "vectors" / "concat"
CLOSED_FORM = Path(__file__).resolve().parents[2] / "tools" / "fixtures" / "closed_form.py"
CHANNELS = {
    "depth": 5, "upscale-x4": 7, "instruct-pix2pix": 8, "ic-light-fc": 8, "inpaint": 9, "ic-light-fbc": 12,
    "marigold": 8,
}  # fmt: skip
UNET = {
    "image_size": 32, "out_channels": 4, "model_channels": 32, "num_res_blocks": [1, 1],
    "channel_mult": [1, 2], "transformer_depth": [1, 1], "transformer_depth_output": [1, 1, 1, 1],
    "transformer_depth_middle": 1, "context_dim": CONTEXT, "use_linear_in_transformer": False,
    "adm_in_channels": None, "use_temporal_attention": False, "use_spatial_transformer": True,
    "legacy": False, "num_heads": 4, "num_head_channels": -1, "dtype": torch.float32,
}  # fmt: skip


def closed_form():
    """The module of closed forms that the fixtures were made with."""
    spec = importlib.util.spec_from_file_location("closed_form", CLOSED_FORM)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def concat_model(kind: str, seed: int = 0):
    """A MODEL of `kind` as the host loads it."""
    import comfy.supported_models as supported

    if kind == "instruct-pix2pix":
        return of_class(supported.SD15_instructpix2pix, 8, seed)
    if kind == "upscale-x4":
        return of_class(supported.SD_X4Upscaler, 7, seed, num_classes=1000)
    if kind == "marigold":
        return of_class(supported.SD20, 8, seed)
    return tiny_model(in_channels=CHANNELS[kind], seed=seed)


def of_class(config_class, channels: int, seed: int = 0, **extra):
    """A MODEL of one of the host's supported classes, in float32 on the CPU."""
    import comfy.model_patcher

    config = config_class(UNET | {"in_channels": channels})
    config.unet_config.pop("disable_self_attentions", None)
    config.unet_config |= {"num_heads": 4, "num_head_channels": -1} | extra
    config.set_inference_dtype(torch.float32, None)
    base = config.get_model({}, "", device="cpu")
    fill(base.diffusion_model, seed)
    cpu = torch.device("cpu")
    return comfy.model_patcher.ModelPatcher(base.eval(), load_device=cpu, offload_device=cpu)


def reference_vae():
    """The VAE of the fixtures: f8, weights from their closed form, converted by the host."""
    import comfy.sd

    shapes = json.loads((VECTORS / "vae_shapes.json").read_text("utf-8"))
    ddconfig = {
        "double_z": True, "z_channels": 4, "resolution": 64, "in_channels": 3, "out_ch": 3, "ch": 32,
        "ch_mult": [1, 1, 1, 1], "num_res_blocks": 1, "attn_resolutions": [], "dropout": 0.0,
    }  # fmt: skip
    config = {"params": {"embed_dim": 4, "ddconfig": ddconfig}}
    vae = comfy.sd.VAE(sd=closed_form().weights(shapes), config=config, dtype=torch.float32)
    vae.latent_channels = 4
    vae.downscale_ratio = vae.upscale_ratio = 8
    return vae


@contextmanager
def unet_inputs(model):
    """Collects what the UNet is called with: `sample` as its first convolution sees it, `timestep`, `y`,
    and `cond_or_uncond`."""
    seen: list[dict] = []
    unet = model.model.diffusion_model

    def before(module, args, keywords):
        options = keywords["transformer_options"]
        entry = {"timestep": args[1].clone(), "cond_or_uncond": list(options["cond_or_uncond"])}
        if keywords.get("y") is not None:
            entry["y"] = keywords["y"].clone()
        seen.append(entry)

    def conv(module, args):
        seen[-1]["sample"] = args[0].clone()

    hooks = [
        unet.register_forward_pre_hook(before, with_kwargs=True),
        unet.input_blocks[0][0].register_forward_pre_hook(conv),
    ]
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()


def text(seed: int = 0, batch: int = 1) -> list:
    """A conditioning of random embeddings."""
    embedding = torch.randn(batch, 7, CONTEXT, generator=torch.Generator().manual_seed(seed))
    return [[embedding, {"pooled_output": embedding[:, 0]}]]


def picture(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def sample(host, model, positive, negative, latent, seed=1, steps=2, cfg=4.0, denoise=1.0):
    """The samples of a KSampler."""
    (out,) = host.call(
        "KSampler", model=model, positive=positive, negative=negative, latent_image=latent, seed=seed,
        steps=steps, cfg=cfg, sampler_name="euler", scheduler="simple", denoise=denoise,
    )  # fmt: skip
    return out["samples"]
