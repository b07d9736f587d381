"""A MODEL, CLIP and VAE of each family of image models that the host knows: small, with random weights."""

from __future__ import annotations

import functools
from unittest import mock

from .tiles.transformers import built, qwen, z_image
from .tiny import CONTEXT, fill, tiny_clip, tiny_model, tiny_vae
from .tiny_edit import WIDTH, edit_models


@functools.cache
def family_models(family):
    return FAMILIES[family]()


def _sd1():
    return tiny_model(), tiny_clip(), tiny_vae()


def _sdxl():
    sizes = 6 * 256  # of the six numbers that SDXL is told of its picture
    model = built(
        "SDXL", image_size=32, in_channels=4, out_channels=4, model_channels=32, num_res_blocks=[1, 1],
        channel_mult=[1, 2], transformer_depth=[0, 1], transformer_depth_output=[0, 0, 1, 1],
        transformer_depth_middle=1, context_dim=CONTEXT, use_linear_in_transformer=True,
        adm_in_channels=CONTEXT + sizes, num_classes="sequential", use_temporal_attention=False,
        use_spatial_transformer=True, legacy=False, num_heads=-1, num_head_channels=32,
    )  # fmt: skip
    return model, tiny_clip(), tiny_vae()


def _sd3():
    context = {"target": "torch.nn.Linear", "params": {"in_features": CONTEXT, "out_features": 64}}
    model = built(
        "SD3", in_channels=16, input_size=None, patch_size=2, depth=1, adm_in_channels=CONTEXT,
        context_embedder_config=context, pos_embed_scaling_factor=None, pos_embed_max_size=16,
        num_patches=256,
    )  # fmt: skip
    return model, tiny_clip(), tiny_vae(z_channels=16)


def _qwen():
    model, _, vae = qwen(0)
    return model, tiny_clip(width=WIDTH), vae


def _z_image():
    model, _, vae = z_image(False)
    return model, tiny_clip(width=WIDTH), vae


def _lumina2():
    model = built(
        "Lumina2", image_model="lumina2", patch_size=2, in_channels=16, n_layers=1, n_refiner_layers=1,
        cap_feat_dim=WIDTH, axes_dims=[8, 12, 12], axes_lens=[300, 64, 64], ffn_dim_multiplier=1.0,
        multiple_of=16, dim=64, n_heads=2, n_kv_heads=1, qk_norm=True,
    )  # fmt: skip
    return model, tiny_clip(width=WIDTH), tiny_vae(z_channels=16)


def wan(kind, channels):
    return built(
        kind, image_model="wan2.1", model_type="t2v", dim=48, ffn_dim=32, freq_dim=32, text_dim=WIDTH,
        in_dim=channels, out_dim=channels, num_heads=2, num_layers=1, patch_size=(1, 2, 2),
    )  # fmt: skip


def _wan21():
    return wan("WAN21_T2V", 16), tiny_clip(width=WIDTH), qwen(0)[2]


def _wan22():
    import comfy.ldm.wan.vae2_2 as vae2_2
    import comfy.sd

    real, small = vae2_2.WanVAE, {"dim": 8, "dec_dim": 8}
    with mock.patch.object(vae2_2, "WanVAE", lambda **given: real(**given | small)):
        seedling = vae2_2.WanVAE(z_dim=48, temperal_downsample=[False, True, True])
        fill(seedling, 2)
        for name, weight in seedling.named_parameters():
            if name.endswith("gamma"):
                weight.data.fill_(1.0)
        vae = comfy.sd.VAE(sd=seedling.state_dict())
    return wan("WAN22_T2V", 48), tiny_clip(width=WIDTH), vae


def _hunyuan_image():
    model = built(
        "HunyuanImage21", image_model="hunyuan_video", in_channels=64, out_channels=64, vec_in_dim=None,
        context_in_dim=WIDTH, hidden_size=32, mlp_ratio=2.0, num_heads=2, depth=1, depth_single_blocks=1,
        axes_dim=[8, 8], theta=256, patch_size=[1, 1], qkv_bias=True, guidance_embed=False, byt5=False,
        meanflow=False, use_cond_type_embedding=False, vision_in_dim=None, meanflow_sum=False,
    )  # fmt: skip
    return model, tiny_clip(width=WIDTH), tiny_vae(z_channels=64, levels=6)


FAMILIES = {
    "SD1": _sd1,
    "SDXL": _sdxl,
    "SD3": _sd3,
    "Flux": lambda: edit_models("flux"),
    "Flux.2": lambda: edit_models("flux2"),
    "Qwen-Image": _qwen,
    "Z-Image": _z_image,
    "Lumina 2": _lumina2,
    "Wan 2.1": _wan21,
    "Wan 2.2": _wan22,
    "HunyuanImage": _hunyuan_image,
}
