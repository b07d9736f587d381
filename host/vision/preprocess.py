"""A node of ComfyUI or of a pack that makes a picture of a picture, called at each step of a loop."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from .borrowed import Borrowed, borrow, find_node, takes_picture

NODE = "ISI Preprocess"


@dataclass(frozen=True, eq=False)
class Preprocess:
    """The pictures that `node` makes; `before` acts first."""

    node: Borrowed
    before: Preprocess | None = None

    def identity(self) -> Any:
        """What the pictures depend on, also where no graph shows it."""
        return [*self.node.identity(), None if self.before is None else self.before.identity()]

    def __call__(self, pixels: Tensor) -> Tensor:
        """The picture `[B, h, w, C]` that the nodes make of `pixels` `[B, H, W, 3]`.

        Raises ValueError where a node returns something else.
        """
        made = self.node(pixels if self.before is None else self.before(pixels))
        if not isinstance(made, Tensor) or made.ndim != 4 or not made.numel():
            raise ValueError(
                f"Expected a picture of the node {self.node.node} of {NODE}, but it returned something else: "
                "choose another node."
            )
        return made


def read_preprocess(name: str, settings: str, before: Preprocess | None = None) -> Preprocess:
    """The node that `name` (of its class, or its title) and `settings` (one a line: `name = value`) say.

    Raises ValueError for a node or setting that there is not, and for a node that needs more than one picture
    and its widgets.
    """
    node, kind = find_node(name, NODE)
    if not takes_picture(kind) or tuple(kind.RETURN_TYPES[:1]) != ("IMAGE",):
        raise ValueError(
            f"The node {node} makes no picture of a picture: {NODE} takes nodes with an IMAGE in and an "
            "IMAGE first out, that save nothing."
        )
    return Preprocess(borrow(node, kind, settings, NODE), before)
