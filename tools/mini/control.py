"""A ControlNet for base that follows edges, depth and the bones of a shape, as a Control-LoRA.

`python tools/mini/train.py control --steps 3000` trains it, `train.py export` writes it. Base stays as it
is: a copy of its encoder with adapters (Hu et al., 2021) reads the hint and adds to base's skip connections
(Zhang et al., 2023, "Adding Conditional Control"). The host builds the copy from the model that is sampled:
the file holds the adapters, the hint's encoder and the zero convolutions alone.
"""

from __future__ import annotations

from dataclasses import replace
from random import Random

import comfy.ldm.modules.diffusionmodules.openaimodel as host_unet
import torch
from comfy.cldm.cldm import ControlNet
from kornia.filters import canny
from torch import Tensor, nn

from host.models import mini

from . import world
from .autoencoder import PICTURE, SCALES, initialise
from .bones import bones
from .denoiser import Denoiser, Tokens, eps_loss, learned_base, noised
from .lessons import kept, look, phrased, said, scenes
from .loop import Run, Settings
from .lora import adapters

NAME, FILE = "control", "mini_control"
RANK = 8
HINTS = ("edges", "depth", "bones")
SIZES = ((1, PICTURE), (16, 2 * PICTURE))
"""How few of the scenes are drawn at which size."""
NEW = ("input_hint_block", "zero_convs", "middle_block_out")
"""What the copy has beside the encoder."""


def edges(pictures: Tensor, seed: int) -> Tensor:
    """Canny's edges `[N, 1, H, W]` of pictures `[N, 3, H, W]` in 0..1, each part at another threshold. As the
    host's node finds them with both thresholds alike: the tracing of weak edges takes minutes here, and in
    this world the edges are strong."""
    rng, found = Random(seed), []
    for part in pictures.split(64):
        least = rng.uniform(0.05, 0.5)
        found.append(canny(part, least, least + 0.1, hysteresis=False)[1] > 0)
    return torch.cat(found).float()


class Control(nn.Module):
    """The encoder's copy that reads hints `[N, 3, H, W]` in 0..1, and the adapters of its layers.

    As the host builds a Control-LoRA's copy its norms have 32 groups, not base's, and so they have here.
    """

    def __init__(self, net: Denoiser, rank: int = RANK) -> None:
        super().__init__()
        config = {k: v for k, v in mini.UNET.items() if k != "out_channels"}
        self.net = ControlNet(hint_channels=3, **config)
        initialise(self.net, seed=6)
        own = self.net.state_dict()
        self.net.load_state_dict(own | {k: v for k, v in net.unet.state_dict().items() if k in own})
        self.down, self.up = nn.ModuleDict(), nn.ModuleDict()
        for name, value in self.net.named_parameters():
            value.requires_grad_(name.startswith(NEW))
        generator = torch.Generator().manual_seed(7)
        for name, part in self.net.named_modules():
            if not isinstance(part, nn.Linear | nn.Conv2d) or "emb" in name:
                continue
            if name.startswith(
                NEW[1:]
            ):  # zero convolutions: small, so that the hint's encoder learns at once
                nn.init.normal_(part.weight, std=0.01, generator=generator)
                nn.init.zeros_(part.bias)
            elif not name.startswith(NEW):
                self._adapt(name, part, rank, generator)

    def _adapt(self, name: str, part: nn.Linear | nn.Conv2d, rank: int, generator: torch.Generator) -> None:
        key = name.replace(".", "/")
        self.down[key], self.up[key] = down, up = adapters(part, rank)
        nn.init.normal_(down.weight, std=down.weight[0].numel() ** -0.5, generator=generator)
        nn.init.zeros_(up.weight)
        part.register_forward_hook(lambda _, given, output: output + up(down(given[0])))

    def forward(self, x: Tensor, hint: Tensor, t: Tensor, context: Tensor) -> dict[str, list[Tensor]]:
        """What is added to the skip connections, as the host's UNet takes it."""
        return self.net(x=x, hint=hint, timesteps=t, context=context)


def control_lora(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """A Control's state by the names that the host's ControlLora reads."""
    made = {"lora_controlnet": torch.zeros(1)}
    for key, value in state.items():
        part, _, name = key.partition(".")
        if part in ("up", "down"):
            made[f"{name.removesuffix('.weight').replace('/', '.')}.{part}"] = value
        elif name.startswith(NEW):
            made[name] = value
    return made


def add_control(h: Tensor, control: dict[str, list[Tensor]] | None, name: str) -> Tensor:
    """What the host's apply_control does, but not in place, which autograd can't follow."""
    return h + control[name].pop() if control and control.get(name) else h


def lessons(of: Settings, tokens: Tokens, count: int, side: int) -> dict[str, Tensor]:
    """Of one in `count` of the scenes at one size: latents, texts, and hints as bytes `[N, 1 or 3, H, W]`."""
    drawn = scenes(replace(of, scenes=max(1, of.scenes // count)), 80 + count, crowded=0.3)
    layers = [world.render(s, side, side) for s in drawn]
    pictures = torch.stack([each.picture for each in layers])
    parts = {
        "edges": edges(pictures, 84),
        "depth": torch.stack([each.depth for each in layers])[:, None],
        "bones": torch.stack([bones(s, side, side) for s in drawn]),
    }
    latents = look(of, (pictures * 255).round().byte()) * SCALES["vae"]
    hints = {name: (part * 255).round().byte() for name, part in parts.items()}
    return {"latents": latents, "texts": said(drawn, tokens, 83)} | hints


def train_control(of: Settings) -> None:
    """Beside base, which stays; a quarter of the steps at 256 px. Half of the texts say nothing, so that the
    hint has to be looked at."""
    host_unet.apply_control = add_control
    tokens = Tokens()
    every = kept(of, NAME, lambda: [lessons(of, tokens, *size) for size in SIZES])
    net = Denoiser("base", tokens.vocabulary())
    net.load_state_dict(learned_base(of))
    learns = Control(net.requires_grad_(False)).to(of.device)
    net = net.to(of.device)
    empty = torch.tensor(tokens(""))

    def loss(step: int, generator: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        shown = every[step % 4 == 3]
        count = max(1, of.batch * every[0]["latents"][0].numel() // shown["latents"][0].numel())
        index = torch.randint(0, len(shown["latents"]), (count,), generator=generator)
        text = phrased(shown["texts"], index, generator)
        text[torch.rand(count, generator=generator) < 0.5] = empty
        kinds = [HINTS[k] for k in torch.randint(0, len(HINTS), (count,), generator=generator)]
        hints = [shown[kind][i].expand(3, -1, -1) for kind, i in zip(kinds, index, strict=True)]
        x, t, noise = noised(shown["latents"][index], generator)
        with torch.autocast(of.device, torch.bfloat16):
            x, at, context = x.to(of.device), t.to(of.device), net.context(text.to(of.device))
            control = learns(x, torch.stack(hints).to(of.device) / 255, at, context)
            guess = net.unet(x, at, context=context, control=control)
        return eps_loss(guess, noise, t)

    Run(NAME, learns, loss, of.work, of.steps, rate=1e-3, decay=0.998).train()
