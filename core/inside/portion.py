"""For which of the steps that are really made something acts."""

from __future__ import annotations

import math
from dataclasses import dataclass

ROUNDING = 1e-9
"""Shares are decimal: 0.29 of 100 steps are 29, though the product of the two floats is a little less."""


@dataclass(frozen=True)
class Portion:
    """From `start` to `end`, shares (0..1) of the steps that are made, whatever the denoise is.

    Two windows that share an end share no step, as `[a:b:when]` of a prompt.
    """

    start: float = 0.0
    end: float = 1.0

    def steps(self, count: int) -> range:
        """The steps, from 0, of `count`."""
        return range(*(math.floor(count * share + ROUNDING) for share in (self.start, self.end)))
