"""The network that the denoising stages train: the host's UNet, and its CLIP text model with a small table of
the words that captions use."""

from __future__ import annotations

import comfy.ops
import torch
from comfy.clip_model import CLIPTextModel_
from comfy.ldm.modules.attention import optimized_attention_for_device
from comfy.sd1_clip import SD1Tokenizer
from torch import Tensor, nn

from host.models import mini

from .autoencoder import initialise
from .captions import vocabulary
from .loop import Settings


def alpha_bar(first: float, last: float) -> Tensor:
    """Alpha bar of each of 1000 timesteps; sqrt(beta) runs in a line from `first` to `last`'s root."""
    betas = torch.linspace(first**0.5, last**0.5, 1000, dtype=torch.float64) ** 2
    return torch.cumprod(1 - betas, 0).float()


END = 49407  # ends a text, and pads it
ALPHA_BAR = alpha_bar(0.00085, 0.012)  # SD 1
ALPHA_BAR_X4 = alpha_bar(1e-4, 2e-2)  # the x4 upscaler, for the latent and for the small picture's noise


def noised(
    z: Tensor, generator: torch.Generator, schedule: Tensor = ALPHA_BAR
) -> tuple[Tensor, Tensor, Tensor]:
    """Latents `[N, ...]` at a timestep each: noised, the timesteps `[N]`, and the noise. The timesteps are
    stratified in the batch: the same distribution, less variance."""
    t = (torch.arange(len(z)) + torch.rand(len(z), generator=generator)) * 1000 / len(z)
    t = t.long().clamp(max=999)
    noise = torch.randn(z.shape, generator=generator)
    abar = schedule[t][:, None, None, None]
    return abar.sqrt() * z + (1 - abar).sqrt() * noise, t, noise


def eps_loss(guess: Tensor, noise: Tensor, t: Tensor) -> tuple[Tensor, dict[str, float]]:
    """The loss of a guessed noise, and what to log.

    At high noise the loss of eps hardly sees the picture, and there the text decides it. 1 / abar makes it
    the loss of v (Salimans & Ho, 2022); bounded, for the last timesteps would drown the rest.
    """
    error = (guess.float() - noise.to(guess.device)).pow(2).mean((1, 2, 3))
    weight = (1 / ALPHA_BAR[t]).clamp(max=20).to(guess.device)
    return (error * weight).mean(), {"eps": error.detach().mean().item()}


class Tokens:
    """SD 1's tokenizer, each text tokenised once."""

    def __init__(self) -> None:
        self.tokenizer = SD1Tokenizer()
        self.known: dict[str, list[int]] = {}

    def __call__(self, text: str) -> list[int]:
        """77 token ids."""
        if text not in self.known:
            self.known[text] = [int(pair[0]) for pair in self.tokenizer.tokenize_with_weights(text)["l"][0]]
        return self.known[text]

    def vocabulary(self) -> Tensor:
        """Ids of all tokens that the world's words use, with start and end, ascending."""
        return torch.tensor(
            sorted({token for word in vocabulary() for token in self(word)}), dtype=torch.int32
        )


def through(encoder: nn.Module, x: Tensor, mask: Tensor | None = None) -> Tensor:
    """`x` `[B, N, width]` after the layers of one of the host's CLIP encoders. Its own forward adds in place,
    which autograd can't follow; the modules and the order are the same."""
    attention = optimized_attention_for_device(x.device, mask=mask is not None, small_input=True)
    for layer in encoder.layers:
        x = x + layer.self_attn(layer.layer_norm1(x), mask, attention)
        x = x + layer.mlp(layer.layer_norm2(x))
    return x


class Text(nn.Module):
    """The host's CLIP text model; `rows` are the embeddings of the known `tokens`, the others are fixed."""

    def __init__(self, tokens: Tensor) -> None:
        super().__init__()
        config = mini.TEXT | {
            "hidden_act": "quick_gelu",
            "max_position_embeddings": 77,
            "eos_token_id": END,
        }
        self.text_model = CLIPTextModel_(config, torch.float32, "cpu", comfy.ops.disable_weight_init)
        self.text_model.embeddings.token_embedding = nn.Identity()
        self.register_buffer("tokens", tokens)
        self.rows = nn.Parameter(torch.zeros(len(tokens), mini.CONTEXT))
        self.register_buffer("unused", mini.unused_tokens(), persistent=False)
        place = torch.full((mini.TOKENS,), -1)
        place[tokens.long()] = torch.arange(len(tokens))
        self.register_buffer("place", place, persistent=False)

    def forward(self, tokens: Tensor) -> Tensor:
        """Token ids `[B, 77]` -> context `[B, 77, CONTEXT]`, as the host's own forward."""
        place = self.place[tokens]
        known = (place >= 0)[..., None]
        model = self.text_model
        x = torch.where(known, self.rows[place.clamp(min=0)], self.unused[tokens])
        x = x + model.embeddings.position_embedding.weight
        length = x.shape[1]
        mask = torch.full((length, length), -torch.finfo(x.dtype).max, device=x.device).triu_(1)
        return model.final_layer_norm(through(model.encoder, x, mask))


class Denoiser(nn.Module):
    """eps(x, t, text), or v for upscale-x4; extra channels are already in x, a noise level is the label.
    The text model is the family's and stays as stage `text` left it."""

    def __init__(self, kind: str, tokens: Tensor) -> None:
        super().__init__()
        # The host freezes what it builds (0.30 does, older ones did not).
        self.unet = mini.build_unet(kind).diffusion_model.requires_grad_(True)
        self.text = Text(tokens).requires_grad_(False)

    def forward(self, x: Tensor, t: Tensor, tokens: Tensor, label: Tensor | None = None) -> Tensor:
        return self.unet(x, t, context=self.context(tokens), y=label)

    @torch.no_grad()
    def context(self, tokens: Tensor) -> Tensor:
        """Token ids `[B, 77]` -> what the UNet reads of them, `[B, 77, CONTEXT]`."""
        texts, index = torch.unique(tokens, dim=0, return_inverse=True)
        return self.text(texts)[index]


def split(state: dict[str, Tensor], *prefixes: str) -> list[dict[str, Tensor]]:
    """The parts of a state whose names begin with each prefix, without it."""
    return [
        {name[len(prefix) :]: value for name, value in state.items() if name.startswith(prefix)}
        for prefix in prefixes
    ]


def shipped(kind: str) -> dict[str, Tensor]:
    """A denoiser's state as it is in assets/mini."""
    unet, text = mini.unet_weights(kind), mini.read_weights("text")
    return {f"unet.{k}": v for k, v in unet.items()} | {f"text.{k}": v for k, v in text.items()}


def start_from_base(denoiser: Denoiser, base: dict[str, Tensor]) -> None:
    """Copies base's weights; new input channels start at zero: the first step draws what base draws."""
    own = denoiser.state_dict()
    if "unet.label_emb.weight" in own:
        nn.init.zeros_(own["unet.label_emb.weight"])
    for key, value in base.items():
        if own[key].shape != value.shape:
            value = nn.functional.pad(value, (0, 0, 0, 0, 0, own[key].shape[1] - value.shape[1]))
        own[key] = value
    denoiser.load_state_dict(own)
    freeze_time(denoiser)


def freeze_time(denoiser: Denoiser) -> None:
    """What t means stays base's, and need not be stored again; x4 alone has labels, and learns it anew."""
    if denoiser.unet.num_classes is None:
        for name, part in denoiser.unet.named_modules():
            if name == "time_embed" or name.endswith("emb_layers"):
                part.requires_grad_(False)


def learned_base(of: Settings) -> dict[str, Tensor]:
    """The training folder's base; where it has none, the one that is shipped."""
    path = of.work / "base.pt"
    return torch.load(path, map_location="cpu")["ema"] if path.exists() else shipped("base")


def begin(net: Denoiser, kind: str, of: Settings) -> None:
    """The weights that a stage starts from. Fresh: noise for base, base for every other kind. Else those
    that are shipped; a kind moves with base, by what the training folder's base has learned since."""
    base = shipped("base") if kind == "base" else learned_base(of)
    if not of.fresh:
        own = shipped(kind)
        for key, old in shipped("base").items():
            if old.is_floating_point() and own[key].shape == old.shape:
                own[key] = own[key] + (base[key] - old)
        net.load_state_dict(own)
        freeze_time(net)
        return
    initialise(net.unet, seed=4)
    if kind == "base":
        nn.init.zeros_(net.unet.out[2].weight)
        learned = torch.load(of.work / "text.pt", map_location="cpu")["ema"]
        net.text.load_state_dict(*split(learned, "text."))
    else:
        start_from_base(net, base)
