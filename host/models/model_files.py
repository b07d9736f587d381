"""Model files as the user picks them, `FOLDER/NAME`: listing, finding and inspecting them."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, BinaryIO, cast

import folder_paths

from ...core.models.detect import detect
from ...core.models.gguf_header import read_gguf_header
from ...core.models.header import Header
from ...core.models.kinds import KINDS, ModelKind, kind_facts
from ...core.models.pickle_header import read_pickle
from ...core.models.safetensors_header import HeaderError, read_header
from .geometry import geometry_of_file, geometry_of_mini

MODELS = ("checkpoints", "diffusion_models")
ALL = (*MODELS, "loras")
KNOWN = (*ALL, "text_encoders")
"""The folders whose files can be inspected."""
SAFETENSORS = (".safetensors", ".sft")
GGUF = ".gguf"
LONGEST_NAME = 4096
PIECE = 1 << 20
"""Bytes that are read before anybody is asked again whether the answer is still wanted."""
GGUF_FOLDER = "unet_gguf"
"""Where ComfyUI-GGUF, if it is installed, lists the .gguf files among the diffusion models."""
MINI = "mini"
"""Stands for a folder in what the front end asks about an embedded mini model."""
HOST_NODES = {
    "inpaint": "InpaintModelConditioning",
    "instruct-pix2pix": "InstructPixToPixConditioning",
    "upscale-x4": "SD_4XUpscale_Conditioning",
    "zero123": "StableZero123_Conditioning",
    "svd": "SVD_img2vid_Conditioning",
}
"""ComfyUI's own nodes that fill the channels of a kind; they take no MODEL."""


def model_files(folders: tuple[str, ...] = ALL) -> list[str]:
    """Every model file of these folders, as `FOLDER/NAME`."""
    files = [f"{folder}/{name}" for folder in folders for name in folder_paths.get_filename_list(folder)]
    if "diffusion_models" in folders and GGUF_FOLDER in folder_paths.folder_names_and_paths:
        files += [f"diffusion_models/{name}" for name in folder_paths.get_filename_list(GGUF_FOLDER)]
    return files


def model_path(file: str) -> Path:
    """Where `FOLDER/NAME` lies. Raises ValueError for what is not a file inside a model folder."""
    if not file.isprintable() or len(file) > LONGEST_NAME:
        raise ValueError(f"{file[:80]!r} is no name of a file: pick a file from the list.")
    folder, _, name = file.replace("\\", "/").partition("/")
    if folder not in KNOWN:
        raise ValueError(
            f"{file[:300]!r} is not in a model folder: expected one of {', '.join(KNOWN)}, then a name."
        )
    inside = PurePosixPath(name)
    if not name or inside.is_absolute() or ".." in inside.parts or PureWindowsPath(name).drive:
        raise ValueError(f"{file[:300]!r} leads outside the folder {folder}: pick a file from the list.")
    path = folder_paths.get_full_path(folder, name)
    if path is None:
        roots = folder_paths.get_folder_paths(folder)
        # Not Path.is_dir, which raises where a name is longer than the disk has them.
        what = "is a folder" if any(os.path.isdir(Path(root) / name) for root in roots) else "was not found"
        raise ValueError(f"{file[:300]!r} {what}: pick a file from the list (R refreshes it).")
    return Path(path)


def file_stamp(file: str) -> tuple[int, int]:
    """Changes when the file does."""
    stat = model_path(file).stat()
    return stat.st_mtime_ns, stat.st_size


class Stopped(Exception):
    """Nobody waits for the answer any more."""


class _Watched(io.RawIOBase):
    """An open file whose reading ends with Stopped as soon as `stopped` says so."""

    def __init__(self, path: Path, stopped: Callable[[], bool]):
        self.file, self.stopped = path.open("rb", buffering=0), stopped

    def readinto(self, buffer: Any) -> int | None:
        if self.stopped():
            raise Stopped
        return self.file.readinto(memoryview(buffer)[:PIECE])

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        return self.file.seek(offset, whence)

    def tell(self) -> int:
        return self.file.tell()

    def close(self) -> None:
        self.file.close()
        super().close()


def header_of(file: str, stopped: Callable[[], bool] = lambda: False) -> Header:
    """The header of a model file; none of its tensors is read.

    Raises ValueError for a file that can't be used, Stopped once `stopped` says that nobody waits for it.
    """
    path = model_path(file)
    suffix = path.suffix.lower()
    try:
        # Unbuffered, so that no more is read than is asked for.
        with _Watched(path, stopped) as opened:
            if suffix in SAFETENSORS:
                return read_header(cast(BinaryIO, opened), path.stat().st_size)
            with io.BufferedReader(opened, PIECE) as buffered:
                return read_gguf_header(buffered) if suffix == GGUF else read_pickle(buffered)
    except HeaderError as error:
        raise ValueError(f"{file} {error}.") from error
    except OSError as error:
        raise ValueError(f"{file} can't be read: {error.strerror or error}.") from error


def inspect(file: str, kind: str = "auto", stopped: Callable[[], bool] = lambda: False) -> ModelKind:
    """What a model file is, from its header, its name and the user's choice. Raises as `header_of` does."""
    return detect(header_of(file, stopped), file.partition("/")[2], kind)


def overview(file: str, kind: str = "auto", stopped: Callable[[], bool] = lambda: False) -> dict[str, Any]:
    """`inspect` as JSON, with the facts of each kind that it may be. Raises as `header_of` does.

    `geometry` says how the model sees pixels (`geometry.geometry_of`; None where the host can't tell), and of
    each of `kinds` its `host_node`, ComfyUI's own node that fills its channels, or "". `mini/KIND` asks for
    the geometry of an embedded mini model alone.
    """
    folder, _, name = file.partition("/")
    if folder == MINI:
        return {"file": file, "geometry": geometry_of_mini(name)}
    if kind not in ("auto", *KINDS):
        raise ValueError(f"There is no kind {kind[:40]!r} of models: set `kind` to auto.")
    header = header_of(file, stopped)
    found = detect(header, name, kind)
    kinds = [
        asdict(facts) | {"meaning": facts.meaning, "host_node": HOST_NODES.get(facts.name, "")}
        for facts in map(kind_facts, found.candidates)
    ]
    return {"file": file, **asdict(found), "kinds": kinds, "geometry": geometry_of_file(header)}
