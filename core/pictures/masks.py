"""Masks: `[B, H, W]` float in 0..1, 1 = "may change". Lengths are pixels of the mask itself.

A structuring element is always the square of 2n + 1 pixels, so that growing by n adds exactly n pixels on
every side, diagonals included, for graded masks as for binary ones.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor
from torch.nn import functional

from ..loop.lens import in_float32
from ..loop.room import need_room

PROFILES = ("linear", "cosine", "gaussian")
SPREAD = 3.0
"""Standard deviations from the middle of a gaussian ramp to either end."""
FLOOR = 0.1
"""A part of a mask that stays below this is no find: a JPEG's edges ring as high as that."""
NOISE = 4 / 255
"""The black of a mask that was a JPEG is 0 to 3 of 255."""
REACH = 16
"""How far a soft edge is followed into that, in pixels."""
LINES = 128
"""Lines that `grow` and `feather` work on at once: keeps their working memory a fraction of the mask."""


def as_mask(mask: Tensor, height: int, width: int, batch: int | None = None) -> Tensor:
    """`mask` as `[n, height, width]` float in 0..1, checked against the picture that it is for.

    A mask of zeros is "nothing" at any size: the host's Load Image gives 64 x 64 zeros for a picture
    without alpha. So is a batch of no masks, as a detector gives that found nothing: one mask of zeros.
    `batch` is the number of pictures (n must be 1 or that); None allows any n.

    Raises:
        ValueError: for NaN, another size, or another batch.
    """
    if mask.ndim == 2:
        mask = mask.unsqueeze(0)
    if mask.ndim != 3:
        raise ValueError(f"A mask must be [batch, height, width], but this one is {list(mask.shape)}.")
    mask = mask.float()
    if mask.numel() == 0:
        return mask.new_zeros(1, height, width)
    if torch.isnan(mask).any():
        raise ValueError("The mask has NaN values: check the node that made it (a division by zero?).")
    if mask.shape[1:] != (height, width):
        if mask.any():
            raise ValueError(
                f"The mask is {mask.shape[2]}x{mask.shape[1]}, but the picture is {width}x{height}: "
                "connect a mask of the same size, or resize one of them first."
            )
        mask = mask.new_zeros(mask.shape[0], height, width)
    if batch is not None and mask.shape[0] not in (1, batch):
        raise ValueError(
            f"There are {mask.shape[0]} masks for {batch} pictures: connect one mask, or one a picture."
        )
    return mask.clamp(0, 1)


@in_float32
def grow(mask: Tensor, pixels: int) -> Tensor:
    """Dilation by exactly `pixels` on every side; erosion where negative. Graded levels are kept.

    What lies beyond the frame neither grows into it nor eats from it.
    """
    if pixels == 0:
        return mask
    if pixels < 0:
        return -grow(-mask, -pixels)
    out = mask.clone()
    for axis in (-1, -2):
        for lines in _lines(out, axis):
            lines.copy_(_running_max(lines, pixels))
    return out


def _lines(mask: Tensor, axis: int) -> Iterator[Tensor]:
    """Views `[B, n, length]` of some lines of `mask` at a time, along `axis`: rows (-1) or columns (-2).

    Those without anything but 0 are left out: neither a maximum nor a mean of zeros is anything else.
    """
    for lines in mask.movedim(axis, -1).split(LINES, 1):
        if lines.any():
            yield lines


def _running_max(lines: Tensor, radius: int) -> Tensor:
    """Maximum over 2 radius + 1 neighbours of a line, by doubling the window: log2(radius) passes."""
    radius = min(radius, lines.shape[-1] - 1)
    if radius == 0:
        return lines
    window = 2 * radius + 1
    out = functional.pad(lines, (radius, radius), value=-math.inf)
    reach = 1
    while reach < window:
        step = min(reach, window - reach)
        out = torch.maximum(out[..., :-step], out[..., step:])
        reach += step
    return out


@in_float32
def ramp(t: Tensor, profile: str) -> Tensor:
    """A rise from 0 (t <= 0) to 1 (t >= 1) of one of PROFILES, symmetric about t = 0.5."""
    t = t.clamp(0, 1)
    if profile == "linear":
        return t
    if profile == "cosine":
        return (1 - torch.cos(math.pi * t)) / 2
    end = math.erf(SPREAD / math.sqrt(2))
    return (torch.erf((2 * t - 1) * SPREAD / math.sqrt(2)) / end + 1) / 2


@in_float32
def feather(mask: Tensor, pixels: int, profile: str = "cosine") -> Tensor:
    """Softens every edge over `pixels` on either side of it; `feather(1 - m)` is `1 - feather(m)`.

    A straight edge becomes the `ramp` of that profile with its middle where the edge was. Beyond the
    frame the mask goes on as at the frame. What is all 0 or all 1 within reach stays exactly so.
    """
    if pixels <= 0:
        return mask
    radius = min(pixels, max(mask.shape[-2:]) - 1)
    # The ramp of an edge is the kernel's running sum, so the kernel is the ramp's differences.
    ends = torch.arange(2 * pixels + 2, dtype=torch.float64) / (2 * pixels + 1)
    kernel = ramp(ends, profile).diff()
    kernel = kernel[pixels - radius : pixels + radius + 1]
    kernel = (kernel / kernel.sum()).to(mask)
    out = mask.clone()
    for axis in (-1, -2):
        for lines in _lines(out, axis):
            lines.copy_(_smooth(lines, kernel))
    # The transform's rounding must not make "nothing" a little and "everything" not quite.
    return out.masked_fill_(out < 2e-6, 0).masked_fill_(out > 1 - 2e-6, 1)


def _smooth(lines: Tensor, kernel: Tensor) -> Tensor:
    """Convolution of lines with an odd symmetric kernel, by FFT."""
    radius = len(kernel) // 2
    length = lines.shape[-1] + 2 * radius
    centred = functional.pad(kernel, (0, length - len(kernel))).roll(-radius)
    response = torch.fft.rfft(centred).real
    index = torch.arange(-radius, length - radius, device=lines.device).clamp(0, lines.shape[-1] - 1)
    made = torch.fft.irfft(torch.fft.rfft(lines[..., index]) * response, n=length)
    return made[..., radius : radius + lines.shape[-1]]


@in_float32
def threshold(mask: Tensor, level: float) -> Tensor:
    """1 where the mask is at least `level`, 0 elsewhere; `level` 0 leaves the mask as it is."""
    return mask if level <= 0 else (mask >= level).to(mask)


@in_float32
def inward(mask: Tensor, pixels: int, profile: str = "cosine") -> Tensor:
    """The mask fading in over `pixels` from its edge inwards: what lies outside stays outside."""
    if pixels <= 0:
        return mask
    out = torch.empty_like(mask)
    for one, faded in zip(mask, out, strict=True):
        distance: Any = ndimage.distance_transform_edt((one > 0).cpu().numpy())
        share = torch.from_numpy(distance).to(mask) / (pixels + 1)
        faded.copy_(one * ramp(share, profile) if bool((one == 0).any()) else one)
    return out


@in_float32
def levels(mask: Tensor, low: float, high: float) -> Tensor:
    """A linear ramp from 0 at level `low` to 1 at `high`: steadies a mask that flickers or is too soft.

    0 to 1 leaves the mask as it is. Raises ValueError unless `low` is below `high`.
    """
    if low >= high:
        raise ValueError(f"The ramp must rise: ramp_low is {low:g}, so set ramp_high above it, not {high:g}.")
    return mask if (low, high) == (0, 1) else ((mask - low) / (high - low)).clamp(0, 1)


def boxed(mask: Tensor, each: bool, floor: float = FLOOR) -> Tensor:
    """Bounding boxes `[B, H, W]`, each filled with the highest level of what it holds.

    One box round all that is `found` in a mask, or with `each` one round every object.
    """
    out = torch.zeros_like(mask)
    for one, there, levels_ in zip(out, found(mask, floor), mask, strict=True):
        labels = label(there, diagonals=True)[0] if each else there.cpu().numpy().astype(np.int32)
        for box in ndimage.find_objects(labels):
            one[box] = torch.maximum(one[box], levels_[box].max())
    return out


def fill_holes(mask: Tensor) -> Tensor:
    """Sets to 1 what the mask (at least 0.5) encloses. A hole ends at the mask's diagonals too."""
    out = mask.clone()
    for one in out:
        labels, count = label(one < 0.5, diagonals=False)
        enclosed = np.ones(count + 1, dtype=bool)
        enclosed[0] = False
        for border in (labels[0], labels[-1], labels[:, 0], labels[:, -1]):
            enclosed[border] = False
        if enclosed.any():
            one[torch.from_numpy(enclosed[labels]).to(one.device)] = 1
    return out


def label(marked: Tensor, diagonals: bool) -> tuple[NDArray[np.int32], int]:
    """Connected parts of `marked` `[H, W]` (bool), numbered from 1, and how many there are."""
    labels = np.empty(marked.shape, np.int32)
    structure = ndimage.generate_binary_structure(2, 2 if diagonals else 1)
    ndimage.label(marked.cpu().numpy(), structure, output=labels)
    return labels, int(labels.max(initial=0))


def found(mask: Tensor, floor: float = FLOOR) -> Tensor:
    """Where there is something in `mask` `[B, H, W]`, as bool: what exceeds `floor`, with its soft edges.

    A soft edge is what hangs together with it above NOISE, and beyond that, above 0, no further than REACH
    (hysteresis, as in J. Canny, "A computational approach to edge detection", 1986). Faint specks, such as
    those in a mask that was a JPEG, are nothing. In a mask without any higher level the floor is half of its
    highest one. This is for finding; what is blended keeps all levels. A floor of 0 finds all above 0.
    """
    there = mask > 0
    if floor <= 0 or torch.equal(there, mask > floor):
        return there
    for one, levels in zip(there, mask, strict=True):
        rows, columns = (one.any(axis).nonzero().flatten() for axis in (1, 0))
        if len(rows) == 0:
            continue
        # Beyond this box there is nothing to be found.
        box = (slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1))
        marked, part = one[box], levels[box]
        peak = float(part.max())
        core = _reaching(part > NOISE, part > min(floor, peak / 2))
        near = grow(core[None].float(), REACH)[0] > 0
        marked.copy_(_reaching(marked & near, core))
    return there


def _reaching(marked: Tensor, sure: Tensor) -> Tensor:
    """The connected parts of `marked` `[H, W]` (bool) that hold something `sure`."""
    labels, count = label(marked, diagonals=True)
    numbers = torch.from_numpy(labels).to(marked.device).long()
    held = torch.zeros(count + 1, dtype=torch.bool, device=marked.device)
    held[numbers[sure & marked]] = True
    return held[numbers]


def split_objects(mask: Tensor, limit: int, floor: float = FLOOR) -> Tensor:
    """The mask's separate objects `[N, H, W]`, largest first, at most `limit`.

    Objects are connected (diagonals too) parts of what is `found`, with the mask's own levels; those of a
    batch follow one another. Without any, one mask of zeros. Raises ValueError where memory is too small.
    """
    # Chosen first, made then: noise has a million objects.
    parts: list[tuple[int, int, int]] = []
    labelled = []
    for index, there in enumerate(found(mask, floor)):
        labels, count = label(there, diagonals=True)
        labelled.append(torch.from_numpy(labels).to(mask.device))
        sizes = torch.bincount(labelled[-1].flatten(), minlength=count + 1)[1:]
        best = sizes.argsort(descending=True, stable=True)[:limit].tolist()
        parts += [(int(sizes[number]), index, number + 1) for number in best]
    parts.sort(key=lambda item: -item[0])
    chosen = parts[:limit]
    if not chosen:
        return torch.zeros_like(mask[:1])
    _room_for_objects(len(chosen), mask)
    objects = mask.new_empty(len(chosen), *mask.shape[1:])
    for target, (_, index, number) in zip(objects, chosen, strict=True):
        torch.mul(mask[index], labelled[index] == number, out=target)
    return objects


def _room_for_objects(count: int, mask: Tensor) -> None:
    """Raises ValueError unless there is room for as many masks of the size of `mask` `[B, H, W]`."""
    need_room(
        count * mask[0].nbytes,
        f"{count} objects of {mask.shape[2]}x{mask.shape[1]} pixels",
        "lower max_objects",
        mask.device,
    )


def split_frames(mask: Tensor, limit: int, floor: float = FLOOR) -> Tensor:
    """The objects of a video's mask `[F, H, W]`, each followed through it: `[N * F, H, W]`.

    A mask a frame for the largest object, then for the next one, at most `limit` of them. An object is what
    hangs together in time as well: parts that overlap or touch from one frame to the next are one. Without
    any, one mask of zeros a frame.
    """
    labels = np.empty(mask.shape, np.int32)
    structure = ndimage.generate_binary_structure(3, 3)
    ndimage.label(found(mask, floor).cpu().numpy(), structure, output=labels)
    numbers = torch.from_numpy(labels).to(mask.device)
    sizes = torch.bincount(numbers.flatten())[1:]
    order = sizes.argsort(descending=True, stable=True)[:limit].tolist()
    _room_for_objects(len(order) * len(mask), mask)
    return torch.cat([torch.where(numbers == index + 1, mask, 0) for index in order] or [mask * 0])


@in_float32
def pool_to_latent(mask: Tensor, multiple: int = 8, how: str = "max") -> Tensor:
    """The mask at latent size `[B, ceil(H / multiple), ceil(W / multiple)]`.

    "max": a latent pixel is free if any of its pixels is, so that a stroke of one pixel survives;
    "area": by the share of its pixels. The host's own reduction looks at 4 pixels of 64.
    """
    down, right = -mask.shape[-2] % multiple, -mask.shape[-1] % multiple
    padded = functional.pad(mask.unsqueeze(1), (0, right, 0, down), mode="replicate").squeeze(1)
    cells = padded.unflatten(2, (-1, multiple)).unflatten(1, (-1, multiple))  # BHW -> Bhpwq
    return cells.amax((2, 4)) if how == "max" else cells.mean((2, 4))


def latent_blocks(mask: Tensor, multiple: int = 8, how: str = "max") -> Tensor:
    """The mask `[B, H, W]` in blocks of one value, as `pool_to_latent` reduces it.

    The host's bilinear reduction of this mask gives those very values.
    """
    small = pool_to_latent(mask, multiple, how)
    blocks = small.repeat_interleave(multiple, 1).repeat_interleave(multiple, 2)
    return blocks[:, : mask.shape[1], : mask.shape[2]]


@in_float32
def resize_mask(mask: Tensor, height: int, width: int) -> Tensor:
    """The mask at another size, 0..1; strokes survive: each pixel takes the maximum of those it covers."""
    if mask.shape[1:] == (height, width):
        return mask
    down = (min(height, mask.shape[1]), min(width, mask.shape[2]))
    pooled = functional.adaptive_max_pool2d(mask.unsqueeze(1), down)
    return functional.interpolate(pooled, (height, width), mode="bilinear").squeeze(1).clamp(0, 1)
