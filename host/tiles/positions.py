"""Where a tile lies, told to transformers that know places: positions begin in the canvas's corner."""

from __future__ import annotations

from typing import Any

from comfy.ldm.qwen_image.model import QwenImageTransformer2DModel

from ...core.tiles.tiles import Tile, TileLayout

PLACES = ("pe_embedder", "rope_embedder", "pos_embed", "rope_embedder_3d", "_fetch_patch_pos")
"""Attributes of the host's transformers that have positions."""


def has_places(model: Any) -> bool:
    """Whether a BaseModel's transformer has positions that a call can be told."""
    return any(hasattr(model.diffusion_model, name) for name in PLACES)


def with_places(model_options: dict, model: Any, layout: TileLayout, tile: Tile) -> dict:
    """Options by which the tokens of a tile have the positions that they have in the whole canvas.

    Most transformers read `rope_options`. Qwen-Image counts from the middle of the picture and does not: its
    ids are moved where the host lets patches see them.
    """
    options = model_options.get("transformer_options", {})
    if isinstance(model.diffusion_model, QwenImageTransformer2DModel):
        patches = options.get("patches", {})
        moved = [*patches.get("post_input", []), _MovedIds(layout, tile, model.diffusion_model.patch_size)]
        return _with(model_options, {"patches": patches | {"post_input": moved}})
    patch = getattr(model.diffusion_model, "patch_size", 1)
    patch = patch[-1] if isinstance(patch, (tuple, list)) else patch
    rope = dict(options.get("rope_options") or {})
    for axis, start in (("y", tile.y), ("x", tile.x)):
        # Where positions are scaled, a tile's start is scaled with them.
        moved = start / patch * rope.get(f"scale_{axis}", 1.0)
        rope[f"shift_{axis}"] = rope.get(f"shift_{axis}", 0.0) + moved
    return _with(model_options, {"rope_options": rope})


def _with(model_options: dict, more: dict) -> dict:
    return model_options | {"transformer_options": model_options.get("transformer_options", {}) | more}


class _MovedIds:
    """A patch of Qwen-Image's input: ids count from the middle of the canvas, text lies beyond its border."""

    def __init__(self, layout: TileLayout, tile: Tile, patch: int):
        whole, part = _tokens(layout.size, patch), _tokens(layout.tile_size, patch)
        starts = tile.y / patch, tile.x / patch
        self.tokens = part[0] * part[1]
        self.shift = [
            start - length // 2 + own // 2 for start, length, own in zip(starts, whole, part, strict=True)
        ]
        # As the host lays the text: from half of the longer side on.
        self.text = max(whole) // 2 - max(part) // 2

    def __call__(self, args: dict) -> dict:
        ids = args["img_ids"].clone()
        others = args["transformer_options"].get("reference_image_num_tokens", [])
        own, at = ids.shape[1] - sum(others), 0
        # Reference latents of the canvas's size are cut to the tile and lie where it lies; others are whole.
        for count in (own, *others):
            if at == 0 or count == self.tokens:
                for axis, shift in enumerate(self.shift, 1):
                    ids[:, at : at + count, axis] += shift
            at += count
        return args | {"img_ids": ids, "txt_ids": args["txt_ids"] + self.text}


def _tokens(size: tuple[int, int], patch: int) -> tuple[int, int]:
    """Rows and columns of tokens of so many cells."""
    return (size[0] + patch // 2) // patch, (size[1] + patch // 2) // patch
