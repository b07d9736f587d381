"""Memory: what the next step starts from.

Without memory that is the last result alone. With it, some of the past stays in: an exponential moving
average of all results, or a share of the first picture.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

import torch
from torch import Tensor

Carry = Literal["image", "latent"]
MemoryBlend = Literal["last", "ema", "anchor"]
CARRIES: tuple[Carry, ...] = get_args(Carry)
MEMORY_BLENDS: tuple[MemoryBlend, ...] = get_args(MemoryBlend)


@dataclass(frozen=True)
class Memory:
    """How a run remembers.

    `carry`: what goes from step to step, decoded pictures or the latents as they are (no VAE round trip).
    `amount`, 0..1: for "ema" the share b of the new result, m_k = (1 - b) m_(k-1) + b out_k, so that 1 is
    no memory and 0 never moves; for "anchor" the share a of the first picture,
    in_k = (1 - a) out_(k-1) + a init, so that 0 is no memory; "last" has no use for it.
    """

    carry: Carry = "image"
    blend: MemoryBlend = "last"
    amount: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """A JSON value that is equal for memories that act alike."""
        return asdict(self) | ({"amount": 0.0} if self.blend == "last" else {})


def blend(memory: Memory, state: Tensor | None, out: Tensor, init: Tensor | None) -> Tensor:
    """What the next step starts from; for "ema" it is also the next `state`.

    `out` is the result of this step, a picture or a latent; `state` what this function returned a step
    before (at first: the initial picture, or None), `init` the initial picture or None. Where memory is off,
    or has nothing to remember, or a step changed the picture's shape, this is `out` itself.
    """
    past, share = {
        "last": (None, 1.0),
        "ema": (state, memory.amount),
        "anchor": (init, 1.0 - memory.amount),
    }[memory.blend]
    if past is None or share == 1.0 or past.shape != out.shape:
        return out
    return torch.lerp(past.to(out), out, share)
