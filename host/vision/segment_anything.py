"""Picked points to masks by the host's own SAM3 node, with whatever SAM3 model is connected to it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ...core.picking.picks import Pick, Point, pixel, pixel_box

NODE = "SAM3_Detect"


def coordinates(points: Sequence[Point], height: int, width: int) -> str:
    """Points in percent for the host's SAM3 nodes: JSON `[{"x": 3, "y": 5}]` in pixels; "" for none."""
    places = (pixel(point, height, width) for point in points)
    made = [{"x": column, "y": row} for row, column in places]
    return json.dumps(made) if made else ""


def bounding_boxes(pick: Pick, height: int, width: int) -> list[dict[str, int]]:
    """A pick's box as the host's BOUNDING_BOX in pixels; none where it has no box."""
    box = pixel_box(pick, height, width)
    if box is None:
        return []
    top, left, bottom, right = box
    return [{"x": left, "y": top, "width": right - left, "height": bottom - top}]


def check_segmenter(model: Any) -> None:
    """Raises ValueError for a MODEL that is no SAM3, and for a ComfyUI that has no nodes for one."""
    from nodes import NODE_CLASS_MAPPINGS  # pyright: ignore[reportAttributeAccessIssue]

    if NODE not in NODE_CLASS_MAPPINGS:
        raise ValueError(
            "This ComfyUI has no SAM3 nodes: update it, or set `segmenter` of ISI Pick to regions."
        )
    if not hasattr(model.model.diffusion_model, "forward_segment"):
        raise ValueError(
            f"ISI Pick takes a SAM3 model, and a {type(model.model).__name__} came: connect Load Checkpoint "
            "with a SAM3 file, or set `segmenter` to regions."
        )


def segment_with(model: Any, picture: Tensor, picks: Sequence[Pick]) -> Tensor:
    """One mask of 0 and 1 a pick `[N, H, W]` for `picture` `[H, W, C]`: by its points, within its box; by its
    box where it has no points that add. What the model does not find is a mask of zeros."""
    from nodes import NODE_CLASS_MAPPINGS  # pyright: ignore[reportAttributeAccessIssue]

    height, width = picture.shape[:2]
    detect = NODE_CLASS_MAPPINGS[NODE].execute
    masks = []
    for pick in picks:
        boxes = bounding_boxes(pick, height, width)
        if pick.add:
            marks = {
                "positive_coords": coordinates(pick.add, height, width),
                "negative_coords": coordinates(pick.remove, height, width),
            }
        else:
            marks = {"bboxes": boxes}
        mask = detect(model, picture[None, ..., :3], **marks).args[0].float().cpu().amax(0)
        for box in boxes:
            inside = torch.zeros_like(mask)
            inside[box["y"] : box["y"] + box["height"], box["x"] : box["x"] + box["width"]] = 1
            mask = mask * inside
        masks.append(mask)
    return torch.stack(masks)
