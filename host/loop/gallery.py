"""Where runs live on disk: the store under ComfyUI's user directory, pictures under its output directory."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Any

import folder_paths
import numpy as np
import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from safetensors.torch import save
from torch import Tensor

from ...core.choosing.answers import AnswerFile
from ...core.choosing.course import Asked
from ...core.loop.lens import planar
from ...core.loop.plan import Plan, content_hash
from ...core.loop.room import need_room
from ...core.store.disk import sweep, write_atomic
from ...core.store.entries import DamagedEntry, Entry, read_tensors
from ...core.store.index import Known, RunIndex
from ...core.store.manifests import is_run_name
from ...core.store.store import DEFAULT_LIMIT, KEY, Store
from .home import home, number_setting
from .manifest import (
    answers_path,
    find_key,
    manifest_path,
    named_in_versions,
    present_name,
    read_manifest,
    run_index,
    versions,
    write_manifest,
)
from .progress import say_on_node
from .stars import read_stars

log = logging.getLogger("isi")

GIB, MOST_GIB = 1 << 30, 1 << 30
MOST_OF_A_BATCH = 4096
PAGE = 1000
"""How many iterations of a run the front end is told of at once."""


def check_run_name(name: str) -> None:
    """Raises ValueError for a name that is not a plain folder name on every system."""
    if name and not is_run_name(name):
        raise ValueError(
            f"The run_name {name[:100]!r} can't be used: expected a folder name of letters, digits, spaces "
            "and ._-() that starts with a letter or digit, without slashes, at most 100 characters and 200 "
            "bytes (66 Chinese or Korean letters)."
        )


def open_store(user: str | None = None) -> Store:
    """The store of finished iterations, with the size that its user set (ISI.StoreGiB, 0 = off)."""
    wanted = number_setting("ISI.StoreGiB", DEFAULT_LIMIT // GIB, user)
    return Store(home(user) / "store", int(min(wanted, MOST_GIB) * GIB))


@dataclass(frozen=True)
class Run:
    """ISI_RUN: a handle to the iterations of a run. Pictures stay in the store until asked for.

    `family` and `environment` are what its manifest says besides: whose versions it belongs to
    (`host/loop/manifest.py`), and all but the steps that its pictures depend on. `changed` says in words why
    it was made from its first step on. `asked` are its choices; it is `open` while more steps follow than
    `keys` are known, up to a choice.
    """

    name: str
    keys: tuple[str, ...]
    plan: Plan
    family: str = ""
    environment: Any = None
    changed: tuple[str, ...] = ()
    asked: tuple[Asked, ...] = ()
    open: bool = False

    def __len__(self) -> int:
        return len(self.keys)

    def load(self, number: int) -> Entry:
        """Iteration `number`, from 1. Raises ValueError where the run or the store does not have it."""
        if not 1 <= number <= len(self.keys):
            raise ValueError(f"The run {self.name!r} has iterations 1 to {len(self.keys)}, not {number}.")
        entry = _stored(open_store(), self.keys[number - 1])
        if entry is None:
            raise ValueError(
                f"Iteration {number} of the run {self.name!r} is no longer in the store, bit for bit: queue "
                f"the run again with redo_from {number}, or raise the store's size in ComfyUI's settings."
            )
        return Entry({**entry.tensors, "picture": planar(entry.tensors["picture"])}, entry.facts)

    def pictures(self, numbers: Sequence[int]) -> Iterator[Tensor]:
        """The pictures `[B, H, W, C]` of some iterations, from 1; what the store has dropped, from its PNG.

        Says on the node and in the log which have 8 bits only. Raises ValueError where one has neither.
        """
        rounded, store = [], open_store()
        for number in numbers:
            key = self.keys[number - 1]
            entry = _stored(store, key, ["picture"])
            if entry is not None:
                yield planar(entry.tensors["picture"])
                continue
            picture = saved_pictures(picture_name(self.name, number - 1, key), key)
            if picture is None:
                raise ValueError(
                    f"Iteration {number} of the run {self.name!r} is neither in the store any more nor in "
                    f"output/isi: queue the run again with redo_from {number}."
                )
            rounded.append(number)
            yield picture
        if rounded:
            say_on_node(
                f"{len(rounded)} of {len(numbers)} pictures come from the PNG files of the run (8 bits a "
                f"channel): the store has dropped them (iteration {rounded[0]} to {rounded[-1]})."
            )

    def size(self, number: int) -> tuple[int, int]:
        """The (height, width) of iteration `number`, from 1. Raises ValueError as `pictures` does."""
        path = picture_path(picture_name(self.name, number - 1, self.keys[number - 1]))
        with suppress(OSError, ValueError, SyntaxError), Image.open(path, formats=["PNG"]) as image:
            return image.height, image.width
        return tuple(next(self.pictures([number])).shape[1:3])  # type: ignore[return-value]

    def save(self, version: str) -> None:
        """Writes down which iterations make up this run, so that it can be opened by name.

        `version` tells what was planned: the key of the plan's last step, also where the run settled before.
        """
        if self.plan.assets:
            # An earlier version that is opened by its key needs its own masks, not those of the last edit.
            kept: dict[str, Tensor] = {}
            with suppress(ValueError):  # a file larger than memory is none that was written here
                kept = _masks(self.name)
            named = named_in_versions(kept, self.family or self.name)
            kept = {mask: tensor for mask, tensor in kept.items() if mask in named} | dict(self.plan.assets)
            # Masks may be views of one batch, which this format does not take.
            whole = {mask: tensor.contiguous().clone() for mask, tensor in kept.items()}
            write_atomic(manifest_path(self.name).with_suffix(".safetensors"), save(whole))
        value = {
            "name": self.name,
            "keys": self.keys,
            "plan": self.plan.to_json(),
            "environment": self.environment,
            "changed": self.changed,
            "open": self.open,
            "asked": [asdict(one) for one in self.asked],
        }
        write_manifest(value, version, self.family or self.name)


def sweep_leftovers(run: Run) -> None:
    """Removes what killed writers left in all folders that this run writes to."""
    open_store().sweep()
    pictures = picture_path(picture_name(run.name, 0, "")).parent
    versions_of = home() / "runs" / "versions" / (run.family or run.name)
    for folder in (home(), home() / "runs", versions_of, home() / "stars", pictures):
        sweep(folder)


def _stored(store: Store, key: str, names: Iterable[str] | None = None) -> Entry | None:
    """What the store has of an iteration to look at; None where that is not whole."""
    try:
        return store.get(key, names, first_version=True)
    except DamagedEntry as error:
        log.warning("%s: it is no longer used.", error)
        return None


def open_run(name: str, key: str = "") -> tuple[Run, int]:
    """A run, and one of its iterations, from 1: its last one in the store, or the one that `key` names.

    With a key, which is the iteration's for ever, the run is the version that has it, and needs no name.
    Raises ValueError where there is none.
    """
    check_run_name(name)
    if key:
        return _open_key(name, key.strip())
    value = _manifest(name)
    if not value["keys"]:
        raise ValueError(
            f"The run {name!r} waits for a choice at its first iteration: choose a candidate, and "
            "queue it again."
        )
    run = _run(value)
    store = open_store()
    last = next((n for n in range(len(run), 0, -1) if store.has(run.keys[n - 1])), 0)
    if not last:
        raise ValueError(f"The run {name!r} has no iterations in the store any more: queue it again.")
    return replace(run, keys=run.keys[:last]), last


def _open_key(name: str, key: str) -> tuple[Run, int]:
    if not KEY.fullmatch(key):
        raise ValueError(
            f"The key of an iteration is 32 hex digits, but {key[:40]!r} came: take it from the strip of "
            "ISI Iterate, or leave it empty and name a run."
        )
    found = find_key(key, name)
    if found is None:
        raise ValueError(f"There is no run with the iteration {key} any more: queue its run again.")
    value, index = found
    return _run(value), index + 1


def _manifest(name: str) -> dict[str, Any]:
    try:
        return read_manifest(manifest_path(present_name(name)))
    except OSError as error:
        known = ", ".join(sorted(path.stem for path in (home() / "runs").glob("*.json"))[:20]) or "none yet"
        raise ValueError(f"There is no run named {name!r}. Runs: {known}.") from error


def _run(value: Mapping[str, Any]) -> Run:
    name = value["name"]
    plan = Plan.from_json(value["plan"], _masks(name))
    return Run(name, tuple(value["keys"]), plan, value["family"], value.get("environment"))


def _masks(name: str) -> dict[str, Tensor]:
    """The masks beside a manifest. They are named by their content, and one that is another is left out."""
    path = manifest_path(name).with_suffix(".safetensors")
    if not path.is_file():
        return {}
    size = path.stat().st_size
    need_room(size, f"The file of masks of the run {name!r}", "queue the run again to write it anew")
    try:
        with path.open("rb") as file:
            found = read_tensors(file, size)
    except (DamagedEntry, OSError) as error:
        log.warning("The masks of the run %r can't be used: the file %s.", name, error)
        return {}
    return {each: mask for each, mask in found.items() if content_hash(mask) == each}


def overview(name: str, first: int = 1, count: int = PAGE, user: str | None = None) -> dict[str, Any]:
    """What the front end shows of a run: how many iterations it has, and those whose picture is on disk.

    Only iterations `first` to `first + count - 1` are looked at; `next` is where to go on, or None.
    The first page has more: `versions` are the run's earlier versions, newest first, in the same form, with
    the time (s) when each was `saved`; `changed` says what differed from the run before, if it was made anew;
    `starred` are the file names of pictures with a star, None where nobody gave one. Raises ValueError where
    there is no such run, or none of its pictures.
    """
    check_run_name(name)
    gone = ValueError(f"There is no run named {name!r} any more: queue it again.")
    if not name:
        raise gone
    index, name = run_index(user), present_name(name, user)
    try:
        value = index.read(manifest_path(name, user))
    except OSError as error:
        raise gone from error
    first, count = max(1, first), min(max(1, count), PAGE)
    answers = AnswerFile(answers_path(value.family, user))  # its earlier versions are of the same family
    shown = _shown(index, value, first, count, answers)
    if not shown["iterations"] and not shown["choices"] and first == 1 and shown["next"] is None:
        raise ValueError(f"The pictures of the run {name!r} are no longer in output/isi: queue it again.")
    if first > 1:
        return shown
    earlier = [
        _shown(index, each, first, count, answers) | {"saved": each.saved} for each in versions(value, index)
    ]
    return shown | {"changed": list(value.changed), "versions": earlier, "starred": read_stars(name, user)}


def _shown(index: RunIndex, value: Known, first: int, count: int, answers: AnswerFile) -> dict[str, Any]:
    """A page of a manifest; of its choices those that were made since, too."""
    keys, labels = index.keys(value.path, first - 1, count), index.labels(value, first - 1, count)
    asked = index.asked(value.path)
    iterations = [
        {"iteration": number, "label": label, "picture": picture, "key": key}
        for number, (key, label) in enumerate(zip(keys, labels, strict=True), first)
        if picture_path(picture := picture_name(value.name, number - 1, key)).is_file()
    ]
    following = first + count
    choices = [
        {
            "iteration": one["index"] + 1,
            "chosen": None if (chosen := answers.get(one["question"])) is None else chosen + 1,
            "candidates": [
                {"picture": picture_name(value.name, one["index"], key), "key": key, "seed": str(seed)}
                for key, seed in zip(one["keys"], one["seeds"], strict=True)
            ],
        }
        for one in asked["asked"]
        if first <= one["index"] + 1 < following
    ]
    return {
        "run": value.name,
        "of": asked["steps"] if asked["open"] else value.count,
        "iterations": iterations,
        "choices": choices,
        "next": following if following <= value.count else None,
    }


def run_stamp(name: str) -> str:
    """Changes when the run of that name changes on disk."""
    path = manifest_path(name)
    return f"{path.stat().st_mtime_ns}" if is_run_name(name) and path.is_file() else ""


def picture_name(run: str, index: int, key: str) -> dict[str, str]:
    """Where an iteration's picture is, as the front end names files. The key keeps edits from overwriting."""
    return {"filename": f"{index + 1:04d}-{key[:8]}.png", "subfolder": f"isi/{run}", "type": "output"}


def picture_path(name: Mapping[str, str], batch: int = 0) -> Path:
    """The file behind `picture_name`; further pictures of a batch have their number in the name."""
    path = Path(folder_paths.get_output_directory()) / name["subfolder"] / name["filename"]
    return path.with_stem(f"{path.stem}-{batch + 1}") if batch else path


def saved_pictures(name: Mapping[str, str], key: str) -> Tensor | None:
    """The pictures `[B, H, W, 3 or 4]` that were saved of the iteration `key`; None if damaged."""
    pictures = []
    try:
        for batch in range(MOST_OF_A_BATCH):
            path = picture_path(name, batch)
            if batch and not path.is_file():
                break
            with Image.open(path, formats=["PNG"]) as image:
                story = json.loads(image.info.get("isi", "{}"))
                if image.mode not in ("RGB", "RGBA") or story.get("key", key) != key:
                    return None
                size = image.width * image.height * 4 * len(image.mode)
                need_room(size, f"The picture {path.name}", "close other programs")
                pictures.append(torch.from_numpy(np.array(image)).float() / 255)
        return torch.stack(pictures)
    except (OSError, SyntaxError, TypeError, AttributeError, RuntimeError, RecursionError):
        return None
    except (ValueError, Image.DecompressionBombError) as error:
        log.warning("The picture %s can't be read: %s", name["filename"], error)
        return None


def save_pictures(name: Mapping[str, str], pictures: Tensor, notes: Mapping[str, str]) -> None:
    """Writes `[B, H, W, 3 or 4]` as PNG files that carry `notes`. Raises OSError."""
    info = PngInfo()
    for key, text in notes.items():
        info.add_text(key, text)
    for batch, picture in enumerate(pictures):
        levels = picture.clamp(0, 1).mul(255).round().to(torch.uint8).cpu().numpy()
        file = BytesIO()
        Image.fromarray(levels).save(file, "PNG", pnginfo=info, compress_level=1)
        write_atomic(picture_path(name, batch), file.getvalue())
