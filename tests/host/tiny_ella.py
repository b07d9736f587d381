"""ELLA's connector and FLAN-T5's encoder in their published layouts, with random weights."""

from __future__ import annotations

import torch
from torch import nn

from .tiny import fill

REAL = {"width": 768, "tokens": 64, "blocks": 6, "words": 2048, "frequencies": 320, "time": 768}
SMALL = {"width": 64, "tokens": 6, "blocks": 2, "words": 32, "frequencies": 16, "time": 24}
HEADS = 8


class Ella(nn.Module):
    """The paper's connector, of torch's own layers: its parameters are named as in the published file."""

    def __init__(self, width, tokens, blocks, words, frequencies, time):
        super().__init__()
        self.frequencies = frequencies
        self.time_embedding = nn.Module()
        self.time_embedding.linear_1 = nn.Linear(frequencies, time)
        self.time_embedding.linear_2 = nn.Linear(time, time)
        self.connector = nn.Module()
        self.connector.latents = nn.Parameter(torch.empty(tokens, width))
        self.connector.time_aware_linear = nn.Linear(time, width)
        self.connector.proj_in = nn.Linear(words, width)
        self.connector.perceiver_blocks = nn.Sequential(*(self._block(width, time) for _ in range(blocks)))

    def _block(self, width, time):
        block = nn.Module()
        block.attn = nn.MultiheadAttention(width, HEADS, batch_first=True)
        block.mlp = nn.Module()
        block.mlp.c_fc, block.mlp.c_proj = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        for name in ("ln_1", "ln_2", "ln_ff"):
            norm = nn.Module()
            norm.linear = nn.Linear(time, 2 * width)
            block.add_module(name, norm)
        return block

    def forward(self, words, timesteps):
        half = self.frequencies // 2
        waves = timesteps[:, None] * 10_000 ** (-torch.arange(half) / half)
        waves = torch.cat([waves.cos(), waves.sin()], 1)
        made = self.time_embedding
        time = made.linear_2(nn.functional.silu(made.linear_1(waves)))[:, None]
        active = nn.functional.silu(time)

        def normed(norm, x):
            shift, scale = norm.linear(active).chunk(2, -1)
            deviation = (x - x.mean(-1, True)) / (x.var(-1, unbiased=False, keepdim=True) + 1e-6).sqrt()
            return deviation * (1 + scale) + shift

        words = self.connector.proj_in(words)
        tokens = self.connector.latents + self.connector.time_aware_linear(active)
        for block in self.connector.perceiver_blocks:
            asks = normed(block.ln_1, tokens)
            seen = torch.cat([asks, normed(block.ln_2, words)], 1)
            tokens = tokens + block.attn(asks, seen, seen, need_weights=False)[0]
            tokens = tokens + block.mlp.c_proj(block.mlp.c_fc(normed(block.ln_ff, tokens)).relu() ** 2)
        return tokens


def ella(seed=3, **sizes):
    made = Ella(**sizes)
    fill(made, seed)
    return made.eval()


def t5_weights(seed=4, width=32, layers=2, vocabulary=32128):
    """The encoder of a FLAN-T5 in Hugging Face's names, and the decoder's head, which a file may have too."""
    draw = torch.Generator().manual_seed(seed)

    def matrix(rows, columns):
        return torch.randn(rows, columns, generator=draw) / columns**0.5

    weights = {"shared.weight": matrix(vocabulary, width) * 4, "lm_head.weight": torch.zeros(1, width)}
    for at in range(layers):
        attention, dense = f"encoder.block.{at}.layer.0", f"encoder.block.{at}.layer.1"
        for name, shape in {"q": (64, width), "k": (64, width), "v": (64, width), "o": (width, 64)}.items():
            weights[f"{attention}.SelfAttention.{name}.weight"] = matrix(*shape) / 4
        for name, shape in {"wi_0": (48, width), "wi_1": (48, width), "wo": (width, 48)}.items():
            weights[f"{dense}.DenseReluDense.{name}.weight"] = matrix(*shape)
        for stem in (attention, dense):
            weights[f"{stem}.layer_norm.weight"] = torch.ones(width)
    weights["encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight"] = matrix(32, 1)
    weights["encoder.final_layer_norm.weight"] = torch.ones(width)
    return weights
