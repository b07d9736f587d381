"""What a conditioning can carry, small and with random weights: unCLIP, CLIP vision, GLIGEN, style models."""

from __future__ import annotations

import torch

from .tiles.transformers import patcher
from .tiny import CONTEXT, fill, tiny_model

VISION = 48
"""Width of the small CLIP vision's embeddings."""


def tiny_unclip():
    """An unCLIP MODEL (SD 2.1's class) for pictures that `tiny_clip_vision` has seen."""
    import comfy.model_base

    plain = tiny_model(adm_in_channels=2 * VISION, num_classes="sequential").model.model_config
    noise = {"noise_schedule_config": {"timesteps": 1000, "beta_schedule": "squaredcos_cap_v2"}}
    base = comfy.model_base.SD21UNCLIP(plain, noise | {"timestep_dim": VISION}, device="cpu")
    fill(base.diffusion_model, 0)
    return patcher(base)


def tiny_clip_vision(seed: int = 5):
    """A CLIP_VISION of two layers whose embeddings have `VISION` values."""
    import comfy.clip_vision

    model = comfy.clip_vision.ClipVisionModel(
        {
            "image_size": 28, "patch_size": 14, "num_channels": 3, "hidden_size": 32, "intermediate_size": 64,
            "num_attention_heads": 2, "num_hidden_layers": 2, "hidden_act": "quick_gelu",
            "layer_norm_eps": 1e-5, "projection_dim": VISION, "model_type": "clip_vision_model",
        }
    )  # fmt: skip
    fill(model.model, seed)
    return model


def tiny_redux(seed: int = 7, width: int = 8):
    """A STYLE_MODEL of Redux' class for what `tiny_clip_vision` sees, with tokens of `width`."""
    import comfy.sd
    from comfy.ldm.flux.redux import ReduxImageEncoder

    model = ReduxImageEncoder(redux_dim=32, txt_in_features=width, dtype=torch.float32)
    fill(model, seed)
    return comfy.sd.StyleModel(model)


def tiny_gligen(seed: int = 6):
    """A GLIGEN for the tiny UNet's seven transformers, whose gates are open."""
    from comfy.gligen import GatedSelfAttentionDense, Gligen, PositionNet

    gates = [GatedSelfAttentionDense(width, CONTEXT, 4, width // 4) for width in (32, 64, 64, 64, 64, 32, 32)]
    model = Gligen(gates, PositionNet(CONTEXT, CONTEXT), CONTEXT)
    fill(model, seed)
    for gate in gates:
        torch.nn.init.ones_(gate.alpha_attn)
        torch.nn.init.ones_(gate.alpha_dense)
    return patcher(model)
