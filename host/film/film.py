"""A film of the iterations of a run, or of a batch: pictures come one at a time, and it is saved whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import comfy.cli_args
import comfy.model_management
import comfy.utils
import folder_paths
from torch import Tensor

from ...core.film.film import Timing, box_of, frame_count, framed, timeline
from ...core.loop.room import need_room
from ...core.store.disk import write_atomic
from ..loop.gallery import Run
from ..loop.notes import graph_notes
from .encode import encode

MOST_FRAMES = 100_000


@dataclass(frozen=True)
class Pictures:
    """Pictures `[H, W, C]` by their number from 0, and their (height, width)."""

    sizes: list[tuple[int, int]]
    get: Callable[[int], Tensor]


def of_batch(images: Tensor) -> Pictures:
    """The pictures of an IMAGE `[B, H, W, C]`."""
    return Pictures([(images.shape[1], images.shape[2])] * len(images), lambda number: images[number])


def of_run(run: Run) -> Pictures:
    """The iterations of a run; of a batch that was carried, its first picture."""
    return Pictures(
        [run.size(number) for number in range(1, len(run) + 1)], lambda number: _one(run, number + 1)
    )


def _one(run: Run, number: int) -> Tensor:
    return next(run.pictures([number]))[0]


def save_film(
    pictures: Pictures, timing: Timing, form: str, longest: int, prefix: str, prompt: Any, extra: Any
) -> dict[str, str]:
    """Saves a film under the next free name of `prefix` in the output folder, and says where, as the front
    end names files. Raises ValueError for one without pictures or with too many frames, OSError."""
    if not pictures.sizes:
        raise ValueError("ISI Film got no pictures: connect at least one.")
    many = frame_count(len(pictures.sizes), timing)
    if many > MOST_FRAMES:
        raise ValueError(
            f"This film would have {many:,} frames, and {MOST_FRAMES:,} at most are made: set hold, "
            "cross_fade or fps lower."
        )
    box = box_of(pictures.sizes, longest)
    need_room(box[0] * box[1] * 3 * 4 * 8, "A frame of the film", "set longest_side lower")
    near = lru_cache(maxsize=2)(lambda number: framed(pictures.get(number).cpu(), box))
    progress = comfy.utils.ProgressBar(many)

    def drawn() -> Iterator[Tensor]:
        for frame in timeline(len(pictures.sizes), timing):
            comfy.model_management.throw_exception_if_processing_interrupted()
            first = near(frame.first)
            yield first if frame.mix == 0 else first.lerp(near(frame.second), frame.mix)
            progress.update(1)

    folder, name, counter, subfolder, _ = folder_paths.get_save_image_path(
        prefix, folder_paths.get_output_directory(), box[1], box[0]
    )
    notes: Mapping[str, str] = {} if comfy.cli_args.args.disable_metadata else graph_notes(prompt, extra)
    data = encode(drawn(), form, timing.fps, notes)
    file = f"{name}_{counter:05}_.{form}"
    write_atomic(Path(folder, file), data)
    return {"filename": file, "subfolder": subfolder, "type": "output"}
