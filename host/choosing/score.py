"""A node of ComfyUI or of a pack that tells how good a picture is, asked about each candidate of a step."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ..vision.borrowed import Borrowed, borrow, find_node, takes_picture

NODE = "ISI Score"
NUMBERS = ("FLOAT", "INT")


@dataclass(frozen=True, eq=False)
class Score:
    """What `node` says of pictures; lower is better where `lowest`."""

    node: Borrowed
    lowest: bool = False

    def identity(self) -> Any:
        """What the numbers depend on, also where no graph shows it."""
        return [*self.node.identity(), self.node.output, self.lowest]

    def __call__(self, pictures: Tensor) -> float:
        """How good a batch `[B, H, W, 3]` in 0..1 is, higher is better: the mean of the node's numbers.

        Raises ValueError where the node returns none, or one that is not finite.
        """
        numbers = list(_numbers(self.node(pictures)))
        if not numbers or not all(map(math.isfinite, numbers)):
            raise ValueError(
                f"Expected a finite number of the node {self.node.node} of {NODE}, but it returned something "
                "else: choose another node, or another rule in ISI Iterate."
            )
        mean = math.fsum(numbers) / len(numbers)
        return -mean if self.lowest else mean


def read_score(name: str, settings: str, lowest: bool = False) -> Score:
    """The node that `name` (of its class, or its title) and `settings` (one a line: `name = value`) say.

    Its first FLOAT counts, else its first INT. Raises ValueError for a node or setting that there is not, and
    for a node that needs more than one picture and its widgets.
    """
    node, kind = find_node(name, NODE)
    outputs = list(kind.RETURN_TYPES)
    output = next((outputs.index(number) for number in NUMBERS if number in outputs), None)
    if output is None or not takes_picture(kind):
        raise ValueError(
            f"The node {node} makes no number of a picture: {NODE} takes nodes with an IMAGE in and a FLOAT "
            "or INT out, that save nothing."
        )
    return Score(borrow(node, kind, settings, NODE, output), lowest)


def _numbers(made: Any) -> Iterator[float]:
    """The numbers of an output: one, one a picture, or a tensor of them."""
    if isinstance(made, Tensor):
        yield from made.detach().cpu().double().flatten().tolist()
    elif isinstance(made, list | tuple):
        for each in made:
            yield from _numbers(each)
    else:
        yield float(made) if isinstance(made, int | float) else math.nan
