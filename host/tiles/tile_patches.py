"""Model patches that hold a picture, cut to each tile.

The host's ControlNets for transformers are patches of the model: objects in `transformer_options["patches"]`
that hold a whole picture and fit it to whatever the model is given. A tile would get the picture's middle. So
each tile gets copies of them that hold its own part, encoded once and kept. A patch that is not known here
and holds a picture is refused before sampling.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from types import MethodType
from typing import Any

import comfy.model_management
import comfy.model_patcher
import comfy.sd
import torch
from comfy.patcher_extension import WrappersMP
from torch import Tensor

from ..models.living import living_models
from .tile_conds import Cut

LEAST_PICTURE = 64
"""Fewer pixels a side are no picture that a model is shown."""

DEEPEST, MOST = 5, 10_000
"""How far, and at how many values, a stranger's patch is searched for pictures."""

WORKING = (comfy.model_patcher.ModelPatcher, comfy.sd.VAE, comfy.sd.CLIP, torch.nn.Module, torch.device, type)
"""What patches hold that works on pictures, and is none."""


@dataclass(frozen=True)
class Holder:
    """What a class of the host's patches holds of the canvas, and how the host fits each to a latent.

    `pictures` are `[B, H, W, C]`, `masks` `[..., H, W]`, `latents` `[B, C, h, w]`: attributes, and for the
    first two the algorithm.
    """

    pictures: dict[str, str] = field(default_factory=dict)
    masks: dict[str, str] = field(default_factory=dict)
    latents: tuple[str, ...] = ()

    def encode(self, part: Any, shape: Sequence[int]) -> None:
        """Has a patch for a part of latent `shape` see anew, as it does when it is made."""


class _DiffSynth(Holder):
    def encode(self, part: Any, shape: Sequence[int]) -> None:
        part.encoded_image = part.model_patch.model.process_input_latent_image(
            part.encode_latent_cond(part.image)
        )
        part.encoded_image_size = tuple(part.image.shape[1:3])


class _ZImage(Holder):
    def encode(self, part: Any, shape: Sequence[int]) -> None:
        part.encoded_image = part.encode_latent_cond(part.image, part.inpaint_image)
        seen = part.inpaint_image if part.image is None else part.image
        part.encoded_image_size = tuple(seen.shape[1:3])
        part.temp_data = None


class _Uni3C(Holder):
    def encode(self, part: Any, shape: Sequence[int]) -> None:
        part.prepared_render = part.encode_render_video(tuple(shape[2:]))
        part.temp_data = None


# By name: the host loads its own extra nodes under module names of their own.
HOLDERS: dict[str, Holder] = {
    "DiffSynthCnetPatch": _DiffSynth({"image": "area"}, {"mask": "bilinear"}),
    "ZImageControlPatch": _ZImage({"image": "area", "inpaint_image": "area"}, {"mask": "bilinear"}),
    "WanUni3CCnetPatch": _Uni3C({"render_video": "bilinear"}),
    "AnimaLLLitePatch": Holder({"image": "bicubic"}, {"mask": "nearest-exact"}),
    "SUPIRPatch": Holder(latents=("hint_latent",)),
}


IN_TILES = (WrappersMP.APPLY_MODEL, WrappersMP.DIFFUSION_MODEL)
"""Wrappers that are called tile by tile; the others see the whole canvas."""


def held_pictures(model_options: dict) -> list[Any]:
    """The patches of known classes that hold a picture, each once."""
    found: dict[int, Any] = {}
    for patch in _patches(model_options):
        for one in _owners(patch):
            if type(one).__name__ in HOLDERS:
                found[id(one)] = one
    return list(found.values())


def check_patches(model_options: dict, size: tuple[int, int], ratio: int) -> None:
    """Raises ValueError for a patch of another kind that holds a picture.

    That is one of any size, or anything as large as a canvas of `size` cells of `ratio` pixels.
    """
    transformer_options = model_options.get("transformer_options", {})
    wrappers = transformer_options.get("wrappers", {})
    strangers = [
        *_patches(model_options),
        *transformer_options.get("patches_replace", {}).values(),
        *(one for kind in IN_TILES for of_key in wrappers.get(kind, {}).values() for one in of_key),
        model_options.get("model_function_wrapper"),
    ]
    for patch in strangers:
        if any(type(one).__name__ in HOLDERS for one in _owners(patch)):
            continue
        for tensor in _tensors(patch):
            if (pixels := _picture_size(tensor, size, ratio)) is not None:
                raise ValueError(
                    f"{_name(patch)}, a patch of this MODEL, holds a picture of {pixels[1]} x {pixels[0]}: "
                    "how to cut it to tiles is not known, so bypass the node that made it, or "
                    "sample without tiles."
                )


def cut_patches(
    patches: Sequence[Any], cuts: Sequence[Cut], shape: Sequence[int], ratio: int
) -> list[dict[int, Any]]:
    """For each cut, copies of `patches` (by their id) that hold its part of a canvas of latent `shape`.

    They lie where the VAE leaves them. Whatever model is loaded stays so.
    """
    with living_models() as loaded:
        made = _cut(patches, cuts, shape, ratio)
        comfy.model_management.load_models_gpu(loaded)
    return made


def _cut(
    patches: Sequence[Any], cuts: Sequence[Cut], shape: Sequence[int], ratio: int
) -> list[dict[int, Any]]:
    made: list[dict[int, Any]] = [{} for _ in cuts]
    for patch in patches:
        holder = HOLDERS[type(patch).__name__]
        parts = [copy.copy(patch) for _ in cuts]
        for name, algorithm in holder.pictures.items():
            if (picture := getattr(patch, name)) is not None:
                planes = picture.movedim(-1, 1)
                for part, seen in zip(parts, _hints(planes, cuts, ratio, algorithm), strict=True):
                    setattr(part, name, seen.movedim(1, -1))
        for name, algorithm in holder.masks.items():
            if (mask := getattr(patch, name)) is not None:
                planes = mask.reshape(-1, 1, *mask.shape[-2:])
                for part, seen in zip(parts, _hints(planes, cuts, ratio, algorithm), strict=True):
                    setattr(part, name, seen.reshape(*mask.shape[:-2], *seen.shape[-2:]))
        for name in holder.latents:
            for part, seen in zip(parts, _hints(getattr(patch, name), cuts, 1, "bilinear"), strict=True):
                setattr(part, name, seen)
        for cut, part, copies in zip(cuts, parts, made, strict=True):
            holder.encode(part, [*shape[:-2], *cut.part])
            copies[id(patch)] = part
    return made


def with_patches(model_options: dict, copies: dict[int, Any], device: torch.device) -> dict:
    """Options whose patches are those copies, on `device`."""
    if not copies:
        return model_options
    # Of copies once more, so that what is kept stays where it is.
    here = {key: copy.copy(part).to(device) for key, part in copies.items()}
    transformer_options = model_options["transformer_options"]
    patches = {
        name: [_swapped(patch, here) for patch in of_name]
        for name, of_name in transformer_options["patches"].items()
    }
    return model_options | {"transformer_options": transformer_options | {"patches": patches}}


def _hints(planes: Tensor, cuts: Sequence[Cut], scale: int, algorithm: str) -> Iterator[Tensor]:
    fitted: dict = {}  # the whole is fitted to the canvas once
    return (cut.hint(planes, scale, algorithm, fitted) for cut in cuts)


def _patches(model_options: dict) -> Iterator[Any]:
    for of_name in model_options.get("transformer_options", {}).get("patches", {}).values():
        yield from of_name


def _owners(patch: Any) -> Iterator[Any]:
    """The object that a patch is, or is a method of, or that stands with a class, or that it refers to."""
    if isinstance(patch, tuple | list):
        for one in patch:
            yield from _owners(one)
    elif isinstance(patch, MethodType):
        yield patch.__self__
    else:
        yield patch
        if hasattr(patch, "patch"):
            yield patch.patch


def _swapped(patch: Any, copies: dict[int, Any]) -> Any:
    """The patch with the copies in the places of what `_owners` finds."""
    if id(patch) in copies:
        return copies[id(patch)]
    if isinstance(patch, tuple | list):
        return type(patch)(_swapped(one, copies) for one in patch)
    if isinstance(patch, MethodType) and id(patch.__self__) in copies:
        return MethodType(patch.__func__, copies[id(patch.__self__)])
    if id(getattr(patch, "patch", None)) in copies:
        swapped: Any = copy.copy(patch)
        swapped.patch = copies[id(swapped.patch)]
        return swapped
    return patch


def _tensors(value: Any) -> Iterator[Tensor]:
    """Tensors that a patch holds: in its attributes, in what it closes over, in lists and dicts of those."""
    waiting, seen = [(value, 0)], set()
    while waiting and len(seen) < MOST:
        item, depth = waiting.pop()
        if id(item) in seen or depth > DEEPEST or isinstance(item, WORKING):
            continue
        seen.add(id(item))
        if isinstance(item, Tensor):
            yield item
        else:
            waiting += [(inner, depth + 1) for inner in _inside(item)]


def _inside(item: Any) -> Iterable[Any]:
    if isinstance(item, dict):
        return item.values()
    if isinstance(item, list | tuple | set | frozenset):
        return item
    if isinstance(item, MethodType):
        return [item.__self__]
    if isinstance(item, functools.partial):
        return [item.func, *item.args, *item.keywords.values()]
    held = list(getattr(item, "__dict__", {}).values())
    for cell in getattr(item, "__closure__", None) or ():
        try:
            held.append(cell.cell_contents)
        except ValueError:  # not filled yet
            continue
    return held


def _picture_size(tensor: Tensor, size: tuple[int, int], ratio: int) -> tuple[int, int] | None:
    """Height and width of a tensor that is a picture, or as large as the canvas; None for others."""
    if tensor.ndim < 3 or not tensor.is_floating_point():
        return None
    *_, first, height, width = tensor.shape
    for scale in {1, ratio}:
        if (height, width) == (size[0] * scale, size[1] * scale):
            return height, width
    if width in (1, 3, 4) and min(first, height) >= LEAST_PICTURE:
        return first, height
    return (height, width) if first in (3, 4) and min(height, width) >= LEAST_PICTURE else None


def _name(patch: Any) -> str:
    while isinstance(patch, tuple | list | dict) and patch:
        patch = [*patch.values()][0] if isinstance(patch, dict) else patch[-1]
    named: str = getattr(patch, "__qualname__", type(patch).__qualname__)
    return named.split(".<locals>")[0]
