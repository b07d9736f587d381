"""A grid as one picture: its first three axes, columns by the first, rows by the second and the third."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import torch
from torch import Tensor

from ...core.grids.cells import Cell
from ...core.pictures.contact_sheet import BACKGROUND, contact_sheet
from .grid_plan import GridPlan

AXES_OF_A_SHEET = 3


def sheet(plan: GridPlan) -> Tensor:
    """`[1, H, W, 3]` in 0..1: a labelled contact sheet; all further axes stand at their first value.

    A cell that is not there is blank. Raises ValueError where none is, or memory is too small.
    """
    shown = sorted(
        (cell for cell in plan.keys if not any(cell[AXES_OF_A_SHEET:])), key=lambda cell: cell[::-1]
    )
    first = next((found for cell in shown if (found := plan.folder.load(plan.keys[cell])) is not None), None)
    if first is None:
        raise ValueError(
            "No cell of this grid is there yet: choose where a run waits for a choice, or look at the errors "
            "of its prompts in the queue, and queue the grid again."
        )
    blank = torch.full_like(first[..., :3], BACKGROUND)
    size = [len(axis.values) for axis in plan.axes.axes[:AXES_OF_A_SHEET]]
    place = {cell[:AXES_OF_A_SHEET]: cell for cell in shown}
    every = [at[::-1] for at in itertools.product(*map(range, size[::-1]))]

    def pictures() -> Iterator[Tensor]:
        for at in every:
            found = plan.folder.load(plan.keys[place[at]]) if at in place else None
            yield blank if found is None else found

    labels = [_label(plan, place[at]) if at in place else "" for at in every]
    return contact_sheet(pictures(), labels, columns=size[0]).unsqueeze(0)


def _label(plan: GridPlan, cell: Cell) -> str:
    titles = [axis.title.rpartition(".")[2] for axis in plan.axes.axes[:AXES_OF_A_SHEET]]
    return "\n".join(f"{title}: {value}" for title, value in zip(titles, plan.values(cell), strict=False))
