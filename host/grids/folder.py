"""A grid on disk: `output/isi_grids/NAME/` with a viewer, what it shows, and a picture for each cell."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import comfy.cli_args
import folder_paths
from torch import Tensor

from ...core.grids.viewer import viewer
from ...core.store.disk import read_bounded, sweep, write_atomic
from ...core.store.manifests import is_run_name
from ..loop.gallery import save_pictures, saved_pictures

ROOT = "isi_grids"
LARGEST_GRID, LARGEST_CELL = 64 << 20, 1 << 16
MOST_TIMES = 200
CELL_FILE = re.compile(r"[0-9a-f]{32}(?:-[1-9][0-9]{0,5})?\.png")


class GridFolder:
    """The folder of the grid `name`. Raises ValueError for a name that is no plain folder name.

    A cell is there when `cells/KEY.json` is, which is written after all of its pictures: whoever is killed
    between leaves a cell that is not there.
    """

    def __init__(self, name: str):
        if not is_run_name(name):
            raise ValueError(
                f"The name {name[:100]!r} can't be used for a grid: expected a folder name of letters, "
                "digits, spaces and ._-() that starts with a letter or digit."
            )
        self.name = name
        self.subfolder = f"{ROOT}/{name}/cells"
        self.path = Path(folder_paths.get_output_directory()) / ROOT / name

    def done(self) -> set[str]:
        """The keys of all cells that are there."""
        found: set[str] = set()
        with suppress(OSError), os.scandir(self.path / "cells") as files:
            found = {file.name for file in files}
        return {name[:-5] for name in found if name.endswith(".json") and f"{name[:-5]}.png" in found}

    def has(self, key: str) -> bool:
        """Whether a cell is there."""
        return all((self.path / "cells" / f"{key}{ending}").is_file() for ending in (".json", ".png"))

    def times(self) -> list[float]:
        """How long some of the cells took, in seconds."""
        found = []
        for key in sorted(self.done())[:MOST_TIMES]:
            with suppress(OSError, ValueError, KeyError, TypeError):
                told = json.loads(read_bounded(self.path / "cells" / f"{key}.json", LARGEST_CELL))
                found.append(float(told["seconds"]))
        return found

    def write_cell(
        self, key: str, pictures: Sequence[Tensor], graph: Mapping[str, Any], seconds: float
    ) -> None:
        """Writes `pictures` (each `[H, W, C]` in 0..1) and then that the cell is there. Raises ValueError."""
        notes = {} if comfy.cli_args.args.disable_metadata else {"prompt": json.dumps(graph)}
        with _said(self.path):
            for number, picture in enumerate(pictures, 1):
                save_pictures(self.picture(key, number), picture[None], notes)
            facts = {"seconds": round(seconds, 3), "pictures": len(pictures)}
            write_atomic(self.path / "cells" / f"{key}.json", json.dumps(facts).encode())

    def picture(self, key: str, number: int = 1) -> dict[str, str]:
        """Where a picture of a cell is, as the front end names files; its first is number 1."""
        name = f"{key}-{number}.png" if number > 1 else f"{key}.png"
        return {"filename": name, "subfolder": self.subfolder, "type": "output"}

    def load(self, key: str) -> Tensor | None:
        """The first picture of a cell, `[H, W, 3 or 4]`; None where it is not there."""
        found = saved_pictures(self.picture(key), key) if self.has(key) else None
        return None if found is None else found[0]

    def write_view(self, grid: Mapping[str, Any]) -> None:
        """Writes `grid.json` and the viewer that shows it. Raises ValueError."""
        with _said(self.path):
            for folder in (self.path, self.path / "cells"):
                sweep(folder)
            write_atomic(self.path / "grid.json", json.dumps(grid).encode())
            write_atomic(self.path / "index.html", viewer(grid).encode())

    def view(self) -> str:
        """The viewer's page, made anew from what is written down. Raises ValueError."""
        try:
            return viewer(json.loads(read_bounded(self.path / "grid.json", LARGEST_GRID)))
        except (OSError, ValueError, RecursionError) as error:
            raise ValueError(f"There is no grid named {self.name!r}: queue it.") from error


@contextmanager
def _said(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ValueError(
            f"The grid can't be written to {path} ({error.strerror}): make room there and queue it again; "
            "what is there stays."
        ) from error
