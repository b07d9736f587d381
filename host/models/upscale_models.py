"""Upscaling of pictures by a network: tiles of even size, any target, alpha and full precision kept."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import comfy.model_management
import comfy.model_patcher
import comfy.utils
import folder_paths
import torch
from torch import Tensor, nn

from ...core.loop.room import need_room
from ...core.pictures.resize import lanczos
from ...core.pictures.srcnn import SRCNN, sharpen_luma, srcnn_from
from ...core.tiles.blend import TileWeights
from ...core.tiles.tiles import fit_layout
from ..packages import needed_by
from . import mini

if TYPE_CHECKING:
    from spandrel import ImageModelDescriptor

LANCZOS = "lanczos"
MINI = f"mini/{mini.UPSCALER}"
FOLDER = "upscale_models"
FAR = 4
"""A network whose tiling is discouraged shares at least this part of a tile with the next one."""
WINDOW = 16
"""Tiles of such a network begin at multiples of this, where its windows of 8 or 16 pixels begin too."""
LUMA = (0.299, 0.587, 0.114)
"""ITU-R BT.601."""
NETWORKS = "Upscaling by an upscale model"
"""What needs spandrel; Lanczos and SRCNN do without it."""


def upscaler_names() -> list[str]:
    """What the user can choose: Lanczos, the mini model, or a file of the folder `upscale_models`."""
    return [LANCZOS, MINI, *folder_paths.get_filename_list(FOLDER)]


def load_upscaler(name: str) -> ImageModelDescriptor | SRCNN | None:
    """The network in a file of `upscale_models`; None for Lanczos. Raises ValueError for any other file."""
    if name == LANCZOS:
        return None
    if name == MINI:
        descriptor = _described(mini.read_weights(mini.UPSCALER))
        assert descriptor is not None  # the file is the one that was shipped
        return descriptor
    path = folder_paths.get_full_path_or_raise(FOLDER, name)
    expected = (
        f"{name} is no upscaler: expected an image model that spandrel knows (ESRGAN, SwinIR, DAT, HAT, ...) "
        "or the weights of an SRCNN (9-5-5). Choose another file of models/upscale_models, or lanczos."
    )
    try:
        weights: Any = comfy.utils.load_torch_file(path, safe_load=True)
    except Exception as error:  # each file format has errors of its own
        raise ValueError(f"{expected} The file can't be read: {error}") from error
    network = srcnn_from(weights)
    if network is not None:
        return network
    descriptor = _described(weights)
    if descriptor is None:
        raise ValueError(expected)
    return descriptor


def _described(weights: Any) -> ImageModelDescriptor | None:
    """The image model that spandrel makes of weights; None if it knows none. Raises ValueError without it."""
    with needed_by(NETWORKS):
        from spandrel import ImageModelDescriptor, ModelLoader, UnsupportedModelError
    try:
        descriptor = ModelLoader().load_from_state_dict(weights)
    except UnsupportedModelError:
        return None
    return descriptor.eval() if isinstance(descriptor, ImageModelDescriptor) else None


def upscale(
    image: Tensor, height: int, width: int, upscaler: Any, tile: int = 512, overlap: int = 32
) -> Tensor:
    """`image` `[B, H, W, C]` (C 1, 3 or 4) at `height` x `width`, float32.

    `upscaler` is what `load_upscaler` or the host's loader made. `tile` and `overlap` are in pixels of what
    the network is given. The fourth channel is alpha: it is resampled by Lanczos. Raises ValueError for
    something that is no upscaler.
    """
    _need_room(image, height, width, getattr(upscaler, "scale", 1))
    if not len(image):
        return torch.empty(0, height, width, image.shape[-1])
    if upscaler is None:
        return lanczos(image, height, width)
    if not isinstance(upscaler, SRCNN):
        with needed_by(NETWORKS):
            from spandrel import ImageModelDescriptor
        if not isinstance(upscaler, ImageModelDescriptor):
            raise ValueError(
                f"`upscale_model` takes an image upscaler; got {type(upscaler).__name__}. "
                "Connect Load Upscale Model."
            )
        check_channels(upscaler)
    made = torch.empty(len(image), height, width, image.shape[-1])
    for one, target in zip(image.float(), made, strict=True):
        target[..., :3] = _upscale_one(one[..., :3], height, width, upscaler, tile, overlap)
        if target.shape[-1] > 3:
            target[..., 3:] = lanczos(one[None, ..., 3:], height, width)[0]
    return made


def _need_room(image: Tensor, height: int, width: int, scale: int) -> None:
    """Raises ValueError unless there is room for the result, and for the largest picture on the way to it."""
    batch, *size, channels = image.shape
    steps = passes((size[0], size[1]), (height, width), scale) if scale > 1 else []
    largest = max([height * width, *(h * w * scale**2 for h, w in steps)])
    need_room(
        batch * height * width * channels * 4 + largest * 3 * 4 * 3,
        f"Upscaling {batch} picture{'s' if batch > 1 else ''} to {width}x{height} pixels",
        "lower the factor or the size, or upscale fewer pictures at once",
    )


def _upscale_one(
    colour: Tensor, height: int, width: int, upscaler: ImageModelDescriptor | SRCNN, tile: int, overlap: int
) -> Tensor:
    """One picture `[H, W, C]`."""
    channels = colour.shape[-1]
    picture = colour.expand(-1, -1, 3).unsqueeze(0)
    if isinstance(upscaler, SRCNN):
        device = _load(upscaler, upscaler, tile)
        function = upscaler if upscaler.channels == 3 else lambda x: sharpen_luma(x, upscaler)
        picture = lanczos(picture, height, width)  # the network works at the final size
        radius = upscaler.radius
        picture = _tiled(function, picture, 1, tile, 2 * radius + 4, radius, device)
    else:
        from spandrel import ModelTiling  # `upscaler` is spandrel's own

        device = _load(upscaler, upscaler.model, tile)
        function = _on_colours(upscaler)
        # A network that is meant to see the whole sees more around a tile; one that tiles by itself sees all.
        size = max(height, width, *colour.shape) if upscaler.tiling == ModelTiling.INTERNAL else tile
        multiple = 1
        if upscaler.tiling == ModelTiling.DISCOURAGED:
            overlap, multiple = max(overlap, tile // FAR), WINDOW
        for h, w in passes((colour.shape[0], colour.shape[1]), (height, width), upscaler.scale):
            picture = lanczos(picture, h, w).clamp(0, 1)
            picture = _tiled(
                function, picture, upscaler.scale, size, overlap, 3 * overlap // 8, device, multiple
            )
    made = lanczos(picture, height, width)[0]
    return made if channels == 3 else made.mean(-1, keepdim=True)


def passes(size: tuple[int, int], target: tuple[int, int], scale: int) -> list[tuple[int, int]]:
    """Sizes that a network of this scale is given, one after the other, to reach the target; at least one.

    From the second on the picture is shrunk first where the network would overshoot, so that nothing larger
    than `scale` times the input or the target is ever made.
    """
    sizes = [(size[0], size[1])]
    while scale > 1 and any(n * scale < t for n, t in zip(sizes[-1], target, strict=True)):
        grown = [(n * scale, math.ceil(t / scale)) for n, t in zip(sizes[-1], target, strict=True)]
        sizes.append((min(grown[0]), min(grown[1])))
    return sizes


def check_channels(descriptor: ImageModelDescriptor) -> None:
    """Raises ValueError for a network that takes or gives something else than a picture."""
    given = descriptor.input_channels, descriptor.output_channels
    if not set(given) <= {1, 3, 4}:
        raise ValueError(
            f"Expected an upscale model of 1, 3 or 4 channels, but this one takes {given[0]} and gives "
            f"{given[1]}: choose another upscale model, or lanczos."
        )


def _on_colours(descriptor: ImageModelDescriptor) -> Callable[[Tensor], Tensor]:
    """A network as a function from `[1, 3, h, w]` to `[1, 3, H, W]`.

    One channel in and out is done for each of three; one in and more out sees the luma; a fourth channel is
    an alpha that is opaque, and what comes out of it is left.
    """
    if (descriptor.input_channels, descriptor.output_channels) == (1, 1):
        return lambda x: torch.cat([descriptor(channel) for channel in x.split(1, 1)], 1)

    def on_colours(x: Tensor) -> Tensor:
        if descriptor.input_channels == 1:
            x = (x * torch.tensor(LUMA).to(x).view(1, 3, 1, 1)).sum(1, keepdim=True)
        elif descriptor.input_channels == 4:
            x = torch.cat([x, torch.ones_like(x[:, :1])], 1)
        return descriptor(x)[:, :3].expand(-1, 3, -1, -1)

    return on_colours


def _load(upscaler: Any, network: nn.Module, tile: int) -> torch.device:
    """Brings the network to the device that it runs on, as the host counts memory."""
    patcher = getattr(upscaler, "patcher", None)
    if patcher is None:
        management = comfy.model_management
        patcher = comfy.model_patcher.ModelPatcher(
            network,
            load_device=management.get_torch_device(),
            offload_device=management.unet_offload_device(),
        )
    scale = 1 if isinstance(upscaler, SRCNN) else upscaler.scale
    memory = tile * tile * 3 * 4 * scale * 384  # the host's own estimate, for our tile
    comfy.model_management.load_models_gpu([patcher], memory_required=memory)
    return patcher.load_device


def _tiled(
    function: Callable[[Tensor], Tensor],
    picture: Tensor,
    scale: int,
    tile: int,
    overlap: int,
    margin: int,
    device: torch.device,
    multiple: int = 1,
) -> Tensor:
    """`function` of `picture` `[1, H, W, C]` in tiles; with tiles of half the size if memory runs out."""
    while True:
        try:
            return _tiles_of(function, picture, scale, tile, overlap, margin, device, multiple)
        except Exception as error:
            if not _is_oom(error):
                raise
            tile //= 2
            if tile < max(64, 2 * overlap):
                raise
            comfy.model_management.soft_empty_cache()


def _is_oom(error: Exception) -> bool:
    """Whether memory ran out, on any kind of device: as the host tells."""
    # Older hosts only have the class.
    told = getattr(comfy.model_management, "is_oom", None)
    return told(error) if told else isinstance(error, comfy.model_management.OOM_EXCEPTION)


@torch.no_grad()
def _tiles_of(function, picture, scale, tile, overlap, margin, device, multiple) -> Tensor:
    source = picture.movedim(-1, 1)
    layout = fit_layout(source.shape[-2], source.shape[-1], tile, min(overlap, tile // 2), multiple=multiple)
    target = layout.scaled(scale)
    weights = TileWeights(target, "cosine", margin * scale)
    canvas = torch.zeros(1, 3, *target.size)
    progress = comfy.utils.ProgressBar(len(layout))
    for read, write in zip(layout, target, strict=True):
        comfy.model_management.throw_exception_if_processing_interrupted()
        # Contiguous: networks may flatten what they are given, as GFPGAN does, a restorer of faces.
        part = function(layout.cut(source, read).to(device).contiguous()).float().cpu()
        target.add(canvas, write, part if layout.whole else part * weights[write])
        progress.update(1)
    return canvas.movedim(1, -1)
