"""SRCNN: Dong, Loy, He & Tang, "Image Super-Resolution Using Deep Convolutional Networks" (2015).

Three convolutions that sharpen a picture which is already at its final size: 9x9 to 64 features (patch
extraction), 5x5 (or 1x1, 3x3) to 32 (mapping), 5x5 back (reconstruction).
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..loop.lens import in_float32


class SRCNN(nn.Module):
    """`channels` is 1 (luma, as in the paper) or 3."""

    def __init__(self, channels: int, mapping: int = 5):
        super().__init__()
        self.channels = channels
        self.conv1 = nn.Conv2d(channels, 64, 9)
        self.conv2 = nn.Conv2d(64, 32, mapping)
        self.conv3 = nn.Conv2d(32, channels, 5)
        self.radius = 4 + mapping // 2 + 2

    def forward(self, x: Tensor) -> Tensor:
        """`[B, channels, H, W]` in 0..1 to the same shape; beyond the border the picture is repeated."""
        x = functional.pad(x, (self.radius,) * 4, mode="replicate")
        return self.conv3(torch.relu(self.conv2(torch.relu(self.conv1(x)))))


def srcnn_from(weights: Mapping[str, Tensor]) -> SRCNN | None:
    """The network with these weights, whatever its layers are called; None if they are no SRCNN's."""
    kernels = [name for name, value in weights.items() if isinstance(value, Tensor) and value.ndim == 4]
    shapes = [tuple(weights[name].shape) for name in kernels]
    biases = [name.removesuffix("weight") + "bias" for name in kernels]
    if len(shapes) != 3 or any(name not in weights for name in biases):
        return None
    channels, mapping = shapes[0][1], shapes[1][-1]
    expected = [(64, channels, 9, 9), (32, 64, mapping, mapping), (channels, 32, 5, 5)]
    if shapes != expected or channels not in (1, 3) or mapping not in (1, 3, 5):
        return None
    network = SRCNN(channels, mapping)
    layers = (network.conv1, network.conv2, network.conv3)
    for layer, kernel, bias in zip(layers, kernels, biases, strict=True):
        layer.load_state_dict({"weight": weights[kernel], "bias": weights[bias]})
    return network.eval().requires_grad_(False)


@in_float32
def sharpen_luma(picture: Tensor, network: SRCNN) -> Tensor:
    """`picture` `[B, 3, H, W]` with its luma passed through a one-channel network, its chroma kept.

    The luma is BT.601 in studio range (16..235 of 255), which the paper's networks are trained on.
    """
    luma = (picture * picture.new_tensor([0.299, 0.587, 0.114]).view(3, 1, 1)).sum(1, keepdim=True)
    sharp = (network(luma * (219 / 255) + 16 / 255) - 16 / 255) * (255 / 219)
    return picture + (sharp - luma)
