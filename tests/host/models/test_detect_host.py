"""Detection agrees with what the host itself makes of the same weights (on the meta device: no values)."""

import pytest
import torch

from ...core.models.header_vectors import vectors

# Where the host counts something else: a patch's values (4 per channel), or its own constant.
PATCHES = {"dit/chroma", "dit/qwen-image"}
COUNTED = ("in_channels", "in_dim", "channels", "io_channels")


def meta(vector):
    return {name: torch.empty(shape, device="meta") for name, shape in vectors()[vector].items()}


@pytest.mark.parametrize("vector", [name for name in vectors() if name.startswith(("dit/", "ldm/"))])
def test_channels_are_the_hosts(booted, vector):
    import comfy.model_detection
    from isi.core.models.detect import detect
    from isi.core.models.header import Header

    config = comfy.model_detection.detect_unet_config(meta(vector), "")
    if config is None:
        pytest.skip("younger than this host")
    found = detect(Header(vectors()[vector], dict.fromkeys(vectors()[vector], "F16")))
    theirs = next((config[name] for name in COUNTED if name in config), None)
    if theirs is not None:
        assert found.channels == (theirs // 4 if vector in PATCHES else theirs)
    assert comfy.model_detection.model_config_from_unet_config(config, meta(vector)) is not None


def test_a_loaded_transformer_is_named_as_its_file_is(booted):
    import comfy.model_patcher
    import comfy.supported_models
    from isi.host.models.model_kind import kind_of_model

    config = {
        "image_model": "flux", "in_channels": 96, "out_channels": 16, "vec_in_dim": 16, "context_in_dim": 16,
        "hidden_size": 64, "mlp_ratio": 4.0, "num_heads": 1, "depth": 1, "depth_single_blocks": 1,
        "axes_dim": [16, 24, 24], "theta": 10000, "patch_size": 2, "qkv_bias": True, "guidance_embed": True,
        "txt_ids_dims": [],
    }  # fmt: skip
    supported = comfy.supported_models.FluxInpaint(config)
    supported.set_inference_dtype(torch.float32, None)
    cpu = torch.device("cpu")
    model = comfy.model_patcher.ModelPatcher(supported.get_model({}, device=cpu), cpu, cpu)
    found = kind_of_model(model)
    assert (found.kind, found.channels, found.family) == ("dit-flux-fill", 96, "Flux")


def shapes_of(module):
    return {name: tuple(value.shape) for name, value in module.state_dict().items()}


def found_in(shapes):
    from isi.core.models.detect import detect
    from isi.core.models.header import Header

    return detect(Header(shapes, dict.fromkeys(shapes, "F16")))


def built(module, name, **settings):
    """A class of the host without weights."""
    import importlib

    import comfy.ops

    build = getattr(importlib.import_module(f"comfy.ldm.{module}"), name)
    operations = comfy.ops.disable_weight_init
    return build(**settings, device=torch.device("meta"), dtype=torch.float16, operations=operations)


WAN = {"dim": 1536, "out_dim": 16, "num_heads": 12, "ffn_dim": 64, "num_layers": 2}
FIVE = {"num_layers": 5}
# The kind by the host's own class, and the name that the host has for its image or model type.
NAMED = {
    "dit-wan-animate": ("wan.model_animate", "AnimateWanModel", WAN | {"in_dim": 36} | FIVE, "animate"),
    "dit-wan-humo": ("wan.model", "HumoWanModel", WAN | {"in_dim": 36}, "humo"),
    "dit-wan-camera": ("wan.model", "CameraWanModel", WAN | {"in_dim": 32}, "camera"),
    "dit-wan-vace": ("wan.model", "VaceWanModel", WAN | {"vace_layers": 1, "vace_in_dim": 96}, "vace"),
    "dit-wan-s2v": ("wan.model", "WanModel_S2V", WAN | {"audio_inject_layers": [0, 1]}, "s2v"),
    "dit-ace-step": ("ace.model", "ACEStepTransformer2DModel", {"num_layers": 2}, "ace"),
    "dit-hunyuan-image": (
        "hunyuan_video.model", "HunyuanVideo",
        {
            "in_channels": 64, "out_channels": 64, "vec_in_dim": None, "context_in_dim": 3584,
            "hidden_size": 3584, "mlp_ratio": 4.0, "num_heads": 28, "depth": 1, "depth_single_blocks": 1,
            "axes_dim": [64, 64], "theta": 256, "patch_size": [1, 1], "qkv_bias": True,
            "guidance_embed": False, "byt5": True, "meanflow": False, "use_cond_type_embedding": False,
            "vision_in_dim": None, "meanflow_sum": False,
        },
        "hunyuan_video",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", NAMED)
def test_it_is_named_by_the_names_that_the_host_looks_at(booted, kind):
    import comfy.model_detection

    module, name, settings, theirs = NAMED[kind]
    shapes = shapes_of(built(module, name, **settings))
    weights = {name: torch.empty(shape, device="meta") for name, shape in shapes.items()}
    config = comfy.model_detection.detect_unet_config(weights, "")
    assert theirs in (config.get("model_type"), config.get("image_model"), config.get("audio_model"))
    assert found_in(shapes).kind == kind
    behind = {f"model.diffusion_model.{name}": shape for name, shape in shapes.items()}
    assert found_in(behind).kind == kind


def test_the_hosts_video_vaes_are_f8(booted):
    from comfy.ldm.genmo.vae.model import VideoVAE
    from comfy.ldm.modules.diffusionmodules.model import Encoder
    from comfy.ldm.modules.temporal_ae import VideoDecoder

    levels = {
        "double_z": True, "z_channels": 4, "resolution": 256, "in_channels": 3, "out_ch": 3, "ch": 32,
        "ch_mult": [1, 2, 4, 4], "num_res_blocks": 2, "attn_resolutions": [], "dropout": 0.0,
    }  # fmt: skip
    with torch.device("meta"):
        svd = torch.nn.ModuleDict(
            {
                "encoder": Encoder(**levels),
                "decoder": VideoDecoder(**levels, video_kernel_size=[3, 1, 1], alpha=0.0),
            }
        )
        mochi = VideoVAE()
    for module in (svd, mochi):
        found = found_in(shapes_of(module))
        assert (found.kind, found.family) == ("vae", "f8")


def test_a_pictures_encoder_is_no_text_encoder(booted):
    import comfy.clip_model
    import comfy.ops

    config = {
        "hidden_size": 64, "intermediate_size": 64, "num_attention_heads": 1, "num_hidden_layers": 2,
        "hidden_act": "gelu", "image_size": 28, "patch_size": 14, "num_channels": 3, "projection_dim": 64,
        "model_type": "clip_vision_model",
    }  # fmt: skip
    operations = comfy.ops.disable_weight_init
    module = comfy.clip_model.CLIPVisionModelProjection(config, torch.float16, "meta", operations)
    assert found_in(shapes_of(module)).kind == "clip-vision"
