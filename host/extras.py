"""What each extra of a plan does: the one table. A new one is a value, a `StepExtra` for it, a line here."""

from __future__ import annotations

from .frames.fill import FillExtra
from .inside.frequency import KeepLowExtra
from .inside.tone import BracketExtra
from .loop.moment import Extras, StepExtra
from .models.enlarging import EnlargeExtra
from .tiles.demofusion import DemoFusionExtra
from .tiles.tiled import TiledExtra

_ALL: tuple[StepExtra, ...] = (
    FillExtra(),
    EnlargeExtra(),
    TiledExtra(),
    DemoFusionExtra(),
    KeepLowExtra(),
    BracketExtra(),
)
EXTRAS: Extras = {extra.value.kind: extra for extra in _ALL}
