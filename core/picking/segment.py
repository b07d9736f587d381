"""Picked points to masks without a model: a click takes its zone, and what is of the same stuff beside it.

One stuff is one hue, however much light or white is in it: by the dichromatic reflection model (S. Shafer,
"Using color to separate reflection components", 1985) shading scales a colour and gloss adds the light's to
it, neither of which leaves the plane through it and the greys. So stripes, dots, shadows and lights of an
object join it, and an object of another hue does not. What surrounds all things, the ground, joins only where
it is clicked itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from scipy import ndimage
from scipy.spatial import KDTree
from torch import Tensor

from ..loop.lens import resize
from .picks import Pick, Point, pixel, pixel_box
from .zones import Zones, zones_of

# A picture is worked on at no more than this, its longer side in pixels.
LONGEST = 768
# The page is shown what was found at no more than this.
SHOWN = 512
# Hues further apart than this in degrees are two; below this length a colour is a grey, which has no hue.
HUE, GREY = 10.0, 0.06
# Nor is one stuff what differs by more in lightness; and in Lab, where it goes on behind something else.
LIGHTER, BEHIND = 45.0, 25.0
# The least share of its outline that a zone has in common with the object that it joins.
TOUCH = 0.1
# A zone with a larger share of the picture's border is ground.
GROUND = 0.2
# A zone with a larger share of its outline on one thing lies on that, and does not go on behind it.
ENCLOSED = 0.8
# A box takes the zones that lie in it by at least this share.
BOXED = 0.9


def segment(picture: Tensor, picks: Sequence[Pick]) -> Tensor:
    """One mask of 0 and 1 a pick `[N, H, W]`, for `picture` `[H, W, C]` in 0..1 with three channels or more.

    A point that adds to one pick takes away from all others; where two lie in one zone it is parted midway.
    """
    height, width = picture.shape[:2]
    small = _small(picture[..., :3])
    zones = zones_of(small)
    masks = []
    for index, pick in enumerate(picks):
        others = [point for at, other in enumerate(picks) if at != index for point in other.add]
        masks.append(torch.from_numpy(_mask(zones, pick, others)))
    stack = torch.stack(masks).float()[..., None]
    return (resize(stack, height, width)[..., 0] > 0.5).float()


def numbered(masks: Tensor) -> Tensor:
    """Which of `masks` `[N, H, W]` (N up to 255) has each pixel, as a grey picture `[1, h, w, 3]` with a
    longer side of SHOWN at most: of 255 the number of the object, from 1; the later lies over the earlier,
    0 is none.
    """
    height, width = masks.shape[1:]
    step = max(1, -(-max(height, width) // SHOWN))
    numbers = torch.arange(1, len(masks) + 1).view(-1, 1, 1).to(masks)
    highest = ((masks[:, ::step, ::step] > 0.5) * numbers).amax(0)
    # Half a level more: who writes eight bits of it may cut.
    return ((highest + 0.5 * (highest > 0)) / 255)[None, ..., None].expand(-1, -1, -1, 3)


def _small(picture: Tensor) -> Tensor:
    height, width = picture.shape[:2]
    scale = LONGEST / max(height, width)
    if scale >= 1:
        return picture
    return resize(picture.float()[None], *(max(1, round(side * scale)) for side in (height, width)))[0]


def _mask(zones: Zones, pick: Pick, others: Sequence[Point]) -> np.ndarray:
    """`[H, W]` bool of one pick; points of `others` are not on it."""
    size = zones.labels.shape
    on = [pixel(point, *size) for point in pick.add]
    off = [pixel(point, *size) for point in (*pick.remove, *others)]
    box = pixel_box(pick, *size)
    seeds = {int(zones.labels[at]) for at in on} or (_boxed(zones, box) if box else set())
    barred = {int(zones.labels[at]) for at in off}
    mask = grown(zones, seeds, barred - seeds)[zones.labels]
    for shared in barred & seeds:
        rows, columns = np.nonzero(zones.labels == shared)
        places = np.stack([rows, columns], -1)
        near, far = (KDTree(points).query(places)[0] for points in (on or places, off))
        mask[rows, columns] = near <= far
    if box:
        top, left, bottom, right = box
        inside = np.zeros(size, bool)
        inside[top:bottom, left:right] = True
        mask &= inside
    return mask


def _boxed(zones: Zones, box: tuple[int, int, int, int]) -> set[int]:
    """The zones that lie in a box; where none does, the one that has most of it."""
    top, left, bottom, right = box
    count = np.bincount(zones.labels[top:bottom, left:right].ravel(), minlength=len(zones.area))
    found = np.flatnonzero(count >= BOXED * zones.area)
    return {int(zone) for zone in found} or {int(count.argmax())}


def grown(zones: Zones, seeds: Iterable[int], barred: Iterable[int]) -> np.ndarray:
    """Which zones `[N]` bool make up the object that `seeds` are of; `barred` ones never do."""
    inside, out = np.zeros((2, len(zones.area)), bool)
    inside[list(seeds)] = True
    out[list(barred)] = True
    out |= (zones.share > GROUND) & ~inside
    outline = _shared(zones, np.ones_like(inside))
    while True:
        least = TOUCH * np.minimum(outline, outline[inside].sum())
        touching = np.flatnonzero((_shared(zones, inside) > least) & ~inside & ~out).tolist()
        new = [zone for zone in touching if _alike(zones, zone, _beside(zones, zone, inside)).any()]
        new = new or _behind(zones, inside, out, outline)
        if not new:
            return inside
        inside[new] = True


def _shared(zones: Zones, some: np.ndarray) -> np.ndarray:
    """Of each zone, how many pixel sides it shares with those of `some`."""
    return np.asarray(zones.contact @ some.astype(float)).ravel()


def _beside(zones: Zones, zone: int, inside: np.ndarray) -> np.ndarray:
    start, end = zones.contact.indptr[zone : zone + 2]
    near = zones.contact.indices[start:end]
    return near[inside[near]]


def _alike(zones: Zones, zone: int, others: np.ndarray) -> np.ndarray:
    """Which of `others` can be of one stuff with `zone`: the same hue or no hue, and no other lightness."""
    tint = zones.rgb - zones.rgb.mean(-1, keepdims=True)
    length = np.linalg.norm(tint, axis=-1)
    turned = tint[others] @ tint[zone] >= np.cos(np.deg2rad(HUE)) * length[others] * length[zone]
    coloured = (length > GREY)[others], length[zone] > GREY
    one_hue = np.where(coloured[0] & coloured[1], turned, coloured[0] == coloured[1])
    return one_hue & (np.abs(zones.lab[others, 0] - zones.lab[zone, 0]) < LIGHTER)


def _behind(zones: Zones, inside: np.ndarray, out: np.ndarray, outline: np.ndarray) -> list[int]:
    """Zones in which the object comes out again from behind what lies over it: of its stuff and tone, beside
    the same third thing, and with no ground on the shortest way between."""
    cover = (_shared(zones, inside) > 0) & ~inside & ~out
    near = _shared(zones, cover)
    own, found, tree, rim = np.flatnonzero(inside), [], None, np.empty(0)
    for zone in np.flatnonzero((near > 0) & (near < ENCLOSED * outline) & ~inside & ~out).tolist():
        tone = np.linalg.norm(zones.lab[own] - zones.lab[zone], axis=-1) < BEHIND
        if not (tone & _alike(zones, zone, own)).any():
            continue
        if tree is None:
            rim = _rim(inside[zones.labels])
            tree = KDTree(rim)
        places = _rim(zones.labels == zone)
        away, to = map(np.asarray, tree.query(places))
        best = int(away.argmin())
        steps = np.linspace(places[best], rim[to[best]], 2 * int(away[best]) + 2).round().astype(int)
        if not (zones.share[zones.labels[steps[:, 0], steps[:, 1]]] > GROUND).any():
            found.append(zone)
    return found


def _rim(mask: np.ndarray) -> np.ndarray:
    """The places `[n, 2]` of a mask's outermost pixels."""
    return np.argwhere(mask & ~ndimage.binary_erosion(mask))
