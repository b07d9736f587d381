"""Clips cleaned frame by frame, each an entry of the store: a job that was killed goes on at its frame."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import comfy.model_management
import comfy.utils
from torch import Tensor

from ...core.edits.registration import Motion
from ...core.frames.camera import Place
from ...core.frames.clip import Clip, check_clip
from ...core.frames.plate import Behind, CleanPlate
from ...core.loop.keys import hashed, root_key
from ...core.loop.plan import content_hash
from ...core.pictures.crop import Box
from ...core.store.entries import DamagedEntry, Entry
from ...core.store.store import Store
from ..keys.environment import environment
from ..loop.gallery import open_store
from ..models.fill_models import fill_by_name, fill_called


def clean_clip(clip: Clip, name: str, seed: int, window: int) -> tuple[Tensor, Tensor]:
    """The frames `[N, H, W, C]` of a clip without what its masks cover, and where no frame showed what is
    behind it `[N, H, W]`: there stands the fill that is called `name`.

    Raises ValueError for a single frame, and where masks cover every frame wholly.
    """
    check_clip(clip)
    plate = CleanPlate(clip, lambda picture, hole: fill_by_name(picture, hole, name, seed), window)
    store, root = open_store(), _root(clip, name, seed, window)
    store.sweep()
    bar = comfy.utils.ProgressBar(len(clip))
    for index in range(len(clip)):
        comfy.model_management.throw_exception_if_processing_interrupted()
        if bool(clip.hidden(index).any()):
            plate.take(index, _made(plate, index, store, hashed([root, index])))
        bar.update_absolute(index + 1)
    return plate.frames, plate.unseen


def _root(clip: Clip, name: str, seed: int, window: int) -> str:
    """The key of all that decides a clip's frames."""
    return root_key(
        {
            "environment": environment(comfy.model_management.get_torch_device()),
            "frames": content_hash(clip.frames),
            "masks": content_hash(clip.masks),
            "fill": dict(fill_called(name).to_extra().values),
            "seed": seed,
            "window": window,
        }
    )


def _made(plate: CleanPlate, index: int, store: Store, key: str) -> Behind | None:
    """What stands in a frame's hole, from the store if it can prove it, with the places found on the way."""
    with suppress(DamagedEntry):
        entry = store.get(key)
        if entry is not None:
            plate.camera.know(entry.facts["first"], [_place(*place) for place in entry.facts["places"]])
            return Behind(Box(*entry.facts["box"]), entry.tensors["picture"][0], entry.tensors["unseen"][0])
    first = len(plate.camera.places)
    made = plate.make(index)
    if made is not None:
        box = made.box
        facts: dict[str, Any] = {
            "box": [box.top, box.left, box.height, box.width],
            "first": first,
            "places": [
                [place.motion.zoom, place.motion.right, place.motion.down, place.anchor, place.shot]
                for place in plate.camera.places[first:]
            ],
        }
        store.put(key, Entry({"picture": made.pixels[None], "unseen": made.unseen[None]}, facts))
    return made


def _place(zoom: float, right: float, down: float, anchor: int, shot: int) -> Place:
    return Place(Motion(zoom, right, down), anchor, shot)
