"""More or less detail: the model is told another noise level than there is."""

from __future__ import annotations

import math

LEAST = 0.01
"""Share of the noise level that the model is always told."""


def told(amount: float, place: int, count: int) -> float:
    """What the noise level is multiplied by at step `place` (from 0) of the `count` that it acts for.

    1 - amount sin^2(pi (place + 1/2) / count): nothing at both ends, `amount` (-1..1) in the middle. A model
    that is told of less noise than there is takes less away, and what it leaves becomes detail.
    """
    return max(LEAST, 1 - amount * math.sin(math.pi * (place + 0.5) / count) ** 2)
