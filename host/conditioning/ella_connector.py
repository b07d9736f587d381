"""ELLA's two networks: its connector, and the text encoder of FLAN-T5 that it reads.

Hu et al., "ELLA: Equip Diffusion Models with LLM for Enhanced Semantic Alignment" (2024): 64 learned tokens
look at the words by a perceiver's attention (Jaegle et al., 2021), in which the timestep scales and shifts
each normalisation. The layouts are those of `ella-sd1.5-tsc-t5xl.safetensors` and of `google/flan-t5-xl`.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import comfy.model_management
import comfy.model_patcher
import comfy.ops
import comfy.sd
import comfy.sd1_clip
import comfy.text_encoders.pixart_t5
import comfy.text_encoders.t5
import comfy.utils
import folder_paths
import torch
from comfy.ldm.modules.attention import optimized_attention
from comfy.ldm.modules.diffusionmodules.util import timestep_embedding
from torch import Tensor, nn
from torch.nn import functional

FOLDER, TEXT_FOLDER = "ella", "text_encoders"
HEADS, HEAD = 8, 64
"""Of the connector; channels of a head of T5: the two numbers that no shape tells."""
OPS = comfy.ops.manual_cast
PUBLISHED = "ella-sd1.5-tsc-t5xl.safetensors"


class _Norm(nn.Module):
    """A normalisation that the timestep scales and shifts."""

    def __init__(self, width: int, time: int) -> None:
        super().__init__()
        self.linear = OPS.Linear(time, 2 * width)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        shift, scale = self.linear(functional.silu(time)).chunk(2, -1)
        return functional.layer_norm(x, x.shape[-1:], eps=1e-6) * (1 + scale) + shift


class _Block(nn.Module):
    """The tokens look at themselves and at the words, then each goes through an MLP with a squared ReLU."""

    def __init__(self, width: int, time: int) -> None:
        super().__init__()
        self.attn = nn.ModuleDict({name: OPS.Linear(width, width) for name in ("q", "k", "v", "out_proj")})
        self.mlp = nn.ModuleDict(
            {"c_fc": OPS.Linear(width, 4 * width), "c_proj": OPS.Linear(4 * width, width)}
        )
        self.ln_1, self.ln_2, self.ln_ff = (_Norm(width, time) for _ in range(3))

    def forward(self, words: Tensor, tokens: Tensor, time: Tensor) -> Tensor:
        asking = self.ln_1(tokens, time)
        seen = torch.cat([asking, self.ln_2(words, time)], 1)
        told = optimized_attention(self.attn["q"](asking), self.attn["k"](seen), self.attn["v"](seen), HEADS)
        tokens = tokens + self.attn["out_proj"](told)
        wide = functional.relu(self.mlp["c_fc"](self.ln_ff(tokens, time))).square()
        return tokens + self.mlp["c_proj"](wide)


class Connector(nn.Module):
    """Tokens for a UNet `[B, tokens, width]` of words `[B, L, words]` at the timesteps `[B]` (0..999)."""

    def __init__(self, width: int, tokens: int, blocks: int, words: int, frequencies: int, time: int) -> None:
        super().__init__()
        self.frequencies, self.width, self.words = frequencies, width, words
        self.time_embedding = nn.ModuleDict(
            {"linear_1": OPS.Linear(frequencies, time), "linear_2": OPS.Linear(time, time)}
        )
        self.latents = nn.Parameter(torch.empty(tokens, width))
        self.time_aware_linear, self.proj_in = OPS.Linear(time, width), OPS.Linear(words, width)
        self.perceiver_blocks = nn.ModuleList(_Block(width, time) for _ in range(blocks))

    def forward(self, words: Tensor, timesteps: Tensor) -> Tensor:
        waves = timestep_embedding(timesteps, self.frequencies).to(words)
        time = functional.silu(self.time_embedding["linear_1"](waves))
        time = self.time_embedding["linear_2"](time)[:, None]
        tokens = self.latents.to(words) + self.time_aware_linear(functional.silu(time))
        words = self.proj_in(words)
        for block in self.perceiver_blocks:
            tokens = block(words, tokens, time)
        return tokens


def connector_from(weights: Mapping[str, Tensor]) -> Connector | None:
    """The connector in the weights of a published file; None where they are something else."""
    found: dict[str, Tensor] = {}
    for name, value in weights.items():
        short = name.removeprefix("connector.")
        if short.endswith(("attn.in_proj_weight", "attn.in_proj_bias")):
            stem, _, kind = short.rpartition("in_proj_")
            found |= {f"{stem}{one}.{kind}": part for one, part in zip("qkv", value.chunk(3), strict=True)}
        else:
            found[short] = value
    try:
        tokens, width = found["latents"].shape
        words = found["proj_in.weight"].shape[1]
        time, frequencies = found["time_embedding.linear_1.weight"].shape
        blocks = _count(found, "perceiver_blocks.")
        made = Connector(width, tokens, blocks, words, frequencies, time)
        made.load_state_dict(found)
    except (KeyError, ValueError, RuntimeError):
        return None
    return made.eval().requires_grad_(False)


def ella_files() -> list[str]:
    """The files of models/ella."""
    folder_paths.add_model_folder_path(FOLDER, os.path.join(folder_paths.models_dir, FOLDER))
    return folder_paths.get_filename_list(FOLDER)


def text_encoders() -> list[str]:
    """The files of models/text_encoders."""
    return folder_paths.get_filename_list(TEXT_FOLDER)


def load_connector(name: str) -> comfy.model_patcher.ModelPatcher:
    """The connector in a file of models/ella, in a patcher. Raises ValueError for another file."""
    made = connector_from(_read(FOLDER, name))
    if made is None:
        raise ValueError(
            f"{name} is no connector of ELLA: expected {PUBLISHED} or one in its layout in models/{FOLDER}."
        )
    return comfy.model_patcher.CoreModelPatcher(
        made,
        load_device=comfy.model_management.get_torch_device(),
        offload_device=comfy.model_management.unet_offload_device(),
    )


def load_text_encoder(name: str) -> comfy.sd.CLIP:
    """The encoder of a FLAN-T5 in a file of models/text_encoders. Raises ValueError for another file.

    Not by the host's own loader, which takes each T5 of this size for AuraFlow's: another tokenizer, and
    places told in each layer.
    """
    weights = _read(TEXT_FOLDER, name)
    try:
        return text_encoder_from(weights)
    except (KeyError, ValueError, RuntimeError) as error:
        raise ValueError(
            f"{name} is no text encoder for ELLA: expected the encoder of FLAN-T5 XL (google/flan-t5-xl) in "
            f"models/{TEXT_FOLDER}."
        ) from error


def text_encoder_from(weights: Mapping[str, Tensor]) -> comfy.sd.CLIP:
    """A CLIP of the host's T5 with these weights. Raises KeyError, ValueError or RuntimeError for others."""
    known = {name: value for name, value in weights.items() if name.startswith("encoder.")}
    table = known.pop("encoder.embed_tokens.weight", None)
    known["shared.weight"] = weights["shared.weight"] if table is None else table
    first, last = "encoder.block.0.layer.", "encoder.block.1.layer.0.SelfAttention.relative_attention_bias"
    if f"{last}.weight" in known:  # UMT5, as AuraFlow's
        raise KeyError(last)
    wide, asks = known[f"{first}1.DenseReluDense.wi_0.weight"], known[f"{first}0.SelfAttention.q.weight"]
    config = {
        "vocab_size": len(known["shared.weight"]), "d_model": wide.shape[1], "d_ff": wide.shape[0],
        "d_kv": HEAD, "num_heads": asks.shape[0] // HEAD, "num_layers": _count(known, "encoder.block."),
        "dense_act_fn": "gelu_pytorch_tanh", "is_gated_act": True, "model_type": "t5",
    }  # fmt: skip

    class Target:
        params: ClassVar[dict] = {"name": "t5xl", "clip_model": functools.partial(_T5, config)}
        clip = comfy.sd1_clip.SD1ClipModel
        tokenizer = _Tokenizer

    return comfy.sd.CLIP(
        Target, parameters=comfy.utils.calculate_parameters(known), state_dict=[known], model_options={}
    )


def text_width(clip: Any) -> int:
    """Channels of the words of a CLIP of `text_encoder_from`."""
    return clip.cond_stage_model.t5xl.transformer.get_input_embeddings().weight.shape[1]


class _T5(comfy.sd1_clip.SDClipModel):
    def __init__(self, config: dict, **given: Any) -> None:
        kind: Any = comfy.text_encoders.t5.T5
        super().__init__(
            layer="last", textmodel_json_config=config, special_tokens={"end": 1, "pad": 0},
            model_class=kind, **given,
        )  # fmt: skip


class _Tokenizer(comfy.sd1_clip.SD1Tokenizer):
    """T5's as PixArt has it: without padding, for ELLA saw each text as long as it is."""

    def __init__(self, **given: Any) -> None:
        super().__init__(**given, name="t5xl", tokenizer=comfy.text_encoders.pixart_t5.T5XXLTokenizer)


def _count(names: Iterable[str], prefix: str) -> int:
    """How many blocks there are, by the names that start with `prefix` and a number."""
    return 1 + max(int(name.removeprefix(prefix).split(".")[0]) for name in names if name.startswith(prefix))


def _read(folder: str, name: str) -> Any:
    path = folder_paths.get_full_path_or_raise(folder, name)
    try:
        return comfy.utils.load_torch_file(path, safe_load=True)
    except Exception as error:  # each file format has errors of its own
        raise ValueError(f"{name} can't be read: {error}. Download it again.") from error
