"""The host's transformers, their ControlNets and VAEs: small, with random weights."""

import functools

import torch

from ..tiny import fill, tiny_vae


def patcher(model):
    import comfy.model_patcher

    cpu = torch.device("cpu")
    return comfy.model_patcher.ModelPatcher(model.eval(), load_device=cpu, offload_device=cpu)


def node(name):
    import nodes

    return nodes.NODE_CLASS_MAPPINGS[name]


def built(kind, **unet_config):
    """A MODEL of the host's class `kind` of supported models, with random weights."""
    import comfy.supported_models

    supported = getattr(comfy.supported_models, kind)(unet_config)
    supported.set_inference_dtype(torch.float32, None)
    base = supported.get_model({}, "", device="cpu")
    fill(base.diffusion_model, 1)
    return patcher(base)


@functools.cache
def z_image(inpaint: bool):
    """A Z-Image MODEL, its Fun ControlNet, and a VAE: small, with random weights."""
    import comfy.ops
    from comfy.ldm.lumina.controlnet import ZImage_Control

    sizes = {"dim": 256, "n_heads": 8, "n_kv_heads": 8, "qk_norm": True}
    model = built(
        "Lumina2", image_model="lumina2", patch_size=2, in_channels=16, n_layers=6, n_refiner_layers=2,
        cap_feat_dim=8, axes_dims=[8, 12, 12], axes_lens=[32, 64, 64], z_image_modulation=True,
        ffn_dim_multiplier=1.0, multiple_of=16, **sizes,
    )  # fmt: skip
    extra = {"n_control_layers": 6, "additional_in_dim": 17, "refiner_control": True} if inpaint else {}
    control = ZImage_Control(
        multiple_of=16, ffn_dim_multiplier=1.0, operations=comfy.ops.manual_cast, dtype=torch.float32,
        **sizes, **extra,
    )  # fmt: skip
    fill(control, 2)
    return model, patcher(control), tiny_vae(z_channels=16)


def flux(guidance_embed=False):
    """A Flux MODEL, small, with random weights."""
    return built(
        "Flux", image_model="flux", in_channels=16, out_channels=16, patch_size=2, hidden_size=32,
        num_heads=2, depth=1, depth_single_blocks=1, vec_in_dim=8, context_in_dim=8, mlp_ratio=2.0,
        axes_dim=[4, 6, 6], txt_ids_dims=[], theta=10000, qkv_bias=True, guidance_embed=guidance_embed,
    )  # fmt: skip


@functools.cache
def qwen(additional):
    """A Qwen-Image MODEL, its DiffSynth ControlNet, and Wan's VAE: small, with random weights."""
    import comfy.ldm.wan.vae
    import comfy.ops
    import comfy.sd

    model = built(
        "QwenImage", image_model="qwen_image", in_channels=64, out_channels=16, num_layers=3,
        attention_head_dim=16, num_attention_heads=2, joint_attention_dim=8, axes_dims_rope=(4, 6, 6),
    )  # fmt: skip
    control = node("ModelPatchLoader").load_model_patch.__globals__["QwenImageBlockWiseControlNet"](
        num_layers=3, additional_in_dim=additional, dim=32, operations=comfy.ops.manual_cast
    )
    fill(control, 2)
    small = comfy.ldm.wan.vae.WanVAE(
        dim=8, z_dim=16, dim_mult=[1, 2, 4, 4], num_res_blocks=2, attn_scales=[],
        temperal_downsample=[False, True, True], dropout=0.0,
    )  # fmt: skip
    for index, (name, weight) in enumerate(small.named_parameters()):
        generator = torch.Generator().manual_seed(index)
        weight.data.fill_(1.0) if name.endswith("gamma") else weight.data.normal_(0, 0.1, generator=generator)
    return model, patcher(control), comfy.sd.VAE(sd=small.state_dict())
