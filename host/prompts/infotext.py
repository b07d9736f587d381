"""Infotexts of pictures in the words of this ComfyUI."""

from __future__ import annotations

import os
from dataclasses import asdict
from typing import Any

import comfy.samplers
import folder_paths

from ...core.infotext import pictures
from ...core.infotext.info import Infotext, values
from ...core.infotext.script_text import as_group

SAMPLERS: list[str] = comfy.samplers.KSampler.SAMPLERS
SCHEDULERS: list[str] = comfy.samplers.KSampler.SCHEDULERS


def input_pictures() -> list[str]:
    """The names of the pictures in ComfyUI's input folder, as Load Image lists them."""
    folder = folder_paths.get_input_directory()
    names = [entry.name for entry in os.scandir(folder) if entry.is_file()]
    return sorted(folder_paths.filter_files_content_types(names, ["image"]))


def picture_stamp(name: str) -> str:
    """Changes when an input picture of that name does. Raises ValueError where there is none."""
    if not folder_paths.exists_annotated_filepath(name):
        raise ValueError(f"There is no picture {name!r} in ComfyUI's input folder: choose another one.")
    stat = os.stat(folder_paths.get_annotated_filepath(name))
    return f"{name} {stat.st_mtime_ns} {stat.st_size}"


def read_file(name: str) -> dict[str, Any]:
    """`in_our_words` of an input picture. Raises ValueError for one that says nothing, OSError."""
    picture_stamp(name)
    path = folder_paths.get_annotated_filepath(name)
    if os.path.getsize(path) > pictures.LARGEST:
        raise ValueError(f"{name} is larger than any picture that can be read: choose another one.")
    with open(path, "rb") as file:
        return in_our_words(pictures.read_picture(file.read()))


def read_infotext(text: str) -> dict[str, Any]:
    """`in_our_words` of a text. Raises ValueError for one that says nothing."""
    info = pictures.read_text(text)
    if info is None:
        raise ValueError("This text is no infotext: paste the generation data of a picture.")
    return in_our_words(info)


def read_dropped(data: bytes, is_text: bool) -> dict[str, Any]:
    """`in_our_words` of a picture file, or of a text in UTF-8. Raises ValueError for what says nothing."""
    if is_text:
        return read_infotext(data.decode("utf-8", "replace"))
    return in_our_words(pictures.read_picture(data))


def in_our_words(info: Infotext) -> dict[str, Any]:
    """An infotext for ComfyUI's widgets: `prompt`, `negative`, `script` (the prompt as a group of ISI
    Script), and the fields of `Values`, None where the text says none."""
    said = asdict(values(info, SAMPLERS, SCHEDULERS))
    texts = {"prompt": info.prompt, "negative": info.negative, "script": as_group(info.prompt)}
    return {**texts, **said}
