"""What a picture says of how it was made, whoever wrote it, and the same in ComfyUI's words."""

from __future__ import annotations

import re
from collections.abc import Container
from dataclasses import dataclass

from . import names

SEEDS = 2**64
MOST_STEPS = 10_000
LARGEST_CFG = 100.0
LARGEST_SIDE = 16_384
_SIZE = re.compile(r"\s*(\d{1,6})\s*[xX×]\s*(\d{1,6})\s*")
_SAID = {"steps", "seed", "cfg scale", "size", "sampler", "schedule type", "denoising strength", "version"}


@dataclass(frozen=True)
class Infotext:
    """`settings` are pairs of A1111's names and their values as text, in the order of the text."""

    prompt: str = ""
    negative: str = ""
    settings: tuple[tuple[str, str], ...] = ()

    def get(self, name: str) -> str | None:
        """The value of a setting, whatever its case; None if it is not there."""
        return next((value for key, value in self.settings if key.lower() == name.lower()), None)


@dataclass(frozen=True)
class Values:
    """Settings as ComfyUI's widgets take them; None where the picture does not say, or says what none can.

    `notes` has a sentence for each setting that no widget takes.
    """

    seed: int | None = None
    steps: int | None = None
    cfg: float | None = None
    denoise: float | None = None
    width: int | None = None
    height: int | None = None
    sampler: str | None = None
    scheduler: str | None = None
    notes: tuple[str, ...] = ()


def values(info: Infotext, samplers: Container[str], schedulers: Container[str]) -> Values:
    """The settings of an infotext in ComfyUI's words; `samplers` and `schedulers` are those that it has."""
    notes: list[str] = []

    def number(name: str, low: float, high: float, whole: bool = False) -> float | int | None:
        text = info.get(name)
        if text is None:
            return None
        try:
            value = int(text) if whole else float(text)
        except ValueError:
            value = None
        if value is None or not low <= value <= high:
            notes.append(f"{name}: {_short(text)} is not from {low:g} to {high:g}, and was left out.")
            return None
        return value

    seed = number("Seed", 0, SEEDS - 1, whole=True)
    steps = number("Steps", 1, MOST_STEPS, whole=True)
    cfg = number("CFG scale", 0, LARGEST_CFG)
    denoise = number("Denoising strength", 0, 1)
    if denoise is not None and info.get("Hires upscale") is not None:
        denoise = None  # that of A1111's second pass
        notes.append(f"Denoising strength: {info.get('Denoising strength')} was that of the hires pass.")
    width = height = None
    if (size := info.get("Size")) is not None:
        found = _SIZE.fullmatch(size)
        if found and all(16 <= int(side) <= LARGEST_SIDE for side in found.groups()):
            width, height = int(found[1]), int(found[2])
        else:
            notes.append(f"Size: {_short(size)} is no width and height, and was left out.")
    name, kind = info.get("Sampler"), info.get("Schedule type")
    sampler = scheduler = None
    if name is not None:
        sampler, scheduler = names.host_names(name, kind)
        sampler = next((each for each in (name, sampler) if each and each in samplers), None)
    elif kind is not None:
        scheduler = names.host_names("", kind)[1]
    scheduler = next((each for each in (kind, scheduler) if each and each in schedulers), None)
    if name is not None and sampler is None:
        notes.append(f"Sampler: ComfyUI has none that is {_short(name)}: choose one.")
    if kind is not None and scheduler is None:
        notes.append(f"Schedule type: ComfyUI has none that is {_short(kind)}: choose one.")
    notes += [
        f"{name}: {_short(value)} has no widget here."
        for name, value in info.settings
        if name.lower() not in _SAID
    ]
    said = seed, steps, cfg, denoise, width, height, sampler, scheduler
    return Values(*said, tuple(notes))  # type: ignore[arg-type]


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= 80 else text[:79] + "…"
