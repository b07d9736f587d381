"""Fills by models (LaMa, MAT) from files, beside those of `core.fills.fill`.

A fill is named by one string: a mode of `core.fills.fill`, or a file in the folder models/inpaint.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import comfy.model_management
import comfy.model_patcher
import folder_paths
import numpy as np
import torch
from torch import Tensor

from ...core.fills.fill import MODES, Fill, fill
from ...core.loop.lens import composite, in_float32, resize, with_channels_of
from ...core.pictures.crop import Box, objects, take
from ...core.pictures.masks import resize_mask
from ..packages import needed_by

FOLDER = "inpaint"
SUFFIXES = (".pt", ".pth", ".ckpt", ".safetensors")
WORKING_SIZE = 512
"""The longest side that these models see: they were trained on 256 and 512, and blur beyond."""
CONTEXT = 32
"""The least that a crop shows round a hole, in pixels; otherwise half of the hole's longer side."""


def fill_names() -> list[str]:
    """Every fill by name: the modes of `core.fills.fill`, then the files in models/inpaint."""
    folder_paths.add_model_folder_path(FOLDER, os.path.join(folder_paths.models_dir, FOLDER))
    files = [name for name in folder_paths.get_filename_list(FOLDER) if name.lower().endswith(SUFFIXES)]
    return [*MODES, *files]


def fill_called(name: str) -> Fill:
    """The fill of a plan by `name`. A changed file makes another value: nothing stale is reused."""
    if name in MODES:
        return Fill(name)
    return Fill(name, version=_version(name))


def _version(name: str) -> str:
    """Size and time of a file of models/inpaint."""
    facts = os.stat(folder_paths.get_full_path_or_raise(FOLDER, name))
    return f"{facts.st_size}-{facts.st_mtime_ns}"


@dataclass(frozen=True, eq=False)
class FillModel:
    """An inpainting model as spandrel describes it, and the patcher by which the host moves it."""

    descriptor: Any
    patcher: Any

    @classmethod
    def of(cls, descriptor: Any) -> FillModel:
        device = comfy.model_management.get_torch_device()
        offload = comfy.model_management.unet_offload_device()
        return cls(
            descriptor,
            comfy.model_patcher.ModelPatcher(descriptor.model, load_device=device, offload_device=offload),
        )


def load_fill_model(name: str) -> FillModel:
    """The inpainting model in a file of models/inpaint. The last one is kept: a run loads it once.

    Raises ValueError for a file that is none, and without spandrel.
    """
    return _load(name, _version(name))


@functools.lru_cache(maxsize=1)
def _load(name: str, version: str) -> FillModel:
    with needed_by("A fill by a file of models/inpaint"):
        from spandrel import MaskedImageModelDescriptor, ModelLoader

    path = folder_paths.get_full_path_or_raise(FOLDER, name)
    problem = f"{name!r} in models/{FOLDER} is no LaMa or MAT model: choose another fill"
    try:
        with own_random(0):
            model = ModelLoader(device="cpu").load_from_file(path)
    except Exception as error:  # spandrel, torch and pickle each have their own
        raise ValueError(
            f"{problem}, or download the file again (MAT also needs the package spandrel_extra_arches)."
        ) from error
    if not isinstance(model, MaskedImageModelDescriptor):
        raise ValueError(f"{problem} ({model.architecture.name} is for {model.purpose.lower()}).")
    return FillModel.of(model.eval())


@contextmanager
def own_random(seed: int) -> Iterator[None]:
    """Draws of torch (on the CPU) and of NumPy come from `seed` in here; outside nothing has happened.

    Networks are filled with random numbers before their weights are read, and MAT draws its latent then.
    """
    before = np.random.get_state()
    with torch.random.fork_rng(devices=[]):
        torch.random.default_generator.manual_seed(seed)
        np.random.seed(seed % 2**32)
        try:
            yield
        finally:
            np.random.set_state(before)


def fill_by_name(pixels: Tensor, mask: Tensor, name: str, seed: int = 0) -> Tensor:
    """`core.fills.fill.fill` for every name that `fill_names` gives."""
    if name in MODES or not mask.any():
        return fill(pixels, mask, name, seed)
    return fill_by_model(pixels, mask, load_fill_model(name), seed)


@in_float32
def fill_by_model(pixels: Tensor, mask: Tensor, model: FillModel, seed: int = 0) -> Tensor:
    """`pixels` `[B, H, W, C]` with what `mask` `[B or 1, H, W]` covers filled by an inpainting model.

    A model that paints from a latent (MAT) has it drawn from `seed`, so that the same seed paints the same.

    Each hole is cropped with its surroundings and seen at the model's working size, never enlarged; so a
    small hole in a large picture keeps its sharpness. Pixels outside the mask stay bit for bit.
    """
    device = model.patcher.load_device
    comfy.model_management.load_models_gpu([model.patcher])
    _draw(model.descriptor.model, seed, device)
    filled = pixels.clone()
    for index in range(len(pixels)):
        unknown = (mask[index % len(mask)] > 0).float()[None]
        for hole in objects(unknown):
            # An earlier crop may have closed this hole on its way.
            if unknown[:, hole.top : hole.bottom, hole.left : hole.right].any():
                box = context(hole, (pixels.shape[1], pixels.shape[2]))
                with own_random(seed):
                    _fill_box(filled[index : index + 1], unknown, box, model.descriptor, device)
    if pixels.shape[-1] in (2, 4):
        filled[..., -1] = 1
    return composite(pixels, filled, mask)


def _draw(network: torch.nn.Module, seed: int, device: torch.device) -> None:
    """Puts what a network keeps beside its weights on the device, its latent `z` `[1, n]` drawn anew.

    The host moves parameters and buffers; MAT's latent and label are neither.
    """
    for name, value in vars(network).items():
        if isinstance(value, Tensor):
            if name == "z":
                generator = torch.Generator().manual_seed(seed)
                value = torch.randn(value.shape, generator=generator, dtype=value.dtype)
            setattr(network, name, value.to(device))


def context(hole: Box, frame: tuple[int, int]) -> Box:
    """What the model is shown of a picture of size `frame` to fill a hole."""
    return hole.padded(max(CONTEXT, max(hole.height, hole.width) // 2)).within(*frame)


def _fill_box(picture: Tensor, unknown: Tensor, box: Box, model: Any, device: torch.device) -> None:
    """Fills every unknown pixel of a box of `picture` `[1, H, W, C]` in place, and marks them known."""
    rows, columns = box.place
    scale = min(1.0, WORKING_SIZE / max(box.height, box.width))
    size = (max(1, round(box.height * scale)), max(1, round(box.width * scale)))
    part = take(picture, box)
    seen = with_channels_of(resize(part, *size), torch.empty(1, 1, 1, 3)).clamp(0, 1)
    mask = (resize_mask(unknown[:, rows, columns], *size) > 0).float()
    with torch.no_grad():
        made = model(seen.movedim(-1, 1).to(device), mask.unsqueeze(1).to(device))
    made = resize(made.movedim(1, -1).to(part), box.height, box.width)
    picture[:, rows, columns] = composite(part, with_channels_of(made, part), unknown[:, rows, columns])
    unknown[:, rows, columns] = 0
