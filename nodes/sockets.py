"""The pack's own socket types."""

from __future__ import annotations

from comfy_api.latest import io

from ..core.fills.fill import LONGEST_WINDOW

Plan = io.Custom("ISI_PLAN")
Run = io.Custom("ISI_RUN")
Memory = io.Custom("ISI_MEMORY")
Drift = io.Custom("ISI_DRIFT")
Stop = io.Custom("ISI_STOP")
Conditioner = io.Custom("ISI_CONDITIONER")
Preprocess = io.Custom("ISI_PREPROCESS")
Score = io.Custom("ISI_SCORE")
Stitch = io.Custom("ISI_STITCH")


def before_input() -> io.Custom.Input:
    """Of a conditioner: the one ahead of it."""
    return Conditioner.Input(
        "conditioner", optional=True, tooltip="Another conditioner that acts before this one."
    )


def conditioner_output() -> io.Custom.Output:
    return Conditioner.Output("conditioner", tooltip="Connect to ISI Iterate.")


def window_input() -> io.Int.Input:
    """Of what makes a clean plate."""
    return io.Int.Input(
        "window", default=48, min=1, max=LONGEST_WINDOW, optional=True,
        tooltip="Only with clean plate: how many frames before and after are looked at. More for "
        "objects that move slowly.",
    )  # fmt: skip
