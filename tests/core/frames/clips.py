"""Clips of which all is known: a ground, a disc that moves over it, and a camera."""

import math

import torch
from torch.nn import functional

RED = torch.tensor([0.9, 0.1, 0.1])


def ground(seed: int, height: int, width: int) -> torch.Tensor:
    """Clouds of several sizes, `[H, W, 3]` in 0..1."""
    generator = torch.Generator().manual_seed(seed)
    made = torch.zeros(3, height, width)
    for octave in range(2, 7):
        cells = torch.randn(1, 3, 2**octave + 1, 2**octave + 1, generator=generator) * 0.6**octave
        made += functional.interpolate(cells, (height, width), mode="bicubic", align_corners=True)[0]
    return ((made - made.amin()) / (made.amax() - made.amin())).movedim(0, -1)


def camera_clip(count, size=72, pan=(0.0, 0.0), zoom=1.0, noise=0.0, light=0.0, seed=1):
    """What a camera shows of a ground that moves by `pan` pixels a frame (right, down) and grows by `zoom`:
    `[N, S, S, 3]`, sampled from a large picture frame by frame."""
    large = ground(seed, 3 * size, 4 * size).movedim(-1, 0)[None]
    at = torch.arange(size, dtype=torch.float64) - (size - 1) / 2
    generator = torch.Generator().manual_seed(seed)
    frames = []
    for index in range(count):
        places = [
            (at - move * index) / zoom**index + middle * size
            for move, middle in zip(pan, (2, 1.5), strict=True)
        ]
        x, y = (2 * (p + 0.5) / side - 1 for p, side in zip(places, (4 * size, 3 * size), strict=True))
        grid = torch.stack(torch.meshgrid(y, x, indexing="ij")[::-1], -1)[None].float()
        shown = functional.grid_sample(large, grid, mode="bicubic", align_corners=False)[0].movedim(0, -1)
        shown = shown * (1 + light * math.sin(index / 3))
        frames.append((shown + noise * torch.randn(shown.shape, generator=generator)).clamp(0, 1))
    return torch.stack(frames)


def disc_masks(count, size=72, radius=9.0, start=0.2, end=0.8):
    """A disc's mask in each frame `[N, S, S]`, on its way across the picture (`start` to `end`, 0..1)."""
    y, x = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    ways = torch.linspace(start, end, count) * size
    return torch.stack([((x - way) ** 2 + (y - size / 2) ** 2 < radius**2).float() for way in ways])


def with_object(truth, masks):
    """The ground with a red thing where the masks are 1."""
    return torch.where(masks[..., None] > 0, RED.to(truth), truth)


def decibels(made, truth, where):
    """PSNR where `where` is true."""
    return -10 * math.log10(float(((made - truth)[where] ** 2).mean()) + 1e-12)


def flicker(frames, hole):
    """The mean change from frame to frame where the hole is in both."""
    both = hole[1:] & hole[:-1]
    return float((frames[1:] - frames[:-1]).abs()[both].mean())
