"""The host's Self-Attention Guidance (arXiv:2210.00939) in tiles.

After CFG its function blurs the negative prediction where the model's attention lies, and guides away from
what the model makes of that. It knows the attention of one model call: in tiles, that of the last tile. So
what each tile's call leaves is kept here, each tile is blurred by its own, and the model sees the canvas.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Protocol

import comfy.samplers
import torch
from torch import Tensor

NODE = "SelfAttentionGuidance"
"""Marks the host's function by its name: extra nodes are loaded under module names of their own."""

AFTER_CFG = "sampler_post_cfg_function"

THRESHOLD = 1.0
"""The host's own: a token that gets more attention than its share is blurred."""


class Together(Protocol):
    """Tiles that go through the model together."""

    @property
    def pictures(self) -> int:
        """How many, times the batch."""
        ...

    def get_tensor(self, full: Tensor) -> Tensor:
        """The tiles of a canvas, as a batch."""
        ...

    def add_window(self, full: Tensor, to_add: Tensor) -> Tensor:
        """Adds tiles to a canvas, in place, by their weights."""
        ...


class TiledGuidance:
    """Stands in one sampling run for `function`, what the host's node calls after CFG."""

    def __init__(self, function: Any):
        held = dict(zip(function.__code__.co_freevars, function.__closure__, strict=True))
        try:
            self._attention = held["attn_scores"]
            self._scale: float = held["scale"].cell_contents
            self._sigma: float = held["blur_sigma"].cell_contents
            self._blurred: Callable[..., Tensor] = function.__globals__["create_blur_map"]
        except KeyError as error:
            raise ValueError(
                "This ComfyUI's Self-Attention Guidance is not the one that tiled sampling knows: bypass it."
            ) from error
        self._here: list[tuple[Together, Tensor | None]] = []
        self._kept: list[tuple[Together, Tensor | None]] = []
        self._take()

    def begin(self) -> None:
        """The canvas is about to be evaluated, tile by tile."""
        self._here = []

    @contextmanager
    def watch(self, window: Together) -> Iterator[None]:
        """Round the evaluation of the tiles of `window`: keeps where the negative's attention lies."""
        self._take()
        yield
        scores = self._take()
        if scores is not None:
            # Means and sums as in the host's blur, which leaves both as they are: so n numbers a picture are
            # kept instead of heads * n * n.
            scores = scores.reshape(window.pictures, -1, *scores.shape[1:]).mean(1).sum(1, keepdim=True)
        self._here.append((window, scores))
        # Other guidance asks for the positive alone, which leaves nothing.
        if scores is not None:
            self._kept = self._here

    def _take(self) -> Tensor | None:
        """What the model attended to last, `[pictures * heads, n, n]`, and nothing from then on."""
        scores, self._attention.cell_contents = self._attention.cell_contents, None
        return scores

    def __call__(self, args: dict) -> Tensor:
        """The host's equations, with a blur by tile. A tile without a negative is not guided."""
        if not self._kept:
            raise ValueError(
                "Self-Attention Guidance found no attention to follow in this model: "
                "bypass it for this model."
            )
        negative = args["uncond_denoised"]
        degraded = torch.zeros_like(negative)
        for window, scores in self._kept:
            tiles = window.get_tensor(negative)
            if scores is not None:
                tiles = self._blurred(tiles, scores, self._sigma, THRESHOLD)
            window.add_window(degraded, tiles)
        shown = degraded + args["input"] - negative
        (seen,) = comfy.samplers.calc_cond_batch(
            args["model"], [args["uncond"]], shown, args["sigma"], args["model_options"]
        )
        return args["denoised"] + (degraded - seen) * self._scale


@contextmanager
def watched(guidances: Iterable[TiledGuidance], window: Together) -> Iterator[None]:
    """Round the evaluation of the tiles of `window`, for all of `guidances`."""
    with ExitStack() as stack:
        for one in guidances:
            stack.enter_context(one.watch(window))
        yield


def guided_by_tiles(model_options: dict) -> list[TiledGuidance]:
    """Has one run's own `model_options` guide by tiles: puts a `TiledGuidance` in the place of each of the
    host's functions, and returns those."""
    functions = list(model_options.get(AFTER_CFG, ()))
    found = []
    for i, function in enumerate(functions):
        if getattr(function, "__qualname__", "").startswith(f"{NODE}."):
            functions[i] = TiledGuidance(function)
            found.append(functions[i])
    if found:
        model_options[AFTER_CFG] = functions
    return found
