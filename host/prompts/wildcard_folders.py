"""Where ComfyUI's wildcard files lie."""

from __future__ import annotations

import os
from pathlib import Path

import folder_paths

from ...core.language.wildcards import Stamp, WildcardFiles

KIND = "wildcards"


def wildcards() -> WildcardFiles:
    """The wildcards of `models/wildcards`, and of what extra_model_paths.yaml calls `wildcards`."""
    named = folder_paths.get_folder_paths(KIND) if KIND in folder_paths.folder_names_and_paths else []
    folders = [*named, os.path.join(folder_paths.models_dir, KIND)]
    return WildcardFiles([Path(folder) for folder in dict.fromkeys(map(os.path.abspath, folders))])


def changes(text: str | None) -> list[Stamp]:
    """What changes with the wildcard files that `text` may name; None stands for a text not yet known."""
    return wildcards().stamps() if text is None or "__" in text else []
