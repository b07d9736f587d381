"""Why a run is made again: what differs from the last run that did the same first step."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from ...core.loop.changes import changes
from ...core.loop.plan import Plan
from .home import home
from .manifest import newest_first, read_manifest

LOOKED_AT = 10
LARGEST = 4 << 20
"""Bytes of a manifest that is read for this; those of endless runs would take longer than they say."""


def why_again(environment: Any, plan: Plan) -> list[str]:
    """What differs between `environment` and that of the newest run with the same first step; mostly nothing.

    Only for people: no key is made of it.
    """
    step = plan.steps[0].to_json()
    for path in newest_first(home() / "runs")[:LOOKED_AT]:
        with suppress(OSError, ValueError, RecursionError):
            if path.stat().st_size > LARGEST:
                continue
            value = read_manifest(path)
            if value["plan"]["steps"][0] == step and isinstance(value.get("environment"), dict):
                return changes(value["environment"], environment)
    return []
