"""Edit models and the text encoders that look at pictures: the host's classes, small, with random weights."""

from __future__ import annotations

import functools
from unittest import mock

import torch

from .tiles.transformers import built, flux, qwen
from .tiny import fill, tiny_clip, tiny_vae

WIDTH = 8
"""Of what a small text encoder gives."""
TEXT = {"hidden_size": WIDTH, "intermediate_size": 16, "num_hidden_layers": 3}
TEXT |= {"num_attention_heads": 1, "num_key_value_heads": 1}
EYES = {"hidden_size": 32, "num_heads": 2, "intermediate_size": 32}


def encoder(clip, tokenizer, name, config):
    """A CLIP of the host's classes whose text model has the layout of `config`."""
    import comfy.sd

    target = type("Target", (), {"params": {}, "clip": clip, "tokenizer": tokenizer})
    options = {f"{name}_model_config": dict(config), "dtype": torch.float32}
    made = comfy.sd.CLIP(target, model_options=options)
    fill(made.cond_stage_model, 1)
    return made


def qwen25_clip(module, tokenizer):
    """A Qwen2.5-VL for the family of `comfy.text_encoders.<module>`, with a small tower for pictures."""
    import importlib

    import comfy.text_encoders.qwen_vl as qwen_vl

    family = importlib.import_module(f"comfy.text_encoders.{module}")
    tower = qwen_vl.Qwen2VLVisionTransformer
    with mock.patch.object(
        qwen_vl, "Qwen2VLVisionTransformer", lambda **given: tower(**given | EYES, num_layers=1)
    ):
        return encoder(family.te(), getattr(family, tokenizer), "qwen25_7b", TEXT)


def qwen3_clip(module, tokenizer, name):
    """A Qwen3-VL for a family, with a small tower for pictures."""
    import importlib

    import comfy.text_encoders.qwen3vl as qwen3vl

    family = importlib.import_module(f"comfy.text_encoders.{module}")
    small = {"depth": 1, "deepstack_visual_indexes": [0], "hidden_size": 32, "intermediate_size": 32}
    with (
        mock.patch.dict(qwen3vl.QWEN3VL_VISION, {name: small}),
        mock.patch.dict(qwen3vl.QWEN3VL_VISION_COMMON, {"num_heads": 2}),
    ):
        return encoder(family.te(), getattr(family, tokenizer), name, TEXT | {"lm_head": False})


@functools.cache
def small_latents():
    """A VAE for references of a megapixel: f32, and it encodes a picture once."""
    vae = tiny_vae(z_channels=16, levels=6)
    real, known = vae.encode, {}

    def encode(pixels):
        key = pixels.shape, pixels.double().sum().item(), pixels.double().std().item()
        if key not in known:
            known[key] = real(pixels)
        return known[key].clone()

    vae.encode = encode
    return vae


def boogu_like(kind, image_model, **more):
    return built(
        kind, image_model=image_model, in_channels=16, hidden_size=64, num_layers=1, num_refiner_layers=1,
        num_attention_heads=2, num_kv_heads=1, multiple_of=16, axes_dim_rope=(8, 12, 12),
        axes_lens=(300, 512, 512), **more,
    )  # fmt: skip


@functools.cache
def edit_models(family):
    """MODEL, CLIP and VAE of a family."""
    return globals()[f"_{family}"]()


def _flux():
    return flux(), tiny_clip(width=8), tiny_vae(z_channels=16)


def _flux2():
    model = built(
        "Flux2", image_model="flux2", in_channels=128, out_channels=128, patch_size=1, hidden_size=32,
        num_heads=2, depth=1, depth_single_blocks=1, vec_in_dim=None, context_in_dim=8, mlp_ratio=3.0,
        axes_dim=[4, 4, 4, 4], txt_ids_dims=[3], theta=2000, qkv_bias=False, guidance_embed=False,
        mlp_silu_act=True, global_modulation=True, ops_bias=False, default_ref_method="index",
    )  # fmt: skip
    return model, tiny_clip(width=8), tiny_vae(z_channels=128, levels=5)


def _longcat():
    model = built(
        "LongCatImage", image_model="flux", in_channels=16, out_channels=16, patch_size=2, hidden_size=32,
        num_heads=2, depth=1, depth_single_blocks=1, vec_in_dim=None, context_in_dim=WIDTH, mlp_ratio=2.0,
        axes_dim=[4, 6, 6], txt_ids_dims=[1, 2], theta=10000, qkv_bias=True, guidance_embed=False,
    )  # fmt: skip
    clip = qwen25_clip("longcat_image", "LongCatImageTokenizer")
    return model, clip, small_latents()


def _qwen():
    model, *_ = qwen(0)
    return model, qwen25_clip("qwen_image", "QwenImageTokenizer"), small_latents()


def _joy():
    model = built(
        "JoyImage", image_model="joyimage", in_channels=16, hidden_size=128, num_attention_heads=1,
        text_dim=WIDTH, num_layers=1, mlp_width_ratio=1.0,
    )  # fmt: skip
    return model, qwen3_clip("joyimage", "JoyImageTokenizer", "qwen3vl_8b"), small_latents()


def _boogu():
    model = boogu_like("Boogu", "boogu", num_double_stream_layers=1, instruction_feat_dim=WIDTH)
    clip = qwen3_clip("boogu", "BooguTokenizer", "qwen3vl_8b")
    return model, clip, small_latents()


def _mage():
    model = built(
        "MageFlow", image_model="mage_flow", num_layers=1, attention_head_dim=16, num_attention_heads=2,
        joint_attention_dim=WIDTH, axes_dims_rope=(4, 6, 6),
    )  # fmt: skip
    clip = qwen3_clip("mage_flow", "MageFlowTokenizer", "qwen3vl_4b")
    return model, clip, tiny_vae(z_channels=128, levels=5)


def _omnigen2():
    import comfy.text_encoders.omnigen2 as omnigen2

    model = boogu_like("Omnigen2", "omnigen2", text_feat_dim=WIDTH)
    clip = encoder(omnigen2.te(), omnigen2.Omnigen2Tokenizer, "qwen25_3b", TEXT)
    return model, clip, tiny_vae(z_channels=16)


def _omni():
    import comfy.text_encoders.z_image as z_image

    model = built(
        "Lumina2", image_model="lumina2", patch_size=2, in_channels=16, n_layers=1, n_refiner_layers=1,
        cap_feat_dim=WIDTH, axes_dims=[8, 12, 12], axes_lens=[32, 64, 64], z_image_modulation=True,
        ffn_dim_multiplier=1.0, multiple_of=16, dim=256, n_heads=8, n_kv_heads=8, qk_norm=True,
        pad_tokens_multiple=32, siglip_feat_dim=32,
    )  # fmt: skip
    clip = encoder(z_image.te(), z_image.ZImageTokenizer, "qwen3_4b", TEXT)
    return model, clip, tiny_vae(z_channels=16)


def _hidream():
    import comfy.sd
    import comfy.text_encoders.hidream_o1 as hidream_o1

    model = built(
        "HiDreamO1", image_model="hidream_o1", text_config_overrides=TEXT | {"hidden_size": 32},
        vision_config_overrides=EYES | {"depth": 1},
    )  # fmt: skip
    target = type("Target", (), {"params": {}, "clip": hidream_o1.HiDreamO1TE})
    target.tokenizer = hidream_o1.HiDreamO1Tokenizer
    return model, comfy.sd.CLIP(target), comfy.sd.VAE(sd={"pixel_space_vae": torch.tensor(1.0)})


def tiny_siglip2(width=32):
    """A SigLIP 2 as CLIP_VISION, of two layers."""
    import comfy.clip_vision

    model = comfy.clip_vision.ClipVisionModel(
        {
            "image_size": -1, "patch_size": 16, "num_channels": 3, "hidden_size": width, "num_patches": 16,
            "intermediate_size": 64, "num_attention_heads": 2, "num_hidden_layers": 2,
            "hidden_act": "gelu_pytorch_tanh", "layer_norm_eps": 1e-6, "projection_dim": width,
            "model_type": "siglip2_vision_model", "image_mean": [0.5] * 3, "image_std": [0.5] * 3,
        }
    )  # fmt: skip
    fill(model.model, 5)
    return model
