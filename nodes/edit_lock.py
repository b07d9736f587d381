"""What an edit did not mean to change stays: in a loop, and for one edit."""

from __future__ import annotations

from dataclasses import replace

import torch
from comfy_api.latest import io

from ..core.edits.edit_lock import EditLock
from ..core.loop.drift import DriftLock
from . import sockets

CATEGORY = "ISI/iterate"


def lock_inputs() -> list:
    return [
        io.Float.Input(
            "strength", default=1.0, min=0.0, max=1.0, step=0.01,
            tooltip="How much of what did not change is the picture's own: 1 is every bit, 0 is off.",
        ),
        io.Float.Input(
            "floor", default=0.05, min=0.0, max=1.0, step=0.005,
            tooltip="What differs less (0..1) is no change. Lower finds fainter edits, and more of the VAE's "
            "own errors.",
        ),
        io.Int.Input(
            "min_area", default=32, min=1, max=1048576, tooltip="A change of fewer pixels is none.",
        ),
        io.Mask.Input(
            "mask", optional=True,
            tooltip="What may change (white), in the place of what is found. Feather it yourself.",
        ),
    ]  # fmt: skip


class EditLockNode(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="ISI_EditLock",
            display_name="ISI Edit Lock",
            category=CATEGORY,
            description="Keeps what an edit did not mean to change, bit for bit, at each step of a loop: the "
            "result is moved back to where the picture was, its tint is taken back, and only what changed is "
            "put onto it.",
            search_aliases=["kontext drift", "edit drift", "zoom drift", "keep background", "pixel shift"],
            inputs=[
                *lock_inputs(),
                sockets.Drift.Input(
                    "drift", optional=True, tooltip="An ISI Drift Lock that corrects colours afterwards."
                ),
            ],
            outputs=[sockets.Drift.Output("drift", tooltip="Connect to ISI Iterate.")],
        )

    @classmethod
    def execute(cls, strength, floor, min_area, mask=None, drift=None) -> io.NodeOutput:
        if strength == 0:
            return io.NodeOutput(drift)
        lock = EditLock(strength, floor, min_area, mask)
        return io.NodeOutput(replace(drift or DriftLock(strength=0.0), pixels=lock))


class LockEdit(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="ISI_LockEdit",
            display_name="ISI Lock Edit",
            category=CATEGORY,
            description="ISI Edit Lock for one edit: of an edited picture only what really changed is put "
            "onto the picture before; all else is that picture's own, bit for bit.",
            search_aliases=["change mask", "difference mask", "align images", "keep background", "register"],
            inputs=[
                io.Image.Input("before", tooltip="The picture that was edited; one, or as many as after."),
                io.Image.Input("after", tooltip="What the edit made of it, at the same size."),
                *lock_inputs(),
            ],
            outputs=[
                io.Image.Output("image", tooltip="The picture before, with what changed."),
                io.Mask.Output("mask", tooltip="How much of each pixel is the edit's."),
            ],
        )

    @classmethod
    def execute(cls, before, after, strength, floor, min_area, mask=None) -> io.NodeOutput:
        if len(before) == 1:
            before = before.expand(len(after), -1, -1, -1)
        if before.shape != after.shape:
            raise ValueError(
                f"Expected the edited picture in the size of the one before, {list(before.shape)} (batch, "
                f"height, width, channels), but got {list(after.shape)}: resize it, or connect another."
            )
        if not torch.isfinite(before).all() or not torch.isfinite(after).all():
            raise ValueError(
                "ISI Lock Edit got a picture with NaN or infinite values: connect another one, or make it "
                "anew."
            )
        kept, changed = EditLock(strength, floor, min_area, mask).compared(before, after)
        return io.NodeOutput(kept, changed.to(after))


NODES: list[type[io.ComfyNode]] = [EditLockNode, LockEdit]
