"""Writes tests/vectors/headers.json.xz: names and shapes of the tensors of real models, without weights.

Nothing is written from memory: each list is the state dict of a class of ComfyUI, diffusers or transformers,
built on torch's meta device. Layouts of whole checkpoints come from ComfyUI's own code for saving them.

    COMFYUI_PATH=path/to/ComfyUI python tools/make_header_vectors.py

needs ComfyUI's requirements and diffusers.
"""

from __future__ import annotations

import json
import lzma
import os
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
OUT = ROOT / "tests" / "vectors" / "headers.json.xz"
sys.path.insert(0, os.environ.get("COMFYUI_PATH") or str(ROOT / ".host" / "comfyui-0.30.0"))
sys.argv = [sys.argv[0], "--cpu"]

import comfy.options  # noqa: E402

comfy.options.enable_args_parsing()

import comfy.cldm.cldm  # noqa: E402
import comfy.lora  # noqa: E402
import comfy.ops  # noqa: E402
import comfy.sd1_clip  # noqa: E402
import comfy.sdxl_clip  # noqa: E402
import comfy.supported_models as supported  # noqa: E402
import comfy.text_encoders.sd2_clip  # noqa: E402
import diffusers  # noqa: E402
import torch  # noqa: E402
from comfy.ldm.models.autoencoder import AutoencoderKL  # noqa: E402

META = torch.device("meta")
Shapes = dict[str, list[int]]

LDM = {
    "image_size": 32, "out_channels": 4, "use_spatial_transformer": True, "legacy": False,
    "use_temporal_attention": False, "use_temporal_resblock": False, "dtype": torch.float16,
}  # fmt: skip
FOUR = {
    "model_channels": 320, "num_res_blocks": [2, 2, 2, 2], "channel_mult": [1, 2, 4, 4],
    "transformer_depth": [1, 1, 1, 1, 1, 1, 0, 0], "transformer_depth_middle": 1,
    "transformer_depth_output": [1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0], "adm_in_channels": None,
}  # fmt: skip
SD1 = LDM | FOUR | {"context_dim": 768, "use_linear_in_transformer": False}
SD2 = LDM | FOUR | {"context_dim": 1024, "use_linear_in_transformer": True}
SDXL = LDM | {
    "model_channels": 320, "num_res_blocks": [2, 2, 2], "channel_mult": [1, 2, 4], "context_dim": 2048,
    "transformer_depth": [0, 0, 2, 2, 10, 10], "transformer_depth_middle": 10, "adm_in_channels": 2816,
    "transformer_depth_output": [0, 0, 0, 2, 2, 2, 10, 10, 10], "num_classes": "sequential",
    "use_linear_in_transformer": True,
}  # fmt: skip
REFINER = LDM | {
    "model_channels": 384, "num_res_blocks": [2, 2, 2, 2], "channel_mult": [1, 2, 4, 4],
    "transformer_depth": [0, 0, 4, 4, 4, 4, 0, 0], "transformer_depth_middle": 4, "adm_in_channels": 2560,
    "transformer_depth_output": [0, 0, 0, 4, 4, 4, 4, 4, 4, 0, 0, 0], "num_classes": "sequential",
    "context_dim": 1280, "use_linear_in_transformer": True,
}  # fmt: skip
X4 = LDM | {
    "model_channels": 256, "num_res_blocks": [2, 2, 2, 2], "channel_mult": [1, 2, 2, 4],
    "transformer_depth": [0, 0, 1, 1, 1, 1, 1, 1], "transformer_depth_middle": 1, "adm_in_channels": None,
    "transformer_depth_output": [0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1], "context_dim": 1024,
    "use_linear_in_transformer": True,
}  # fmt: skip
SVD = SD2 | {
    "adm_in_channels": 768, "num_classes": "sequential", "use_temporal_attention": True,
    "use_temporal_resblock": True, "extra_ff_mix_layer": True, "use_spatial_context": True,
    "merge_strategy": "learned_with_images", "merge_factor": 0.0, "video_kernel_size": [3, 1, 1],
    "disable_temporal_crossattention": False,
}  # fmt: skip
VAE = {
    "double_z": True, "z_channels": 4, "resolution": 256, "in_channels": 3, "out_ch": 3, "ch": 128,
    "ch_mult": [1, 2, 4, 4], "num_res_blocks": 2, "attn_resolutions": [], "dropout": 0.0,
}  # fmt: skip

# Transformers of ComfyUI by module, class and settings; few blocks, real widths.
FLUX = {
    "in_channels": 16, "out_channels": 16, "vec_in_dim": 768, "context_in_dim": 4096, "hidden_size": 3072,
    "mlp_ratio": 4.0, "num_heads": 24, "depth": 2, "depth_single_blocks": 2, "axes_dim": [16, 56, 56],
    "theta": 10000, "patch_size": 2, "qkv_bias": True, "guidance_embed": True, "txt_ids_dims": [],
}  # fmt: skip
FLUX2 = FLUX | {
    "in_channels": 128, "out_channels": 128, "axes_dim": [32, 32, 32, 32], "num_heads": 48, "mlp_ratio": 3.0,
    "global_modulation": True, "mlp_silu_act": True, "qkv_bias": False, "ops_bias": False, "patch_size": 1,
    "hidden_size": 6144, "vec_in_dim": None, "context_in_dim": 15360,
}  # fmt: skip
CHROMA = {key: value for key, value in FLUX.items() if key != "guidance_embed"} | {
    "in_channels": 64, "out_channels": 64, "in_dim": 64, "out_dim": 3072, "hidden_dim": 5120, "n_layers": 5,
}  # fmt: skip
WAN = {
    "model_type": "t2v", "dim": 1536, "out_dim": 16, "num_heads": 12, "ffn_dim": 8960, "num_layers": 2,
    "in_dim": 16,
}  # fmt: skip
HUNYUAN = {
    "in_channels": 16, "out_channels": 16, "vec_in_dim": 768, "context_in_dim": 4096, "hidden_size": 3072,
    "mlp_ratio": 4.0, "num_heads": 24, "depth": 2, "depth_single_blocks": 2, "axes_dim": [16, 56, 56],
    "theta": 256, "patch_size": [1, 2, 2], "qkv_bias": True, "guidance_embed": True, "byt5": False,
    "meanflow": False, "use_cond_type_embedding": False, "vision_in_dim": None, "meanflow_sum": False,
}  # fmt: skip
COSMOS = {
    "max_img_h": 240, "max_img_w": 240, "max_frames": 128, "in_channels": 16, "out_channels": 16,
    "patch_spatial": 2, "patch_temporal": 1, "model_channels": 4096, "num_blocks": 2, "num_heads": 32,
    "block_config": "FA-CA-MLP", "concat_padding_mask": True, "pos_emb_cls": "rope3d",
    "pos_emb_learnable": False, "pos_emb_interpolation": "crop", "block_x_format": "THWBD",
    "affline_emb_norm": True, "use_adaln_lora": True, "adaln_lora_dim": 256,
    "extra_per_block_abs_pos_emb": True, "extra_per_block_abs_pos_emb_type": "learnable",
}  # fmt: skip
PREDICT2 = {
    "max_img_h": 240, "max_img_w": 240, "max_frames": 128, "in_channels": 16, "out_channels": 16,
    "patch_spatial": 2, "patch_temporal": 1, "model_channels": 2048, "num_blocks": 2, "num_heads": 16,
    "concat_padding_mask": True, "crossattn_emb_channels": 1024, "pos_emb_cls": "rope3d",
    "use_adaln_lora": True, "adaln_lora_dim": 256,
}  # fmt: skip
LUMINA = {
    "patch_size": 2, "in_channels": 16, "dim": 2304, "cap_feat_dim": 2304, "n_layers": 2, "qk_norm": True,
    "n_heads": 24, "n_kv_heads": 8, "axes_dims": [32, 32, 32], "axes_lens": [300, 512, 512],
}  # fmt: skip
ZIMAGE = LUMINA | {
    "dim": 3840, "cap_feat_dim": 2560, "n_heads": 30, "n_kv_heads": 30, "axes_dims": [32, 48, 48],
    "axes_lens": [1536, 512, 512], "z_image_modulation": True, "ffn_dim_multiplier": 8 / 3,
}  # fmt: skip
COG = {"num_layers": 2, "num_attention_heads": 30, "in_channels": 16, "text_embed_dim": 4096}
SD3 = {
    "in_channels": 16, "patch_size": 2, "out_channels": 16, "depth": 24, "input_size": None,
    "adm_in_channels": 2048, "num_patches": 36864, "pos_embed_max_size": 192,
    "context_embedder_config": {
        "target": "torch.nn.Linear", "params": {"in_features": 4096, "out_features": 1536},
    },
}  # fmt: skip
KANDINSKY5 = {
    "model_dim": 1792, "time_dim": 512, "ff_dim": 7168, "visual_embed_dim": 132, "num_text_blocks": 2,
    "num_visual_blocks": 2, "axes_dims": (16, 24, 24),
}  # fmt: skip
HIDREAM = {
    "patch_size": 2, "in_channels": 16, "out_channels": 16, "num_layers": 1, "num_single_layers": 1,
    "attention_head_dim": 128, "num_attention_heads": 20, "caption_channels": [4096, 4096],
    "text_emb_dim": 2048, "num_routed_experts": 4, "num_activated_experts": 2,
    "axes_dims_rope": [64, 32, 32], "max_resolution": [128, 128], "llama_layers": [0, 1],
}  # fmt: skip
LDM_DIT = "comfy.ldm."
TRANSFORMERS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "flux": ("flux.model", "Flux", FLUX),
    "flux-control": ("flux.model", "Flux", FLUX | {"in_channels": 32}),
    "flex2": ("flux.model", "Flux", FLUX | {"in_channels": 49}),
    "flux-fill": ("flux.model", "Flux", FLUX | {"in_channels": 96}),
    "flux2": ("flux.model", "Flux", FLUX2),
    "chroma": ("chroma.model", "Chroma", CHROMA),
    "sd3": ("modules.diffusionmodules.mmdit", "OpenAISignatureMMDITWrapper", SD3),
    "auraflow": ("aura.mmdit", "MMDiT", {"n_layers": 4, "n_double_layers": 2, "max_seq": 9216}),
    "hunyuan-video": ("hunyuan_video.model", "HunyuanVideo", HUNYUAN),
    "hunyuan-video-i2v": ("hunyuan_video.model", "HunyuanVideo", HUNYUAN | {"in_channels": 33}),
    "hunyuan-video-skyreels": ("hunyuan_video.model", "HunyuanVideo", HUNYUAN | {"in_channels": 32}),
    "wan": ("wan.model", "WanModel", WAN),
    "wan-i2v": ("wan.model", "WanModel", WAN | {"model_type": "i2v", "in_dim": 36}),
    "wan22-i2v": ("wan.model", "WanModel", WAN | {"in_dim": 36}),
    "wan22-5b": ("wan.model", "WanModel", WAN | {"in_dim": 48, "out_dim": 48}),
    "wan-fun-control": ("wan.model", "WanModel", WAN | {"model_type": "i2v", "in_dim": 48}),
    "cosmos": ("cosmos.model", "GeneralDIT", COSMOS),
    "cosmos-i2v": ("cosmos.model", "GeneralDIT", COSMOS | {"in_channels": 17}),
    "cosmos-predict2": ("cosmos.predict2", "MiniTrainDIT", PREDICT2),
    "cosmos-predict2-i2v": ("cosmos.predict2", "MiniTrainDIT", PREDICT2 | {"in_channels": 17}),
    "anima": ("anima.model", "Anima", PREDICT2),
    "lumina2": ("lumina.model", "NextDiT", LUMINA),
    "z-image": ("lumina.model", "NextDiT", ZIMAGE),
    "cogvideox": ("cogvideo.model", "CogVideoXTransformer3DModel", COG),
    "cogvideox-i2v": ("cogvideo.model", "CogVideoXTransformer3DModel", COG | {"in_channels": 32}),
    "cogvideox-inpaint": ("cogvideo.model", "CogVideoXTransformer3DModel", COG | {"in_channels": 48}),
    "ltxv": ("lightricks.model", "LTXVModel", {"num_layers": 2, "cross_attention_dim": 2048}),
    "qwen-image": ("qwen_image.model", "QwenImageTransformer2DModel", {"num_layers": 2, "in_channels": 64}),
    "mochi": (
        "genmo.joint_model.asymm_models_joint", "AsymmDiTJoint",
        {"depth": 2, "patch_size": 2, "num_heads": 24, "hidden_size_x": 3072, "hidden_size_y": 1536,
         "in_channels": 12, "t5_feat_dim": 4096, "t5_token_length": 256, "use_t5": True, "qkv_bias": False,
         "qk_norm": True, "mlp_ratio_x": 4.0, "mlp_ratio_y": 4.0},
    ),
    "pixart": (
        "pixart.pixartms", "PixArtMS",
        {"depth": 2, "num_heads": 16, "patch_size": 2, "hidden_size": 1152, "in_channels": 4,
         "model_max_length": 300, "micro_condition": False},
    ),
    "hunyuan-dit": ("hydit.models", "HunYuanDiT", {"depth": 4, "hidden_size": 1408, "mlp_ratio": 4.3637}),
    "hidream": ("hidream.model", "HiDreamImageTransformer2DModel", HIDREAM),
    "omnigen2": (
        "omnigen.omnigen2", "OmniGen2Transformer2DModel",
        {"num_layers": 2, "in_channels": 16, "hidden_size": 2520, "num_attention_heads": 21,
         "num_kv_heads": 7, "axes_dim_rope": [40, 40, 40], "axes_lens": [1024, 1664, 1664],
         "text_feat_dim": 2048},
    ),
    "kandinsky5": ("kandinsky5.model", "Kandinsky5", KANDINSKY5),
    "ideogram4": ("ideogram4.model", "Ideogram4Transformer2DModel", {"num_layers": 2}),
    "boogu": ("boogu.model", "BooguTransformer2DModel", {"num_layers": 2, "num_double_stream_layers": 2}),
    "lens": ("lens.model", "LensTransformer2DModel", {"num_layers": 2}),
    "mage-flow": ("mage_flow.model", "MageFlowTransformer2DModel", {"num_layers": 2}),
    "joyimage": ("joyimage.model", "JoyImageTransformer3DModel", {"num_layers": 2}),
    "ernie": ("ernie.model", "ErnieImageModel", {"num_layers": 2}),
    "minimax": ("minimax.model", "MiniMaxH3Model", {"num_layers": 2}),
    "seedvr2": ("seedvr.model", "NaDiT", {"norm_eps": 1e-5, "num_layers": 32, "mlp_type": "swiglu"}),
    "krea2": ("krea2.model", "SingleStreamDiT", {"layers": 2}),
}  # fmt: skip

# UNets of diffusers: settings that differ from its defaults (which are SD 1.5's).
D_SD2 = {
    "cross_attention_dim": 1024, "attention_head_dim": [5, 10, 20, 20], "use_linear_projection": True,
}  # fmt: skip
D_SDXL = {
    "cross_attention_dim": 2048, "attention_head_dim": [5, 10, 20], "use_linear_projection": True,
    "block_out_channels": [320, 640, 1280], "addition_embed_type": "text_time",
    "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
    "up_block_types": ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
    "transformer_layers_per_block": [1, 2, 10], "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2816,
}  # fmt: skip
D_X4 = {
    "cross_attention_dim": 1024, "attention_head_dim": 8, "use_linear_projection": True,
    "block_out_channels": [256, 512, 512, 1024], "only_cross_attention": [True, True, True, False],
    "down_block_types": ["DownBlock2D", *["CrossAttnDownBlock2D"] * 3], "num_class_embeds": 1000,
    "up_block_types": [*["CrossAttnUpBlock2D"] * 3, "UpBlock2D"],
}  # fmt: skip
D_SD1 = {"cross_attention_dim": 768}
D_LOTUS = D_SD2 | {"class_embed_type": "projection", "projection_class_embeddings_input_dim": 4}


def shapes(module_or_dict: Any) -> Shapes:
    """Names and shapes of a state dict, in its own order."""
    state = module_or_dict.state_dict() if isinstance(module_or_dict, torch.nn.Module) else module_or_dict
    return {name: list(value.shape) for name, value in state.items()}


def ldm_model(config_class: Any, config: dict, channels: int) -> Any:
    """A host model of `channels` input channels on the meta device."""
    made = config_class(config | {"in_channels": channels})
    made.set_inference_dtype(torch.float16, None)
    made.inpaint_model = lambda: False
    state = {
        "cc_projection.weight": torch.empty(768, 772, device=META),
        "cc_projection.bias": torch.empty(768, device=META),
    }
    return made.get_model(state, "", device=META)


def checkpoint(model: Any, clip: Any = None, levels: tuple[int, ...] = (1, 2, 4, 4)) -> Shapes:
    """The layout of a whole checkpoint, by the host's code for saving one."""
    with META:
        vae = AutoencoderKL(embed_dim=4, ddconfig=VAE | {"ch_mult": list(levels)})
    clip_state = clip.state_dict() if clip is not None else None
    state = model.state_dict_for_saving(
        model.diffusion_model.state_dict(), clip_state, vae_state_dict=vae.state_dict()
    )
    return shapes(state)


def unets() -> dict[str, Shapes]:
    """UNets in LDM's layout: alone, and as whole checkpoints."""
    from comfy.text_encoders.sd2_clip import SD2ClipModel

    options = {"device": META, "dtype": torch.float16}
    clips = {
        "sd1": comfy.sd1_clip.SD1ClipModel(**options),
        "sd2": SD2ClipModel(**options),
        "sdxl": comfy.sdxl_clip.SDXLClipModel(**options),
        "refiner": comfy.sdxl_clip.SDXLRefinerClipModel(**options),
    }
    plans = (
        ("sd1", supported.SD15, SD1, (4, 5, 8, 9, 12, 13), "sd1"),
        ("sd2", supported.SD20, SD2, (4, 5, 8, 9, 16), "sd2"),
        ("sdxl", supported.SDXL, SDXL, (4, 8, 9, 12), "sdxl"),
        ("refiner", supported.SDXLRefiner, REFINER, (4,), "refiner"),
        ("x4", supported.SD_X4Upscaler, X4, (7,), "sd2"),
        ("svd", supported.SVD_img2vid, SVD, (8,), None),
        ("zero123", supported.Stable_Zero123, SD1, (8,), None),
    )
    out = {}
    for family, config_class, config, counts, clip in plans:
        for channels in counts:
            model = ldm_model(config_class, config, channels)
            name = f"{family}-{channels}"
            out[f"ldm/{name}"] = shapes(model.diffusion_model)
            levels = (1, 2, 4) if family == "x4" else (1, 2, 4, 4)
            out[f"checkpoint/{name}"] = checkpoint(model, clips.get(clip), levels)
            if family == "zero123":
                extra = {"cc_projection.weight": [768, 772], "cc_projection.bias": [768]}
                out[f"checkpoint/{name}"] |= extra
    return out


def diffusers_unets() -> dict[str, Shapes]:
    """UNets in diffusers' layout."""
    plans = (
        ("sd1", D_SD1, (4, 5, 8, 9, 12)),
        ("sd2", D_SD2, (4, 5, 8, 9)),
        ("sdxl", D_SDXL, (4, 8, 9, 12)),
        ("x4", D_X4, (7,)),
        ("lotus", D_LOTUS, (4, 8)),
    )
    default = {"block_out_channels": [320, 640, 1280, 1280]}
    out = {
        f"diffusers/{family}-{channels}": shapes(
            diffusers.UNet2DConditionModel(**default | config, in_channels=channels)
        )
        for family, config, counts in plans
        for channels in counts
    }
    out["diffusers/svd-8"] = shapes(diffusers.UNetSpatioTemporalConditionModel())
    return out


def diffusers_transformers() -> dict[str, Shapes]:
    """Transformers in diffusers' layout."""
    made = {
        "flux": diffusers.FluxTransformer2DModel(num_layers=1, num_single_layers=1, guidance_embeds=True),
        "flux-fill": diffusers.FluxTransformer2DModel(num_layers=1, num_single_layers=1, in_channels=384),
        "sd3": diffusers.SD3Transformer2DModel(num_layers=2),
        "pixart": diffusers.PixArtTransformer2DModel(num_layers=2, caption_channels=4096),
        "auraflow": diffusers.AuraFlowTransformer2DModel(num_mmdit_layers=1, num_single_dit_layers=1),
        "qwen-image": diffusers.QwenImageTransformer2DModel(num_layers=1),
        "wan-i2v": diffusers.WanTransformer3DModel(num_layers=1, in_channels=36, image_dim=1280),
        "ltxv": diffusers.LTXVideoTransformer3DModel(num_layers=1),
        "cogvideox": diffusers.CogVideoXTransformer3DModel(num_layers=1),
        "hunyuan-video": diffusers.HunyuanVideoTransformer3DModel(num_layers=1, num_single_layers=1),
    }
    return {f"diffusers/{name}": shapes(module) for name, module in made.items()}


def transformers() -> dict[str, Shapes]:
    """The host's transformers."""
    out = {}
    for name, (module, cls, settings) in TRANSFORMERS.items():
        operations = comfy.ops.disable_weight_init
        build = getattr(import_module(LDM_DIT + module), cls)
        out[f"dit/{name}"] = shapes(
            build(**settings, dtype=torch.float16, device=META, operations=operations)
        )
    return out


def loras() -> dict[str, Shapes]:
    """LoRAs in kohya's layout, by the host's list of its names."""
    out = {}
    for family, config_class, config in (("sd1", supported.SD15, SD1), ("sdxl", supported.SDXL, SDXL)):
        model = ldm_model(config_class, config, 4)
        weights = model.state_dict()
        keys = comfy.lora.model_lora_keys_unet(model, {})
        kohya = {
            name: weights[key].shape
            for name, key in keys.items()
            if name.startswith("lora_unet_") and "attn" in name and key in weights
        }
        out[f"lora/{family}-kohya"] = {
            f"{name}.{part}": size
            for name, (rows, columns, *_) in kohya.items()
            for part, size in (
                ("lora_down.weight", [8, columns]), ("lora_up.weight", [rows, 8]), ("alpha", []),
            )
        }  # fmt: skip
    return out


def adapters() -> dict[str, Shapes]:
    """A LoRA in PEFT's layout, and ControlNets."""
    out: dict[str, Shapes] = {}
    unet = diffusers.UNet2DConditionModel(
        cross_attention_dim=768, block_out_channels=[320, 640, 1280, 1280]
    ).state_dict()
    out["lora/sd1-peft"] = {
        f"unet.{name.removesuffix('.weight')}.{part}.weight": size
        for name, weight in unet.items()
        if name.endswith(("to_q.weight", "to_k.weight", "to_v.weight"))
        for part, size in (("lora_A", [8, weight.shape[1]]), ("lora_B", [weight.shape[0], 8]))
    }
    net = comfy.cldm.cldm.ControlNet(
        **{k: v for k, v in SD1.items() if k not in ("out_channels", "transformer_depth_output")},
        in_channels=4, hint_channels=3, num_heads=8, device=META, operations=comfy.ops.disable_weight_init,
    )  # fmt: skip
    out["controlnet/sd1-ldm"] = {f"control_model.{name}": size for name, size in shapes(net).items()}
    sdxl = {k: v for k, v in D_SDXL.items() if k != "up_block_types"}
    out["controlnet/sd1-diffusers"] = shapes(diffusers.ControlNetModel(cross_attention_dim=768))
    out["controlnet/sdxl-diffusers"] = shapes(diffusers.ControlNetModel(**sdxl))
    out["controlnet/flux-diffusers"] = shapes(
        diffusers.FluxControlNetModel(num_layers=1, num_single_layers=1)
    )
    out["controlnet/t2i-adapter"] = shapes(diffusers.T2IAdapter())
    return out


def encoders() -> dict[str, Shapes]:
    """VAEs and text encoders."""
    from transformers import CLIPTextConfig, CLIPTextModel, T5Config, T5EncoderModel

    out: dict[str, Shapes] = {}
    for name, levels, channels in (("f8", [1, 2, 4, 4], 4), ("f4", [1, 2, 4], 4), ("16", [1, 2, 4, 4], 16)):
        ddconfig = VAE | {"ch_mult": levels, "z_channels": channels}
        out[f"vae/ldm-{name}"] = shapes(AutoencoderKL(embed_dim=channels, ddconfig=ddconfig))
    blocks = {"down_block_types": ["DownEncoderBlock2D"] * 4, "up_block_types": ["UpDecoderBlock2D"] * 4}
    f8 = {"block_out_channels": [128, 256, 512, 512], "layers_per_block": 2}
    out["vae/diffusers-f8"] = shapes(diffusers.AutoencoderKL(**blocks, **f8))
    out["vae/taesd"] = shapes(diffusers.AutoencoderTiny())
    out["vae/wan"] = shapes(
        import_module("comfy.ldm.wan.vae").WanVAE(
            dim=96, z_dim=16, dim_mult=[1, 2, 4, 4], num_res_blocks=2, attn_scales=[],
            temperal_downsample=[False, True, True], dropout=0.0,
        )
    )  # fmt: skip
    out["text-encoder/clip-l"] = shapes(
        CLIPTextModel(CLIPTextConfig(hidden_size=768, intermediate_size=3072))
    )
    out["text-encoder/t5"] = shapes(T5EncoderModel(T5Config(d_model=4096, num_layers=2, d_ff=10240)))
    qwen = import_module("comfy.text_encoders.llama").Qwen25_7BVLI
    out["text-encoder/qwen"] = shapes(
        qwen({"num_hidden_layers": 2}, torch.float16, META, comfy.ops.disable_weight_init)
    )
    return out


def main() -> None:
    """Builds everything on the meta device and writes it compressed."""
    vectors = unets() | transformers() | loras()  # these set the device of each layer themselves
    with META:
        vectors |= diffusers_unets() | diffusers_transformers() | adapters() | encoders()
    OUT.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(vectors, separators=(",", ":"))
    OUT.write_bytes(lzma.compress(text.encode(), preset=9 | lzma.PRESET_EXTREME))
    print(f"{len(vectors)} headers, {OUT.stat().st_size} bytes")


if __name__ == "__main__":
    main()
