"""Every resampler of the pack, and what it is for. `tests/core/house/test_resamplers.py` holds this table.

- A picture on its way through a step (views, crops, stages): `loop.lens.resize`, bicubic, antialiased; a
  constant stays exactly that.
- Pixel art on its way through a crop: `nearest`, where the user asks for it.
- A picture for its own sake (upscaling without a network or around it, alpha): `lanczos`, the sharpest that
  does not ring beyond the picture's own range.
- A mask at another size: `masks.resize_mask`, maximum, then bilinear; a stroke of one pixel survives.
- A mask at latent size: `masks.pool_to_latent`, maximum or mean of each cell's pixels.
- A mask at the size of the picture beside it: `mask_beside`, bilinear, as the host's inpainting nodes.
- Channels of a concat model: `core.models.concat`, each as the model was trained.
- Levels inside a fill or in mattes: `core.fills.pyramid` and its neighbours, each as its own paper has it.
- An edited picture on the one before: `core.edits.registration`, bicubic, and bilinear to measure.
- What other frames of a clip show: `core.frames.camera`, bicubic, and bilinear for their masks.
- A light or background beside a picture, hints under tiles: the host's own `common_upscale`, as its nodes do.
"""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from ..loop.lens import in_float32


@in_float32
def lanczos(picture: Tensor, height: int, width: int) -> Tensor:
    """`picture` `[B, H, W, C]` at another size, by Pillow's Lanczos-3 on each channel as floats.

    The kernel's overshoot is clipped to the range of the picture's own values. The same size is a no-op.
    """
    if picture.shape[1:3] == (height, width):
        return picture
    made = torch.empty(picture.shape[0], height, width, picture.shape[3])
    for b, one in enumerate(picture.float().cpu()):
        for c in range(one.shape[-1]):
            plane = Image.fromarray(np.ascontiguousarray(one[..., c].numpy()))
            plane = plane.resize((width, height), Image.Resampling.LANCZOS)
            made[b, ..., c] = torch.from_numpy(np.array(plane))
    return made.clamp_(picture.min().item(), picture.max().item())


def nearest(picture: Tensor, height: int, width: int) -> Tensor:
    """`picture` `[B, H, W, C]` at another size by the nearest pixel: no colour that it does not have."""
    if picture.shape[1:3] == (height, width):
        return picture
    moved = functional.interpolate(picture.movedim(-1, 1), (height, width), mode="nearest-exact")
    return moved.movedim(1, -1)


@in_float32
def mask_beside(mask: Tensor, height: int, width: int) -> Tensor:
    """The mask `[B, H, W]` at the size of the picture that it belongs to: bilinear, `[B, height, width]`.

    A batch of no masks is a mask of zeros.
    """
    if not mask.numel():
        return mask.new_zeros(1, height, width)
    mask = mask.reshape(-1, 1, *mask.shape[-2:])
    if mask.shape[-2:] != (height, width):
        mask = functional.interpolate(mask, (height, width), mode="bilinear")
    return mask.squeeze(1)
