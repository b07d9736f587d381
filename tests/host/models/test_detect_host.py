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
