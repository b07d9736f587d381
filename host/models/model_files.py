"""Model files as the user picks them, `FOLDER/NAME`: listing, finding and inspecting them."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import folder_paths

from ...core.models.detect import detect
from ...core.models.gguf_header import read_gguf_header
from ...core.models.header import Header
from ...core.models.kinds import KINDS, ModelKind, kind_facts
from ...core.models.pickle_header import read_pickle_header
from ...core.models.safetensors_header import HeaderError, read_header

MODELS = ("checkpoints", "diffusion_models")
ALL = (*MODELS, "loras")
SAFETENSORS = (".safetensors", ".sft")
GGUF = ".gguf"
GGUF_FOLDER = "unet_gguf"
"""Where ComfyUI-GGUF, if it is installed, lists the .gguf files among the diffusion models."""


def model_files(folders: tuple[str, ...] = ALL) -> list[str]:
    """Every model file of these folders, as `FOLDER/NAME`."""
    files = [f"{folder}/{name}" for folder in folders for name in folder_paths.get_filename_list(folder)]
    if "diffusion_models" in folders and GGUF_FOLDER in folder_paths.folder_names_and_paths:
        files += [f"diffusion_models/{name}" for name in folder_paths.get_filename_list(GGUF_FOLDER)]
    return files


def model_path(file: str) -> Path:
    """Where `FOLDER/NAME` lies. Raises ValueError for what is not a file inside a model folder."""
    folder, _, name = file.replace("\\", "/").partition("/")
    if folder not in ALL:
        raise ValueError(f"{file!r} is not in a model folder: expected one of {', '.join(ALL)}, then a name.")
    inside = PurePosixPath(name)
    if not name or inside.is_absolute() or ".." in inside.parts or PureWindowsPath(name).drive:
        raise ValueError(f"{file!r} leads outside the folder {folder}: pick a file from the list.")
    path = folder_paths.get_full_path(folder, name)
    if path is None:
        roots = folder_paths.get_folder_paths(folder)
        what = "is a folder" if any((Path(root) / name).is_dir() for root in roots) else "was not found"
        raise ValueError(f"{file!r} {what}: pick a file from the list (R refreshes it).")
    return Path(path)


def file_stamp(file: str) -> tuple[int, int]:
    """Changes when the file does."""
    stat = model_path(file).stat()
    return stat.st_mtime_ns, stat.st_size


def header_of(file: str) -> Header:
    """The header of a model file; none of its tensors is read. Raises ValueError."""
    path = model_path(file)
    suffix = path.suffix.lower()
    try:
        if suffix not in (*SAFETENSORS, GGUF):
            return read_pickle_header(path)
        # Unbuffered, so that no more is read than is asked for.
        with path.open("rb", buffering=0) as opened:
            if suffix == GGUF:
                return read_gguf_header(opened)
            return read_header(opened, path.stat().st_size)
    except HeaderError as error:
        raise ValueError(f"{file} {error}.") from error


def inspect(file: str, kind: str = "auto") -> ModelKind:
    """What a model file is, from its header, its name and the user's choice. Raises ValueError."""
    return detect(header_of(file), file.partition("/")[2], kind)


def overview(file: str, kind: str = "auto") -> dict[str, Any]:
    """`inspect` as JSON, with the facts of each kind that it may be. Raises ValueError."""
    if kind not in ("auto", *KINDS):
        raise ValueError(f"There is no kind {kind!r} of models: set `kind` to auto.")
    found = inspect(file, kind)
    kinds = [asdict(facts) | {"meaning": facts.meaning} for facts in map(kind_facts, found.candidates)]
    return {"file": file, **asdict(found), "kinds": kinds}
