"""Real models of ComfyUI's own classes, small enough for a test and with random weights.

A UNet of SD 1.5's family with 32 channels, a two-layer CLIP-L text model, and an f8 AutoencoderKL.
Every parameter is set from a seed here, since the host's layers leave theirs uninitialised.
"""

from __future__ import annotations

import torch

CONTEXT = 64


def fill(module: torch.nn.Module, seed: int) -> None:
    """Sets every parameter from a seed: unit norms, zero biases, fan-in scaled weights."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in module.named_parameters():
            if p.dim() > 1:
                p.copy_(torch.randn(p.shape, generator=generator) / p[0].numel() ** 0.5)
            else:
                p.fill_(1.0 if name.endswith("weight") else 0.0)


def tiny_model(in_channels: int = 4, seed: int = 0, context: int = CONTEXT, **unet_config):
    """A MODEL (ModelPatcher) with `in_channels` at its first convolution, eps prediction."""
    import comfy.model_patcher
    import comfy.supported_models

    config = {
        "image_size": 32, "in_channels": in_channels, "out_channels": 4, "model_channels": 32,
        "num_res_blocks": [1, 1], "channel_mult": [1, 2], "transformer_depth": [1, 1],
        "transformer_depth_output": [1, 1, 1, 1], "transformer_depth_middle": 1, "context_dim": context,
        "use_linear_in_transformer": False, "adm_in_channels": None, "use_temporal_attention": False,
        "use_spatial_transformer": True, "legacy": False, "num_heads": 4, "num_head_channels": -1,
        "dtype": torch.float32,
    }  # fmt: skip
    supported = comfy.supported_models.SD15(config | unet_config)
    supported.unet_config["num_heads"] = 4
    supported.set_inference_dtype(torch.float32, None)
    base = supported.get_model({}, "", device="cpu")
    fill(base.diffusion_model, seed)
    cpu = torch.device("cpu")
    return comfy.model_patcher.ModelPatcher(base.eval(), load_device=cpu, offload_device=cpu)


def tiny_clip(seed: int = 1, width: int = CONTEXT):
    """A CLIP with SD 1.5's tokenizer and a two-layer text model."""
    import comfy.sd
    from comfy.sd1_clip import SD1ClipModel, SD1Tokenizer

    class Target:
        params: dict = {}
        clip = SD1ClipModel
        tokenizer = SD1Tokenizer

    config = {"hidden_size": width, "intermediate_size": 2 * width}
    config |= {"num_attention_heads": 2, "num_hidden_layers": 2}
    clip = comfy.sd.CLIP(Target, model_options={"clip_l_model_config": config, "dtype": torch.float32})
    fill(clip.cond_stage_model, seed)
    return clip


def tiny_vae(seed: int = 2, z_channels: int = 4, levels: int = 4):
    """A VAE: AutoencoderKL with `levels` - 1 halvings (6: f32, 5: f16, 4: f8, 3: f4)."""
    import comfy.sd

    params = {
        "double_z": True, "z_channels": z_channels, "resolution": 64, "in_channels": 3, "out_ch": 3, "ch": 32,
        "ch_mult": [1, 2, 2, 2, 2, 2][:levels], "num_res_blocks": 1, "attn_resolutions": [], "dropout": 0.0,
    }  # fmt: skip
    from comfy.ldm.models.autoencoder import AutoencoderKL

    seedling = AutoencoderKL(embed_dim=z_channels, ddconfig=params)
    fill(seedling, seed)
    config = {"params": {"embed_dim": z_channels, "ddconfig": params}}
    vae = comfy.sd.VAE(sd=seedling.state_dict(), config=config, dtype=torch.float32)
    vae.latent_channels = z_channels
    vae.downscale_ratio = vae.upscale_ratio = 2 ** (levels - 1)
    return vae


def tiny_control_net():
    """A real ControlNet of the tiny UNet's shape, whose output layers are not zero."""
    import comfy.cldm.cldm
    import comfy.controlnet

    net = comfy.cldm.cldm.ControlNet(
        image_size=32, in_channels=4, model_channels=32, hint_channels=3, num_res_blocks=[1, 1],
        channel_mult=[1, 2], transformer_depth=[1, 1], transformer_depth_middle=1, context_dim=CONTEXT,
        use_spatial_transformer=True, num_heads=4, legacy=False,
    )  # fmt: skip
    fill(net, 4)
    return comfy.controlnet.ControlNet(net.eval(), load_device=torch.device("cpu"))
