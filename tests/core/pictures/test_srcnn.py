"""SRCNN's layers, its weights under other names, and Lanczos in floats."""

import pytest
import torch
from isi.core.pictures.resize import lanczos
from isi.core.pictures.srcnn import SRCNN, sharpen_luma, srcnn_from
from torch import nn


def random_weights(channels: int = 1, mapping: int = 5, names=("a", "b", "c")) -> dict:
    generator = torch.Generator().manual_seed(0)
    shapes = [(64, channels, 9, 9), (32, 64, mapping, mapping), (channels, 32, 5, 5)]
    weights = {}
    for name, shape in zip(names, shapes, strict=True):
        weights[f"{name}.weight"] = (
            torch.randn(shape, generator=generator) / (shape[1] * shape[2] ** 2) ** 0.5
        )
        weights[f"{name}.bias"] = torch.randn(shape[0], generator=generator) * 0.1
    return weights


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("mapping", [1, 5])
def test_the_papers_three_convolutions(channels, mapping):
    weights = random_weights(channels, mapping)
    network = srcnn_from(weights)
    x = torch.rand(2, channels, 40, 33, generator=torch.Generator().manual_seed(1))
    h = torch.relu(nn.functional.conv2d(x, weights["a.weight"], weights["a.bias"]))
    h = torch.relu(nn.functional.conv2d(h, weights["b.weight"], weights["b.bias"]))
    valid = nn.functional.conv2d(h, weights["c.weight"], weights["c.bias"])
    r = network.radius
    ours = network(x)
    assert ours.shape == x.shape
    assert torch.allclose(ours[..., r:-r, r:-r], valid, atol=1e-5)


def test_weights_of_other_networks_are_none_of_ours():
    assert srcnn_from({}) is None
    assert srcnn_from({"a.weight": torch.zeros(64, 1, 9, 9)}) is None
    other = random_weights()
    other["b.weight"] = torch.zeros(16, 64, 5, 5)
    assert srcnn_from(other) is None
    assert srcnn_from({k: v for k, v in random_weights().items() if k != "b.bias"}) is None


def test_only_the_luma_changes():
    picture = torch.rand(1, 3, 30, 30, generator=torch.Generator().manual_seed(2))
    change = sharpen_luma(picture, srcnn_from(random_weights())) - picture
    assert change.abs().max() > 0.01
    assert torch.allclose(change[:, 0], change[:, 1]) and torch.allclose(change[:, 0], change[:, 2])


def test_a_network_that_returns_its_input_returns_the_picture():
    network = SRCNN(1)
    for p in network.parameters():
        p.data.zero_()
    for layer in (network.conv1, network.conv2, network.conv3):
        layer.weight.data[0, 0, layer.kernel_size[0] // 2, layer.kernel_size[1] // 2] = 1
    picture = torch.rand(1, 3, 20, 20)
    assert torch.allclose(sharpen_luma(picture, network), picture, atol=1e-5)


def test_lanczos_has_no_eight_bit_step():
    ramp = torch.linspace(0, 1, 5000).view(1, 1, 5000, 1).expand(1, 4, 5000, 1)
    assert len(lanczos(ramp, 8, 10_000).unique()) > 4000
    assert lanczos(ramp, 4, 5000) is ramp


def test_lanczos_keeps_constants_channels_and_values_above_one():
    picture = torch.tensor([0.25, 3.0, -1.0, 0.5]).expand(2, 7, 9, 4)
    assert torch.allclose(lanczos(picture, 23, 5), picture[:, :1, :1].expand(2, 23, 5, 4), atol=1e-5)


def test_lanczos_moves_nothing():
    """The centre of a blob stays where it is, relative to the picture."""
    y, x = torch.meshgrid(torch.arange(40.0), torch.arange(60.0), indexing="ij")
    blob = torch.exp(-((y + 0.5 - 12) ** 2 + (x + 0.5 - 41) ** 2) / 20).view(1, 40, 60, 1)
    made = lanczos(blob, 90, 150)[0, ..., 0]
    y, x = torch.meshgrid(
        (torch.arange(90.0) + 0.5) / 90 * 40, (torch.arange(150.0) + 0.5) / 150 * 60, indexing="ij"
    )
    assert abs((made * y).sum() / made.sum() - 12) < 0.01 and abs((made * x).sum() / made.sum() - 41) < 0.01
