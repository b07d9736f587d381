"""Where runs live on disk: the store under ComfyUI's user directory, pictures under its output directory."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import folder_paths
import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from safetensors.torch import load_file, save
from torch import Tensor

from ...core.loop.engine import planar
from ...core.loop.plan import Plan
from ...core.loop.store import DamagedEntry, Entry, Store, write_atomic

GIB = 1 << 30
NAME = re.compile(r"[^\W_](?:[\w .()-]{0,98}[\w()-])?")
RESERVED = {"con", "prn", "aux", "nul", *(f"{p}{i}" for p in ("com", "lpt") for i in range(1, 10))}


def check_run_name(name: str) -> None:
    """Raises ValueError for a name that is not a plain folder name on every system."""
    if name and (not NAME.fullmatch(name) or name.split(".")[0].lower() in RESERVED):
        raise ValueError(
            f"The run_name {name!r} can't be used: expected a folder name of letters, digits, spaces and "
            "._-() that starts with a letter or digit, at most 100 characters, without slashes."
        )


def open_store() -> Store:
    """The store of finished iterations, with the size that the user set (ISI.StoreGiB, 0 = off)."""
    return Store(_home() / "store", int(setting("ISI.StoreGiB", 2) * GIB))


def setting(name: str, default: Any) -> Any:
    """A setting of the front end for the default user, as ComfyUI keeps it on disk."""
    path = Path(folder_paths.get_user_directory()) / "default" / "comfy.settings.json"
    try:
        return json.loads(path.read_text("utf-8")).get(name, default)
    except (OSError, ValueError):
        return default


@dataclass(frozen=True)
class Run:
    """ISI_RUN: a handle to the iterations of a run. Pictures stay in the store until asked for."""

    name: str
    keys: tuple[str, ...]
    plan: Plan

    def __len__(self) -> int:
        return len(self.keys)

    def load(self, number: int) -> Entry:
        """Iteration `number`, from 1. Raises ValueError where the run or the store does not have it."""
        if not 1 <= number <= len(self.keys):
            raise ValueError(f"The run {self.name!r} has iterations 1 to {len(self.keys)}, not {number}.")
        try:
            entry = open_store().get(self.keys[number - 1])
        except DamagedEntry:
            entry = None
        if entry is None:
            raise ValueError(
                f"Iteration {number} of the run {self.name!r} is no longer in the store: queue the run "
                "again, or raise the store's size in ComfyUI's settings."
            )
        return Entry({**entry.tensors, "picture": planar(entry.tensors["picture"])}, entry.facts)

    def save(self) -> None:
        """Writes down which iterations make up this run, so that it can be opened by name."""
        value = {"version": 1, "name": self.name, "keys": self.keys, "plan": self.plan.to_json()}
        if self.plan.assets:
            write_atomic(_manifest(self.name).with_suffix(".safetensors"), save(dict(self.plan.assets)))
        write_atomic(_manifest(self.name), json.dumps(value).encode())


def open_run(name: str) -> Run:
    """The run of that name, up to its last iteration in the store. Raises ValueError where there is none."""
    check_run_name(name)
    try:
        value = json.loads(_manifest(name).read_bytes())
    except OSError as error:
        known = ", ".join(sorted(path.stem for path in (_home() / "runs").glob("*.json"))[:20]) or "none yet"
        raise ValueError(f"There is no run named {name!r}. Runs: {known}.") from error
    assets = _manifest(name).with_suffix(".safetensors")
    plan = Plan.from_json(value["plan"], load_file(assets) if assets.is_file() else {})
    store = open_store()
    last = max((i for i, key in enumerate(value["keys"], 1) if store.has(key)), default=0)
    if not last:
        raise ValueError(f"The run {name!r} has no iterations in the store any more: queue it again.")
    return Run(name, tuple(value["keys"][:last]), plan)


def overview(name: str) -> dict[str, Any]:
    """What the front end shows of a run: how many iterations it has, and those whose picture is on disk.

    Raises ValueError where there is no such run, or none of its pictures.
    """
    check_run_name(name)
    try:
        value = json.loads(_manifest(name).read_bytes()) if name else {}
        steps, keys = value["plan"]["steps"], value["keys"]
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(f"There is no run named {name!r} any more: queue it again.") from error
    iterations = [
        {
            "iteration": index + 1,
            "label": (step["label"] or step["prompt"])[:200],
            "picture": picture_name(name, index, key),
        }
        for index, (step, key) in enumerate(zip(steps, keys, strict=False))
        if picture_path(picture_name(name, index, key)).is_file()
    ]
    if not iterations:
        raise ValueError(f"The pictures of the run {name!r} are no longer in output/isi: queue it again.")
    return {"run": name, "of": len(keys), "iterations": iterations}


def run_stamp(name: str) -> str:
    """Changes when the run of that name changes on disk."""
    path = _manifest(name)
    return f"{path.stat().st_mtime_ns}" if NAME.fullmatch(name) and path.is_file() else ""


def picture_name(run: str, index: int, key: str) -> dict[str, str]:
    """Where an iteration's picture is, as the front end names files. The key keeps edits from overwriting."""
    return {"filename": f"{index + 1:04d}-{key[:8]}.png", "subfolder": f"isi/{run}", "type": "output"}


def picture_path(name: Mapping[str, str], batch: int = 0) -> Path:
    """The file behind `picture_name`; further pictures of a batch have their number in the name."""
    path = Path(folder_paths.get_output_directory()) / name["subfolder"] / name["filename"]
    return path.with_stem(f"{path.stem}-{batch + 1}") if batch else path


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


def _home() -> Path:
    return Path(folder_paths.get_user_directory()) / "isi"


def _manifest(name: str) -> Path:
    return _home() / "runs" / f"{name}.json"
