"""Edit models by family: which pictures each takes, through the encode node that the host has for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..loop.sampling import encode

ENCODERS = ["auto", "Qwen-Image-Edit"]
"""What the user may choose where the model alone does not tell its family."""


@dataclass(frozen=True)
class Seen:
    """What the encode node of a family is given: `pictures` `[1, H, W, 3]`, the moving one first.

    `scale` and `clip_vision` are for the nodes that take them.
    """

    clip: Any
    text: str
    negative: bool
    vae: Any
    pictures: Sequence[Tensor]
    scale: bool
    clip_vision: Any


@dataclass(frozen=True)
class Family:
    """How an edit model is given pictures.

    `encode` is the host's own encode node, which makes text and references together; without one `refer`
    makes the references with a VAE, at the family's sizes if it is asked to scale. `sight` names the text
    encoder where it looks at pictures. `most` is how many pictures the family takes (None: any), `methods`
    whether it knows methods to tell references apart.
    """

    name: str
    encode: Callable[[Seen], list] | None = None
    refer: Callable[[Any, Sequence[Tensor], bool], list[Tensor]] | None = None
    sight: str = ""
    most: int | None = None
    methods: bool = False

    def check_clip(self, clip: Any) -> None:
        """Raises ValueError for a CLIP that does not look at pictures, where the family's does."""
        if not self.sight:
            return
        tokens = clip.tokenize("", images=[torch.zeros(1, 32, 32, 3)])
        if not any(isinstance(token[0], dict) for rows in tokens.values() for row in rows for token in row):
            raise ValueError(
                f"Expected a text encoder that looks at pictures for {self.name}, but the CLIP of ISI "
                f"Iterate does not: connect a Load CLIP with {self.sight}."
            )


def family_of(model: Any, encoder: str = "auto") -> Family | None:
    """The family of a MODEL, or None where it is no edit model that the host knows.

    Qwen-Image-Edit and its later models (2509, 2511) have the same layout: "auto" takes the later ones.
    Raises ValueError where `encoder` is for another model.
    """
    kind = type(model.model).__name__
    if encoder != "auto":
        if kind != "QwenImage":
            raise ValueError(
                f"The encoder {encoder} of ISI Reference Conditioner is for Qwen-Image-Edit, and this model "
                f"is {kind}: choose auto."
            )
        return FAMILIES[encoder]
    if kind == "Lumina2" and model.model.diffusion_model.siglip_embedder is None:
        return None
    return FAMILIES.get(kind)


# The host's nodes are imported where they are used: should the host move one some day, all others still load.


def _qwen(seen: Seen) -> list:
    from comfy_extras.nodes_qwen import TextEncodeQwenImageEdit

    return TextEncodeQwenImageEdit.execute(seen.clip, seen.text, seen.vae, seen.pictures[0])[0]


def _qwen_plus(seen: Seen) -> list:
    from comfy_extras.nodes_qwen import TextEncodeQwenImageEditPlus

    return TextEncodeQwenImageEditPlus.execute(seen.clip, seen.text, seen.vae, *seen.pictures)[0]


def _z_image_omni(seen: Seen) -> list:
    from comfy_extras.nodes_zimage import TextEncodeZImageOmni

    return TextEncodeZImageOmni.execute(
        seen.clip, seen.text, seen.clip_vision, seen.scale, seen.vae, *seen.pictures
    )[0]


def _joy_image(seen: Seen) -> list:
    from comfy_extras.nodes_joyimage import TextEncodeJoyImageEdit

    return TextEncodeJoyImageEdit.execute(seen.clip, seen.text, seen.vae, _named(seen.pictures))[0]


def _boogu(seen: Seen) -> list:
    from comfy_extras.nodes_boogu import TextEncodeBooguEdit

    return _of_both(TextEncodeBooguEdit, seen)


def _mage_flow(seen: Seen) -> list:
    from comfy_extras.nodes_mage import TextEncodeMageFlowEdit

    return _of_both(TextEncodeMageFlowEdit, seen)


def _of_both(node: Any, seen: Seen) -> list:
    """The side that is asked for of a node which encodes a prompt and a negative one."""
    texts = ("", seen.text) if seen.negative else (seen.text, "")
    return node.execute(seen.clip, *texts, seen.vae, _named(seen.pictures))[int(seen.negative)]


def _named(pictures: Sequence[Tensor]) -> dict[str, Tensor]:
    return {f"image_{number}": picture for number, picture in enumerate(pictures, 1)}


def _latents(vae: Any, pictures: Sequence[Tensor], scale: bool) -> list[Tensor]:
    return [encode(vae, picture) for picture in pictures]


def _kontext_latents(vae: Any, pictures: Sequence[Tensor], scale: bool) -> list[Tensor]:
    from comfy_extras.nodes_flux import FluxKontextImageScale

    if scale:
        pictures = [FluxKontextImageScale.execute(picture)[0] for picture in pictures]
    return _latents(vae, pictures, scale)


def _pictures(vae: Any, pictures: Sequence[Tensor], scale: bool) -> list[Tensor]:
    return list(pictures)


QWEN_25 = "Qwen2.5-VL 7B"
FAMILIES = {
    "Flux": Family("Flux Kontext", refer=_kontext_latents, methods=True),
    "Flux2": Family("Flux.2", refer=_latents, methods=True),
    "LongCatImage": Family("LongCat-Image-Edit", _qwen, sight=QWEN_25, most=1, methods=True),
    "Qwen-Image-Edit": Family("Qwen-Image-Edit", _qwen, sight=QWEN_25, most=1, methods=True),
    "QwenImage": Family("Qwen-Image-Edit 2509", _qwen_plus, sight=QWEN_25, most=3, methods=True),
    "Lumina2": Family("Z-Image Omni", _z_image_omni, most=3),
    "JoyImage": Family("JoyImage Edit", _joy_image, sight="Qwen3-VL 8B"),
    "Boogu": Family("Boogu-Image Edit", _boogu, sight="Qwen3-VL 8B"),
    "MageFlow": Family("Mage-Flow-Edit", _mage_flow, sight="Qwen3-VL 4B"),
    "Omnigen2": Family("OmniGen2", refer=_latents),
    "HiDreamO1": Family("HiDream-O1", refer=_pictures),
}
"""By the name of the host's class of model, so that an older host which lacks one still loads the others."""
