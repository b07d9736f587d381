"""IC-Light: weight differences that turn an SD 1.5 model into one that relights a picture.

FC takes a foreground, FBC a foreground and a background; each adds four channels to the first convolution.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import comfy.utils
import torch
from PIL import ImageColor
from safetensors.torch import load_file
from torch import Tensor

from ...core.loop.lens import widened
from ...core.models.concat import light_gradient
from ...core.models.kinds import ICLIGHT, ModelKind, describe
from ..models import mini
from ..models.model_files import SAFETENSORS, header_of, model_files, model_path
from ..models.model_kind import CONV_IN, OURS, kind_of_model
from .concat import Prepared, Sources, check_not_empty, encode, like, prepare, rgb

PREFIX = "diffusion_model."
MINI = ("mini/ic-light-fc", "mini/ic-light-fbc")
"""The embedded differences, for the mini model `base`."""
KINDS = {8: "ic-light-fc", 12: "ic-light-fbc"}


def files() -> list[str]:
    """Files that may hold differences: those named after IC-Light, the embedded ones, then all others."""
    names = [name for name in model_files() if name.endswith(SAFETENSORS)]
    named = [name for name in names if "iclight" in name.lower().replace("-", "").replace("_", "")]
    return [*named, *MINI, *(name for name in names if name not in named)]


def read_differences(file: str) -> dict[str, Tensor]:
    """The weight differences in a file of `files`, by their names there. Raises ValueError."""
    if file in MINI:
        return mini.read_weights(file.removeprefix("mini/"))
    header = header_of(file)
    if header.missing:
        raise ValueError(f"{file} is cut short: {header.missing} bytes are missing. Download it again.")
    return load_file(model_path(file))


def add_differences(model: Any, differences: Mapping[str, Tensor]) -> tuple[Any, ModelKind]:
    """A clone of `model` (4 input channels) with IC-Light's differences, and what it is then.

    Names may be those of LDM or of diffusers, with or without a prefix. Raises ValueError if the differences
    are none, were made for another model, or the model has been padded already.
    """
    found = kind_of_model(model)
    if found.kind != "standard":
        raise ValueError(
            f"Expected a standard SD 1.5 model with 4 input channels, but got {describe(found)}: connect the "
            f"model of a checkpoint loader, or of a LoRA loader after it, to {ICLIGHT}."
        )
    named = _model_names(model, differences)
    _check(model, named)
    clone = model.clone()
    patches = {
        name: ("diff", (value, {"pad_weight": name == CONV_IN, OURS: True})) for name, value in named.items()
    }
    clone.add_patches(patches)
    return clone, kind_of_model(clone)


def relight(
    model: Any,
    found: ModelKind,
    vae: Any,
    sources: Sources,
    light: str,
    light_image: Tensor | None,
    colour: str = "#ffffff",
) -> Prepared:
    """What sampling needs: `light` is `none`, a side, a corner, or `image`; it is the latent to start from.

    `colour` (`#rrggbb`) tints the light. Raises ValueError if an input is missing, the VAE is of another
    kind, or the colour is none.
    """
    tint = _tint(colour)
    made = prepare(found, model, vae, sources, ICLIGHT)
    if light == "none":
        return made
    assert sources.image is not None
    if light != "image":
        lamp = light_gradient(light, sources.image.shape[1], sources.image.shape[2], tint)
    elif light_image is None:
        raise ValueError(
            "Expected a picture of light for the light source `image`, but nothing is connected there: "
            f"connect light_image to {ICLIGHT}, or choose a side."
        )
    else:
        check_not_empty(light_image, "light_image", ICLIGHT)
        lamp = like(rgb(widened(light_image)), sources.image) * torch.tensor(tint)
    start = encode(vae, lamp)
    batch = made.latent["samples"].shape[0]
    if batch % start.shape[0]:
        raise ValueError(
            f"Expected one light_image, or as many as there are pictures ({batch}), but got "
            f"{start.shape[0]}: connect a single one."
        )
    return Prepared(made.concat, {"samples": start.repeat(batch // start.shape[0], 1, 1, 1)})


def _tint(colour: str) -> tuple[float, float, float]:
    """`#rrggbb` or a name of a colour, as 0..1."""
    try:
        red, green, blue = ImageColor.getrgb(colour)[:3]
    except ValueError:
        raise ValueError(
            f"Expected a colour such as #ffcc88 in light_color of {ICLIGHT}, but got {colour!r}."
        ) from None
    return red / 255, green / 255, blue / 255


def _model_names(model: Any, differences: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The differences by the names that they have in the model."""
    renamed = comfy.utils.unet_to_diffusers(model.model.model_config.unet_config)
    named = {}
    for name, value in differences.items():
        bare = name.removeprefix("model.").removeprefix(PREFIX).removeprefix("unet.")
        named[PREFIX + renamed.get(bare, bare)] = value
    return named


def _check(model: Any, named: Mapping[str, Tensor]) -> None:
    cure = "choose one of IC-Light's files (iclight_sd15_fc or iclight_sd15_fbc) in `file`"
    padded = named.get(CONV_IN)
    if padded is None or padded.dim() != 4 or padded.shape[1] not in KINDS:
        shape = "no first convolution" if padded is None else f"one of shape {tuple(padded.shape)}"
        raise ValueError(
            f"Expected weight differences of IC-Light with 8 or 12 input channels, but got {shape}: {cure}."
        )
    norm = named.get(f"{PREFIX}out.0.weight")
    if norm is not None and norm.float().mean() > 0.5:
        raise ValueError(
            "Expected weight differences of IC-Light, but got the weights of a whole model: "
            f"{cure}, or load this file with ISI Load Concat Model."
        )
    shapes = {name: tuple(value.shape) for name, value in model.model_state_dict(PREFIX).items()}
    shapes[CONV_IN] = (shapes[CONV_IN][0], padded.shape[1], *shapes[CONV_IN][2:])
    unfit = [name for name, value in named.items() if shapes.get(name) != tuple(value.shape)]
    if unfit:
        raise ValueError(
            f"Expected weight differences that were made for {describe(kind_of_model(model))}, but "
            f"{len(unfit)} of {len(named)} don't fit (first: {unfit[0]}): IC-Light needs an SD 1.5 model."
        )
