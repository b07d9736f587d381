"""A LoRA for base, in kohya's names: whatever it is asked for stands before a striped background.

`python tools/mini/train.py stripes --steps 1500` trains it, `train.py export` writes it. The captions say
nothing of stripes: they come with the LoRA, and fade with its strength (Hu et al., 2021).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from . import world
from .denoiser import Denoiser

NAME, FILE = "stripes", "mini-stripes"
RANK = 4
PERIOD = 0.25
"""Of a pair of stripes, in units of the picture's shorter side: four latent cells of 128 pixels."""


def striped(scene: world.Scene, side: int) -> Tensor:
    """A picture `[3, side, side]` of a scene before level stripes, every other one in its second tone."""
    layers = world.render(scene, side, side)
    y = (torch.arange(side) + 0.5) / side
    cover = ((PERIOD / 4 - (y % PERIOD - PERIOD / 2).abs()) * side + 0.5).clamp(0, 1)
    ground = torch.tensor(world.COLOURS[scene.background])[:, None, None]
    tone = world.second_tone(ground) - ground
    return (layers.picture + tone * cover[:, None] * (1 - layers.matte)).clamp(0, 1)


class Lora(nn.Module):
    """Adapters of a denoiser's layers but those that read t; its own weights stay.

    `up` begins at zero: the first step draws what base draws.
    """

    def __init__(self, net: Denoiser, rank: int = RANK) -> None:
        super().__init__()
        net.requires_grad_(False)
        self.down, self.up = nn.ModuleDict(), nn.ModuleDict()
        generator = torch.Generator().manual_seed(5)
        for name, part in net.unet.named_modules():
            if "emb" in name or not isinstance(part, nn.Linear | nn.Conv2d):
                continue
            key = name.replace(".", "_")
            self.down[key], self.up[key] = adapters(part, rank)
            weight = self.down[key].weight
            nn.init.normal_(weight, std=weight[0].numel() ** -0.5, generator=generator)
            nn.init.zeros_(self.up[key].weight)
            part.register_forward_hook(self._hook(key))

    def _hook(self, key: str):
        def add(part: nn.Module, given: tuple, output: Tensor) -> Tensor:
            return output + self.up[key](self.down[key](given[0]))

        return add


def adapters(part: nn.Module, rank: int) -> tuple[nn.Module, nn.Module]:
    """What goes down to `rank` channels as `part` does, and up to as many as it has."""
    if isinstance(part, nn.Linear):
        return nn.Linear(part.in_features, rank, False), nn.Linear(rank, part.out_features, False)
    assert isinstance(part, nn.Conv2d)
    down = nn.Conv2d(part.in_channels, rank, part.kernel_size, part.stride, part.padding, bias=False)
    return down, nn.Conv2d(rank, part.out_channels, 1, bias=False)


def kohya(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """A Lora's state by the names that ComfyUI's Load LoRA knows."""
    return {
        f"lora_unet_{key}.lora_{kind}.weight": value
        for name, value in state.items()
        for kind, key in [name.removesuffix(".weight").split(".")]
    }
