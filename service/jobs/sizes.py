"""How large the pictures of a graph become, as far as its widgets and uploads say.

An estimate along the links, from nodes that make or read a picture over those that scale, pad or repeat it.
What a node does that says nothing of it in its widgets (an upscale model's own factor) is not seen.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from graphlib import CycleError, TopologicalSorter
from typing import Any, NamedTuple

from .graphs import BadGraph, Limits, literal

FACTORS = {
    "ImageScaleBy": "scale_by",
    "LatentUpscaleBy": "scale_by",
    "ResizeImageMaskNode": "multiplier",
    "ISI_Upscale": "factor",
    "ISI_UpscaleImage": "factor",
}
"""The widget that multiplies both sides."""
TO_MEGAPIXELS = ("ImageScaleToTotalPixels", "ResizeImageMaskNode", "ISI_CropForInpaint")
MOST = 10**9
READERS = {"LoadImage": "image", "LoadImageMask": "image", "LoadImageOutput": "image"}


class Size(NamedTuple):
    """Pixels of a side, and how many pictures."""

    width: float
    height: float
    count: float

    def pixels(self) -> float:
        return self.width * self.height * self.count


NOTHING = Size(0, 0, 1)


def check_sizes(
    graph: Mapping[str, Any], limits: Limits, size_of: Callable[[str], tuple[int, int] | None]
) -> None:
    """Raises BadGraph where a node makes more pixels than `limits` allow.

    `size_of(name)` is the width and height of a picture in ComfyUI's input folder.
    """
    before = {name: [each for each in _links(node) if each in graph] for name, node in graph.items()}
    try:
        order = list(TopologicalSorter(before).static_order())
    except CycleError as error:
        raise BadGraph(f"The graph goes in a circle: {' > '.join(error.args[1][:8])}.") from error
    sizes: dict[str, Size] = {}
    for name in order:
        node = graph[name]
        given = max((sizes[each] for each in before[name]), key=Size.pixels, default=NOTHING)
        size = sizes[name] = _size(graph, node, given, size_of)
        if size.pixels() > limits.pixels:
            many = f" x {size.count:.0f}" if size.count > 1 else ""
            made = f"{size.width:.0f} x {size.height:.0f}{many}"
            text = f"Node {name} ({node['class_type']}) makes {made} pixels; {limits.pixels:,} are allowed."
            raise BadGraph(text)


def _links(node: Mapping[str, Any]) -> list[str]:
    values = node.get("inputs", {}).values()
    return [str(value[0]) for value in values if isinstance(value, list) and len(value) == 2]


def _size(
    graph: Mapping[str, Any],
    node: Mapping[str, Any],
    given: Size,
    size_of: Callable[[str], tuple[int, int] | None],
) -> Size:
    """What a node makes of the largest picture that it is given."""
    kind, inputs = node["class_type"], node.get("inputs", {})
    # A widget that another one shows is called "resize_type.multiplier".
    numbers = {
        name.rpartition(".")[2]: float(min(max(value, 0), MOST))
        for name, each in inputs.items()
        if isinstance(value := literal(graph, each), int | float) and not isinstance(value, bool)
    }
    width, height, count = given
    if kind in READERS and isinstance(name := inputs.get(READERS[kind]), str):
        width, height = size_of(name) or (width, height)
    sides = [numbers.get("width", 0.0), numbers.get("height", 0.0)]
    if kind == "ISI_Iterate" and isinstance(inputs.get("image"), list):
        pass  # its width and height are for runs without a picture
    elif any(sides):
        # One side of 0 keeps the picture's shape.
        shape = width / height if width * height else 1.0
        width, height = sides[0] or sides[1] * shape, sides[1] or sides[0] / shape
    elif factor := numbers.get(FACTORS.get(kind, "")):
        width, height = width * factor, height * factor
    elif kind in TO_MEGAPIXELS and (megapixels := numbers.get("megapixels")) and width * height:
        factor = (megapixels * 2**20 / (width * height)) ** 0.5
        width, height = width * factor, height * factor
    width += numbers.get("left", 0.0) + numbers.get("right", 0.0)
    height += numbers.get("top", 0.0) + numbers.get("bottom", 0.0)
    count = max(count, numbers.get("batch_size", 1.0))
    if kind in ("RepeatImageBatch", "RepeatLatentBatch"):
        count *= max(1.0, numbers.get("amount", 1.0))
    return Size(width, height, count)
