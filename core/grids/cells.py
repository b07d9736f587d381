"""The cells of a grid: one for each combination of values that no rule leaves out."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence

from .axes import Axes
from .values import mistake

MOST_CELLS = 20_000
"""Of a grid, those that rules leave out included."""

Cell = tuple[int, ...]
"""For each axis the number of its value, from 0."""


def count(axes: Axes) -> int:
    """How many combinations there are. Raises ScriptError for more than MOST_CELLS; none is made for that."""
    sizes = [len(axis.values) for axis in axes.axes]
    many = math.prod(sizes)
    if many > MOST_CELLS:
        product = " x ".join(map(str, sizes[:12]))
        reason = f"These axes have {product} = {many:,} cells, and a grid has at most {MOST_CELLS:,}."
        raise mistake(axes.source, axes.axes[-1].offset, "too_many_cells", reason)
    return many


def cells(axes: Axes, order: Sequence[int] | None = None) -> Iterator[Cell]:
    """The cells that are not left out, made one by one.

    `order` names the axes from the one that changes seldomest to the one that changes with each cell; by
    default the first axis changes fastest, as columns of a table do.
    """
    order = order or range(len(axes.axes))[::-1]
    for chosen in itertools.product(*(range(len(axes.axes[i].values)) for i in order)):
        cell = [0] * len(order)
        for axis, value in zip(order, chosen, strict=True):
            cell[axis] = value
        if not any(rule(cell) for rule in axes.rules):
            yield tuple(cell)


def place(axes: Axes, cell: Cell) -> int:
    """The place of a cell in a list of all combinations in the default order."""
    at = 0
    for axis, value in reversed(list(zip(axes.axes, cell, strict=True))):
        at = at * len(axis.values) + value
    return at
