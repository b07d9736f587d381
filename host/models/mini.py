"""The embedded mini models: tiny diffusion models of ComfyUI's own classes, trained on a world of shapes.

Each is a member of SD 1.5's family (eps, SD's noise schedule, f8 latents of 4 channels, the SD 1 tokenizer),
only narrower, so that everything that works on SD 1.5 works on them. `tools/mini` makes the weights in
`assets/mini`; its model card says what they were trained on.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from dataclasses import dataclass
from pathlib import Path

import comfy.clip_vision
import comfy.model_base
import comfy.model_management
import comfy.model_patcher
import comfy.sd
import comfy.sd1_clip
import comfy.supported_models
import folder_paths
import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from torch import Tensor, nn

ASSETS = Path(__file__).resolve().parents[2] / "assets" / "mini"
MANIFEST = "weights.json"
UPSCALER = "upscaler-2x"
CONTEXT = 96
TOKENS = 49408

UNET = {
    "image_size": 16, "in_channels": 4, "out_channels": 4, "model_channels": 64, "num_res_blocks": [1, 2],
    "channel_mult": [1, 1], "transformer_depth": [0, 1, 1], "transformer_depth_output": [0, 0, 1, 1, 1],
    "transformer_depth_middle": 1, "context_dim": CONTEXT, "use_linear_in_transformer": False,
    "adm_in_channels": None, "use_temporal_attention": False, "use_spatial_transformer": True,
    "legacy": False, "num_heads": 4, "num_head_channels": -1, "dtype": torch.float32,
}  # fmt: skip
TEXT = {"hidden_size": CONTEXT, "intermediate_size": 384, "num_attention_heads": 4, "num_hidden_layers": 2}
VISION = {
    "hidden_size": 96, "intermediate_size": 384, "num_attention_heads": 4, "num_hidden_layers": 2,
    "hidden_act": "quick_gelu", "model_type": "clip_vision_model", "num_channels": 3, "image_size": 64,
    "patch_size": 8, "projection_dim": 48,
}  # fmt: skip
AUTOENCODER = {
    "double_z": True, "z_channels": 4, "resolution": 128, "in_channels": 3, "out_ch": 3, "ch": 32,
    "ch_mult": [1, 1, 2, 2], "num_res_blocks": 1, "attn_resolutions": [], "dropout": 0.0,
}  # fmt: skip


@dataclass(frozen=True)
class Member:
    """One member of the family: the channels of its first convolution, and its autoencoder."""

    channels: int
    vae: str = "vae"


KINDS = {
    "base": Member(4),
    "depth": Member(5),
    "upscale-x4": Member(7, vae="vae-f4"),
    "instruct-pix2pix": Member(8),
    "inpaint": Member(9),
    "ic-light-fc": Member(8),
    "ic-light-fbc": Member(12),
    "unclip": Member(4),
}


class MiniSD15(comfy.supported_models.SD15):
    """SD 1.5's place in the host, with the narrow UNet. Extra channels mean what the kind says they mean,
    so only `inpaint` gets the host's own concatenation."""

    unet_extra_config = {"num_heads": UNET["num_heads"], "num_head_channels": -1}

    def inpaint_model(self) -> bool:
        return self.unet_config["in_channels"] == KINDS["inpaint"].channels


class MiniInstructPix2Pix(MiniSD15):
    def get_model(self, state_dict, prefix="", device=None):
        return comfy.model_base.SD15_instructpix2pix(self, device=device)


class MiniUnclip(MiniSD15):
    """Sees a picture's embedding as SD 2.1 unCLIP does: noised to a level of its own, beside the timestep."""

    unet_extra_config = MiniSD15.unet_extra_config | {
        "num_classes": "sequential", "adm_in_channels": 2 * VISION["projection_dim"],
    }  # fmt: skip
    noise_aug_config = {
        "noise_schedule_config": {"timesteps": 1000, "beta_schedule": "squaredcos_cap_v2"},
        "timestep_dim": VISION["projection_dim"],
    }

    def get_model(self, state_dict, prefix="", device=None):
        return comfy.model_base.SD21UNCLIP(
            self, self.noise_aug_config, comfy.model_base.ModelType.EPS, device=device
        )


class MiniX4(comfy.supported_models.SD_X4Upscaler):
    unet_extra_config = {"num_heads": UNET["num_heads"], "num_head_channels": -1, "num_classes": 1000}


SUPPORTED = {"instruct-pix2pix": MiniInstructPix2Pix, "upscale-x4": MiniX4, "unclip": MiniUnclip}


def know_files() -> None:
    """Lets the host's prompts, Load Hypernetwork and Load ControlNet Model find what lies in ASSETS."""
    for folder in ("embeddings", "hypernetworks", "controlnet"):
        folder_paths.add_model_folder_path(folder, str(ASSETS / folder))


def widen_norms(module: nn.Module, channels: int = 8) -> None:
    """Normalises over groups of `channels`. The host's fixed 32 groups would be groups of one or two
    channels at this width, which erases flat colours."""
    for part in module.modules():
        if isinstance(part, nn.GroupNorm):
            part.num_groups = part.num_channels // channels


def build_unet(kind: str) -> comfy.model_base.BaseModel:
    """The host's model of a kind, weights not set."""
    config = UNET | {"in_channels": KINDS[kind].channels}
    supported = SUPPORTED.get(kind, MiniSD15)(config)
    supported.set_inference_dtype(torch.float32, None)
    model = supported.get_model({}, "", device=comfy.model_management.unet_offload_device())
    widen_norms(model.diffusion_model)
    return model.eval()


def build_clip() -> comfy.sd.CLIP:
    """SD 1's tokenizer and a two-layer CLIP text model, weights not set."""

    class Target:
        params: dict = {}
        clip = comfy.sd1_clip.SD1ClipModel
        tokenizer = comfy.sd1_clip.SD1Tokenizer

    options = {"clip_l_model_config": dict(TEXT), "dtype": torch.float32}
    return comfy.sd.CLIP(
        Target, embedding_directory=folder_paths.get_folder_paths("embeddings"), model_options=options
    )


def build_vae(weights: dict[str, Tensor], levels: int) -> comfy.sd.VAE:
    """The host's VAE with `levels` - 1 halvings (4: f8, 3: f4) and the given weights."""
    ddconfig = AUTOENCODER | {"ch_mult": AUTOENCODER["ch_mult"][:levels]}
    config = {"params": {"embed_dim": ddconfig["z_channels"], "ddconfig": ddconfig}}
    vae = comfy.sd.VAE(sd=weights, config=config, dtype=torch.float32)
    vae.downscale_ratio = vae.upscale_ratio = 2 ** (levels - 1)
    assert vae.first_stage_model is not None  # always, when a config is given
    widen_norms(vae.first_stage_model)
    return vae


def build_vision() -> comfy.clip_vision.ClipVisionModel:
    """The host's CLIP vision, as `VISION` configures it, weights not set."""
    with tempfile.TemporaryDirectory() as folder:  # older hosts read it from a file alone
        config = Path(folder) / "config.json"
        config.write_text(json.dumps(VISION), "utf-8")
        return comfy.clip_vision.ClipVisionModel(str(config))


def unused_tokens() -> Tensor:
    """Embeddings `[TOKENS, CONTEXT]` of words that the mini world has no use for: small, and from a seed,
    so that they need not be stored."""
    return 0.02 * torch.randn(TOKENS, CONTEXT, generator=torch.Generator().manual_seed(0))


def read_weights(name: str, assets: Path = ASSETS) -> dict[str, Tensor]:
    """Tensors (float32) of `assets/name.safetensors`, checked against the manifest.

    Raises ValueError naming the file and how to get it back if it is missing or damaged.
    """
    path = assets / f"{name}.safetensors"
    cure = (
        "Reinstall the ISI pack, or run `git checkout -- assets/mini` in its folder; "
        "`python tools/mini/train.py` makes the files anew."
    )
    for needed in (path, assets / MANIFEST):
        if not needed.is_file():
            raise ValueError(f"The mini model's file {needed} is missing. {cure}")
    data = path.read_bytes()
    try:
        known = json.loads((assets / MANIFEST).read_text("utf-8"))
        sound = known[path.name]["sha256"] == hashlib.sha256(data).hexdigest()
        tensors = load_tensors(data)
    except (SafetensorError, ValueError, KeyError):
        sound, tensors = False, {}
    if not sound:
        raise ValueError(
            f"The mini model's file {path} is damaged: it is not the one that was shipped. {cure}"
        )
    return {key: value.float() for key, value in tensors.items()}


def unet_weights(kind: str, assets: Path = ASSETS) -> dict[str, Tensor]:
    """A kind's UNet weights. Every kind but base is shipped as its difference to base, like IC-Light: the
    base's first convolution is padded with zeros, and a tensor that is not there is the base's own."""
    weights = read_weights("base", assets)
    if kind == "base":
        return weights
    for key, delta in read_weights(kind, assets).items():
        old = weights.get(key, torch.zeros_like(delta))
        if old.shape != delta.shape:
            old = nn.functional.pad(old, (0, 0, 0, 0, 0, delta.shape[1] - old.shape[1]))
        weights[key] = old + delta
    return weights


def load_model(kind: str, assets: Path = ASSETS) -> comfy.model_patcher.ModelPatcher:
    """The MODEL of a kind."""
    weights = unet_weights(kind, assets)
    model = build_unet(kind)
    model.diffusion_model.load_state_dict(weights)
    return comfy.model_patcher.ModelPatcher(
        model,
        load_device=comfy.model_management.get_torch_device(),
        offload_device=comfy.model_management.unet_offload_device(),
    )


def load_clip(assets: Path = ASSETS) -> comfy.sd.CLIP:
    """The family's CLIP. The file holds the rows of known tokens (`tokens` are their ids)."""
    weights = read_weights("text", assets)
    table = unused_tokens()
    table[weights.pop("tokens").long()] = weights.pop("rows")
    weights["text_model.embeddings.token_embedding.weight"] = table
    weights["text_projection.weight"] = torch.eye(CONTEXT)
    clip = build_clip()
    transformer = clip.cond_stage_model.clip_l.transformer
    transformer.load_state_dict(weights)
    return clip


def load_vae(name: str = "vae", assets: Path = ASSETS) -> comfy.sd.VAE:
    """The family's VAE: `vae` (f8) or `vae-f4`."""
    return build_vae(read_weights(name, assets), levels=3 if name == "vae-f4" else 4)


def load_vision(assets: Path = ASSETS) -> comfy.clip_vision.ClipVisionModel:
    """The family's CLIP vision: it sees 64 px, and says a picture in 48 values."""
    vision = build_vision()
    vision.load_sd(read_weights("clip-vision", assets))
    return vision


def load_checkpoint(kind: str, assets: Path = ASSETS):
    """MODEL, CLIP, VAE, CLIP_VISION of a kind. Raises ValueError for a missing or damaged file."""
    return load_model(kind, assets), load_clip(assets), load_vae(KINDS[kind].vae, assets), load_vision(assets)
