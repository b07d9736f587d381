"""Judges the pictures of a workflow by the expectations that stand beside its API form.

`workflows/api/NAME.expect.json` is a list; each entry names the output that it looks at, `"of": [node, slot]`
(an image or a run), with `"number": 2` one picture of it alone (else every one), and says what has to be true:

| Key | What is true |
|---|---|
| `shapes` | these and no others: `{"colour": "red", "kind": "star", "size": "large", "place": "left"}`, what is left out may be anything; `overlap` is the least IoU with its template, .8 if not said |
| `lab` | the mean of each shape, and of what is round them, is no further than this from its colour under some light (CIE Lab, L halved) |
| `background`, `light` | the colour of the rim; the side that the light comes from |
| `size` | width and height |
| `keeps` | `{"of": [node, slot], "mask": [node, slot], "at": [x, y], "within": 0}`: outside the mask (widened by `grow` pixels; or `inside` it), the picture that was put in at this place is still there, to `within` of 255 |
| `joins` | `{"columns": [x], "rows": [y], "step": 2}`: no step of more than so many of 255 in the background there |
| `wraps` | the step from the last row or column to the first, at most this many times the largest inside |
| `alike` | `{"of": [node, slot], "psnr": 25}`: brought to the other's size, the picture is that one |
| `rises` | `{"of": [node, slot]}`: in four parts from left to right, ever more of the background has changed against this picture |
| `stripes` | `{"count": 4, "least": 20}` or `"most"`: how strongly (of 255) the rim goes up and down that often from top to bottom |
| `smooth` | `{"mask": [node, slot], "step": 12}`: inside the mask no pixel is so far (of 255) from the ring around it |
"""  # noqa: E501

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from scipy import ndimage
from torch import Tensor
from torch.nn.functional import interpolate, max_pool2d

from . import judge

OVERLAP = 0.8
Expectation = dict[str, Any]
Source = tuple[str, int]
Caught = dict[Source, Tensor]
SOURCES = ("of", "mask")


def sources(expectations: list[Expectation]) -> list[Source]:
    """Every output that the expectations look at."""
    found: list[Source] = []
    for each in expectations:
        for part in (each, *(value for value in each.values() if isinstance(value, dict))):
            found += [(part[key][0], part[key][1]) for key in SOURCES if key in part]
    return list(dict.fromkeys(found))


def faults(expectations: list[Expectation], caught: Caught) -> list[str]:
    """What is not as expected, a line each. `caught` holds pictures `[B, H, W, C]` and masks `[B, H, W]`."""
    lines: list[str] = []
    for each in expectations:
        node, slot = each["of"]
        pictures = caught[node, slot]
        numbers = [each["number"]] if "number" in each else range(1, len(pictures) + 1)
        for number in numbers:
            picture = pictures[number - 1]
            for key, wanted in each.items():
                if key in CHECKS:
                    lines += [
                        f"{node}.{slot} #{number}: {line}" for line in CHECKS[key](picture, wanted, caught)
                    ]
    return lines


def _shapes(picture: Tensor, wanted: list[dict[str, Any]], caught: Caught) -> list[str]:
    found = list(judge.read(picture).shapes)
    if len(found) != len(wanted):
        seen = ", ".join(f"{s.colour} {s.kind}" for s in found) or "nothing"
        return [f"{len(wanted)} shapes expected, {len(found)} seen: {seen}"]
    lines = []
    for told in wanted:
        said = {key: value for key, value in told.items() if key != "overlap"}
        best = max(found, key=lambda s: sum(getattr(s, key) == value for key, value in said.items()))
        found.remove(best)
        lines += [f"{k} {getattr(best, k)}, not {v}" for k, v in said.items() if getattr(best, k) != v]
        least = told.get("overlap", OVERLAP)
        if best.overlap < least:
            lines.append(f"the {best.kind} overlaps its template by {best.overlap:.2f}, not {least}")
    return lines


def _lab(picture: Tensor, most: float, caught: Caught) -> list[str]:
    tones, owner = judge.palette()
    pixels = judge.lab(picture[..., :3].movedim(-1, 0).float())
    seen, lines = judge.read(picture), []
    parts = [(shape.colour, shape.kind, shape.mask) for shape in seen.shapes]
    ground = ~torch.stack([mask for *_, mask in parts]).any(0) if parts else pixels[0] == pixels[0]
    for colour, name, mask in [*parts, (seen.background, "background", ground)]:
        own = tones[owner == judge.NAMES.index(colour)]
        away = float((own - pixels[:, mask].mean(1)).norm(dim=1).min())
        if away > most:
            lines.append(f"the {colour} of the {name} is {away:.1f} from the world's")
    return lines


def _background(picture: Tensor, wanted: str, caught: Caught) -> list[str]:
    seen = judge.read(picture).background
    return [f"background {seen}, not {wanted}"] * (seen != wanted)


def _light(picture: Tensor, wanted: str, caught: Caught) -> list[str]:
    seen = judge.read(picture).light
    return [f"light from the {seen}, not the {wanted}"] * (seen != wanted)


def _size(picture: Tensor, wanted: list[int], caught: Caught) -> list[str]:
    seen = [picture.shape[1], picture.shape[0]]
    return [f"{seen}, not {wanted}"] * (seen != wanted)


def _keeps(picture: Tensor, wanted: Expectation, caught: Caught) -> list[str]:
    old = caught[tuple(wanted["of"])][0]
    left, top = wanted.get("at", (0, 0))
    height, width = old.shape[:2]
    changed = (picture[top : top + height, left : left + width, :3] - old[..., :3]).abs().amax(-1) * 255
    if "mask" in wanted:
        mask = caught[tuple(wanted["mask"])][:1]
        grow = wanted.get("grow", 0)
        spared = max_pool2d(mask, 2 * grow + 1, 1, grow)[0] == 0 if not wanted.get("inside") else mask[0] == 1
        changed = changed[spared]
    most = float(changed.max())
    return [f"{most:.1f} of 255 changed where all should be kept"] * (most > wanted.get("within", 0) + 1e-3)


def _joins(picture: Tensor, wanted: Expectation, caught: Caught) -> list[str]:
    """At a join, the mean step between neighbours in the background, less the mean of the eight around it."""
    seen = judge.read(picture)
    ground = seen.colours == judge.NAMES.index(seen.background)
    lines = []
    for axis, name in ((1, "columns"), (0, "rows")):
        steps = picture[..., :3].mean(-1).diff(dim=axis) * 255
        both = ground.narrow(axis, 1, ground.shape[axis] - 1) & ground.narrow(axis, 0, ground.shape[axis] - 1)
        mean = (steps * both).sum(1 - axis) / both.sum(1 - axis).clamp(min=1)
        for at in wanted.get(name, ()):
            near = torch.cat((mean[max(0, at - 5) : at - 1], mean[at : at + 4]))
            step = float((mean[at - 1] - near.mean()).abs())
            if step > wanted["step"]:
                lines.append(f"a step of {step:.1f} of 255 at {name[:-1]} {at}")
    return lines


def _wraps(picture: Tensor, most: float, caught: Caught) -> list[str]:
    lines = []
    for axis, name in ((1, "columns"), (0, "rows")):
        lanes = picture.movedim(axis, 0)
        usual = float(lanes.diff(dim=0).abs().mean((1, 2)).max())
        across = float((lanes[0] - lanes[-1]).abs().mean())
        if across > most * usual:
            lines.append(f"{name} step over the border by {across / usual:.1f} times the largest step inside")
    return lines


def _alike(picture: Tensor, wanted: Expectation, caught: Caught) -> list[str]:
    other = caught[tuple(wanted["of"])][:1, ..., :3].movedim(-1, 1)
    own = interpolate(picture[None, ..., :3].movedim(-1, 1), size=other.shape[2:], mode="area")
    psnr = float(-10 * torch.log10((own - other).pow(2).mean()))
    return [f"{psnr:.1f} dB from what it was made of"] * (psnr < wanted["psnr"])


def _rises(picture: Tensor, wanted: Expectation, caught: Caught) -> list[str]:
    old = caught[tuple(wanted["of"])][0, ..., :3]
    seen = judge.read(old)
    ground = seen.colours == judge.NAMES.index(seen.background)
    changed = (picture[..., :3] - old).abs().mean(-1) * 255
    parts = [float(c[g].mean()) for c, g in zip(changed.chunk(4, 1), ground.chunk(4, 1), strict=True)]
    said = " ".join(f"{part:.0f}" for part in parts)
    return [f"changed from left to right: {said}"] * (parts != sorted(parts) or parts[0] > 0.25 * parts[-1])


def _smooth(picture: Tensor, wanted: Expectation, caught: Caught) -> list[str]:
    mask = (caught[tuple(wanted["mask"])][0] > 0).numpy()
    grey = picture[..., :3].mean(-1) * 255
    labels, count = ndimage.label(mask)
    lines = []
    for index in range(1, count + 1):
        hole = labels == index
        ring = grey[torch.from_numpy(ndimage.binary_dilation(hole, iterations=6) & ~mask)]
        inner = grey[torch.from_numpy(hole)]
        out = float(torch.maximum(inner - ring.max(), ring.min() - inner).max())
        if out > wanted["step"]:
            lines.append(f"something in hole {index} stands out by {out:.0f} of 255")
    return lines


def _stripes(picture: Tensor, wanted: dict[str, float], caught: Caught) -> list[str]:
    """The amplitude of that frequency in the means of the rows, in the colour that has most of it."""
    height, width = picture.shape[:2]
    edge = max(1, width // 8)
    rows = torch.cat((picture[:, :edge, :3], picture[:, -edge:, :3]), 1).mean(1) * 255
    seen = float(torch.fft.rfft(rows, dim=0)[int(wanted["count"])].abs().max()) * 2 / height
    good = wanted.get("least", 0) <= seen <= wanted.get("most", 255)
    return [] if good else [f"stripes of {seen:.1f} of 255 at the rim"]


CHECKS: dict[str, Callable[[Tensor, Any, Caught], list[str]]] = {
    "shapes": _shapes, "lab": _lab, "background": _background, "light": _light, "size": _size,
    "keeps": _keeps, "joins": _joins, "wraps": _wraps, "alike": _alike, "rises": _rises, "smooth": _smooth,
    "stripes": _stripes,
}  # fmt: skip
