"""The kind that draws what a picture shows, not its pixels: unCLIP (Ramesh et al., 2022), as SD 2.1 has it.

`python tools/mini/train.py clip-vision --steps 1500` teaches a small CLIP vision to tell what a picture
shows, as the text model was taught what a text says; `train.py unclip --steps 4500` then trains it and the
UNet that reads its 48 values together, at every level of noise on them.
"""

from __future__ import annotations

import comfy.ops
import torch
from comfy.clip_model import CLIPVisionModelProjection, clip_preprocess
from comfy.ldm.modules.encoders.noise_aug_modules import CLIPEmbeddingNoiseAugmentation
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from host.models import mini

from . import autoencoder, world
from .autoencoder import SCALES, initialise
from .denoiser import Denoiser, Tokens, begin, eps_loss, noised, through
from .lessons import kept, look, phrased, said, scenes
from .loop import Run, Settings
from .world import COLOURS, LIGHTS, PLACES, SHAPES, SIZES, TEXTURES

NAME, FILE = "unclip", "clip-vision"
PARTS = ("net.", "vision.net.")
"""Where the denoiser and the host's CLIP vision are in an Unclip's state."""
HEADS = [len(SHAPES), len(COLOURS), len(SIZES), len(PLACES), len(TEXTURES), len(COLOURS), len(LIGHTS), 2]


class Vision(nn.Module):
    """The host's CLIP vision, through which autograd can go."""

    def __init__(self) -> None:
        super().__init__()
        self.net = CLIPVisionModelProjection(
            dict(mini.VISION), torch.float32, "cpu", comfy.ops.disable_weight_init
        )
        initialise(self.net, seed=8)
        for name, value in self.net.named_parameters():
            if "embedding" in name and "patch" not in name:
                nn.init.normal_(value, std=0.5)

    def forward(self, pixels: Tensor) -> Tensor:
        """`[N, 3, 64, 64]`, as the host's clip_preprocess gives them -> embeddings `[N, 48]`."""
        model = self.net.vision_model
        x = model.pre_layrnorm(model.embeddings(pixels))
        return self.net.visual_projection(model.post_layernorm(through(model.encoder, x)[:, 0]))


class Unclip(nn.Module):
    """What learns: the vision, linear heads that read of its embedding what a picture shows, and the UNet."""

    def __init__(self, net: Denoiser) -> None:
        super().__init__()
        self.vision, self.net = Vision(), net
        self.heads = nn.Linear(mini.VISION["projection_dim"], sum(HEADS))

    def told(self, seen: Tensor, shown: Tensor) -> tuple[Tensor, dict[str, float]]:
        """The loss of what is read of embeddings `[N, 48]`, for classes `[N, heads]`, and what to log."""
        read = list(zip(self.heads(seen).split(HEADS, -1), shown.T, strict=True))
        right = torch.stack([(logits.argmax(-1) == label).float().mean() for logits, label in read])
        # The levels of noise are made for values of mean 0 and variance 1.
        spread = seen.mean(0).pow(2).mean() + (seen.var(0) - 1).pow(2).mean()
        loss = torch.stack([cross_entropy(logits, label) for logits, label in read]).sum() + 0.1 * spread
        return loss, {"right": right.mean().item(), "worst": right.min().item()}


def shows(scene: world.Scene) -> list[int]:
    """What a scene of one shape shows: one class for each head."""
    (shape,) = scene.shapes
    return [
        SHAPES.index(shape.kind), list(COLOURS).index(shape.colour), list(SIZES).index(shape.size),
        list(PLACES).index(shape.place), TEXTURES.index(shape.texture), list(COLOURS).index(scene.background),
        list(LIGHTS).index(scene.light), int(scene.gradient),
    ]  # fmt: skip


def lessons(of: Settings, tokens: Tokens) -> dict[str, Tensor]:
    """Of scenes of one shape: latents, texts, the pictures as the vision sees them, and what they show."""
    drawn = scenes(of, seed=91, crowded=0)
    data = autoencoder.draw(drawn)
    size = mini.VISION["image_size"]
    seen = [clip_preprocess(part.movedim(1, -1) / 255, size=size) for part in data.split(256)]
    made = {"latents": look(of, data) * SCALES["vae"], "texts": said(drawn, tokens, 93)}
    return made | {"seen": torch.cat(seen).half(), "shows": torch.tensor([shows(each) for each in drawn])}


def train_vision(of: Settings) -> None:
    """Until the heads read what a picture shows."""
    tokens = Tokens()
    taught = kept(of, NAME, lambda: lessons(of, tokens))
    learns = Unclip(Denoiser(NAME, tokens.vocabulary()).requires_grad_(False)).to(of.device)

    def loss(step: int, generator: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        index = torch.randint(0, len(taught["seen"]), (of.batch,), generator=generator)
        with torch.autocast(of.device, torch.bfloat16):
            seen = learns.vision(taught["seen"][index].float().to(of.device)).float()
        return learns.told(seen, taught["shows"][index].to(of.device))

    Run(FILE, learns, loss, of.work, of.steps, rate=1.5e-3, decay=0.99).train()


def begun(of: Settings, tokens: Tokens) -> Unclip:
    """Fresh: base and the vision that stage FILE left. Else what is shipped."""
    learns = Unclip(Denoiser(NAME, tokens.vocabulary()))
    if of.fresh:
        learns.load_state_dict(torch.load(of.work / f"{FILE}.pt", map_location="cpu")["ema"])
    else:
        learns.vision.net.load_state_dict(mini.read_weights(FILE))
    begin(learns.net, NAME, of)
    learns.net.unet.time_embed.requires_grad_(False)
    return learns.to(of.device)


def train_unclip(of: Settings) -> None:
    """Seven texts in ten say nothing: the picture alone has to be enough."""
    tokens = Tokens()
    taught, learns = kept(of, NAME, lambda: lessons(of, tokens)), begun(of, tokens)
    augmentor = CLIPEmbeddingNoiseAugmentation(**mini.MiniUnclip.noise_aug_config)
    empty = torch.tensor(tokens(""))

    def loss(step: int, generator: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        index = torch.randint(0, len(taught["latents"]), (of.batch,), generator=generator)
        text = phrased(taught["texts"], index, generator)
        chance = torch.rand(of.batch, generator=generator)
        text[chance < 0.7] = empty
        x, t, noise = noised(taught["latents"][index], generator)
        # Mostly little noise; the host's own table of levels.
        level = (augmentor.max_noise_level * torch.rand(of.batch, generator=generator) ** 2).long()
        keep = augmentor.sqrt_alphas_cumprod[level][:, None]
        add = augmentor.sqrt_one_minus_alphas_cumprod[level][:, None]
        with torch.autocast(of.device, torch.bfloat16):
            seen = learns.vision(taught["seen"][index].float().to(of.device)).float()
            given = keep * seen.cpu() + add * torch.randn(seen.shape, generator=generator)
            label = torch.cat((given, augmentor.time_embed(level)), 1)
            # Guidance needs a picture that is not given, which the host says in zeros.
            label = label * ((chance < 0.05) | (chance >= 0.15))[:, None]
            guess = learns.net(x.to(of.device), t.to(of.device), text.to(of.device), label.to(of.device))
        drawn, logged = eps_loss(guess, noise, t)
        told, read = learns.told(seen, taught["shows"][index].to(of.device))
        return drawn + 0.02 * told, logged | read

    Run(NAME, learns, loss, of.work, of.steps, rate=1e-3, decay=0.998).train()
