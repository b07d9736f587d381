"""Finished and broken runs: open them, look at them, go on from them."""

from __future__ import annotations

from itertools import chain

import torch
from comfy_api.latest import io

from ..core.loop.plan import Plan
from ..core.loop.room import need_room
from ..core.pictures.contact_sheet import LONGEST_LABEL, contact_sheet
from ..host.loop.gallery import Run, open_run, run_stamp
from . import sockets

CATEGORY = "ISI/runs"


class RunImages(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="ISI_RunImages",
            display_name="ISI Run Images",
            category=CATEGORY,
            description="Iterations of a run as an image batch. Only those that are asked for are loaded.",
            search_aliases=["iterations", "frames", "history", "batch from run"],
            inputs=[
                sockets.Run.Input("run", tooltip="From ISI Iterate or ISI Open Run."),
                io.Int.Input("first", default=1, min=1, max=1_000_000, tooltip="First iteration, from 1."),
                io.Int.Input(
                    "last",
                    default=0,
                    min=0,
                    max=1_000_000,
                    tooltip="Last iteration; 0 is the end of the run.",
                ),
                io.Int.Input("every", default=1, min=1, max=1_000_000, tooltip="Take every n-th iteration."),
            ],
            outputs=[io.Image.Output("images", tooltip="The iterations, one after the other.")],
        )

    @classmethod
    def execute(cls, run: Run, first, last, every) -> io.NodeOutput:
        numbers = range(first, (last or len(run)) + 1, every)
        if not numbers or numbers[-1] > len(run):
            raise ValueError(f"The run has iterations 1 to {len(run)}, but {first} to {last} was asked for.")
        pictures = run.pictures(numbers)
        start = next(pictures)
        need_room(
            len(numbers) * start.nbytes, f"A batch of {len(numbers):,} iterations",
            "ask for fewer, or for every n-th; ISI Contact Sheet shows all of them",
        )  # fmt: skip
        batch = start.new_empty(len(numbers), *start.shape)
        for picture, target in zip(chain([start], pictures), batch, strict=True):
            if picture.shape != start.shape:
                raise ValueError(
                    f"The iterations asked for have several sizes ({_size(start)}, {_size(picture)}), which "
                    "can't be one batch: ask for fewer, or use ISI Contact Sheet."
                )
            target.copy_(picture)
        return io.NodeOutput(batch.flatten(0, 1))


def _size(picture: torch.Tensor) -> str:
    return f"{picture.shape[2]}x{picture.shape[1]}"


class OpenRun(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="ISI_OpenRun",
            display_name="ISI Open Run",
            category=CATEGORY,
            description="Opens a finished or broken run at an iteration: its picture and latent, the steps "
            "that were still to come, and the run. Go on from there with new groups.",
            search_aliases=["resume", "continue from iteration", "branch", "load run"],
            inputs=[
                io.String.Input(
                    "run_name", default="", tooltip="run_name of ISI Iterate, or the folder under output/isi."
                ),
                io.Int.Input(
                    "iteration", default=0, min=0, max=1_000_000,
                    tooltip="Which iteration, from 1; 0 is the last one that was finished.",
                ),
                io.String.Input(
                    "key", default="", optional=True,
                    tooltip="An iteration's own key names that iteration for ever, however the run is "
                    "edited: iteration is then not used, and run_name may be empty.",
                ),
            ],
            outputs=[
                io.Image.Output("image", tooltip="The iteration's picture, bit for bit."),
                io.Latent.Output("latent", tooltip="The iteration's latent."),
                sockets.Plan.Output("plan", tooltip="The steps of the run that come after this iteration."),
                sockets.Run.Output("run", tooltip="The whole run."),
            ],
        )  # fmt: skip

    @classmethod
    def fingerprint_inputs(cls, run_name, iteration, key=""):
        return key or run_stamp(run_name)

    @classmethod
    def execute(cls, run_name, iteration, key="") -> io.NodeOutput:
        run, number = open_run(run_name, key)
        if not key:
            number = iteration or number
        entry = run.load(number)
        rest = Plan(run.plan.steps[number:], run.plan.assets)
        return io.NodeOutput(entry.tensors["picture"], {"samples": entry.tensors["latent"]}, rest, run)


class ContactSheet(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="ISI_ContactSheet",
            display_name="ISI Contact Sheet",
            category=CATEGORY,
            description="All iterations of a run, or the pictures of a batch, on one labelled sheet. Nothing "
            "is cropped.",
            search_aliases=["grid", "image grid", "overview", "xy plot"],
            inputs=[
                sockets.Run.Input("run", optional=True, tooltip="From ISI Iterate or ISI Open Run."),
                io.Image.Input("images", optional=True, tooltip="A batch, instead of a run."),
                io.Int.Input(
                    "columns",
                    default=0,
                    min=0,
                    max=100,
                    tooltip="Pictures a row; 0 makes the sheet squarish.",
                ),
                io.Int.Input(
                    "cell",
                    default=256,
                    min=0,
                    max=4096,
                    tooltip="Longer side of a cell; 0: as the first picture.",
                ),
                io.Boolean.Input("labels", default=True, tooltip="Number and prompt under each picture."),
            ],
            outputs=[io.Image.Output("image", tooltip="The sheet.")],
        )

    @classmethod
    def execute(cls, columns, cell, labels, run: Run | None = None, images=None) -> io.NodeOutput:
        if (run is None) == (images is None):
            raise ValueError("ISI Contact Sheet takes a run or an image batch: connect one of the two.")
        if run is not None:
            steps = run.plan.steps
            names = [(step.label or step.prompt)[: LONGEST_LABEL + 1] for step in steps[: len(run)]]
            texts = [f"{n}. {name}" for n, name in enumerate(names, 1)]
            pictures = (each[0] for each in run.pictures(range(1, len(run) + 1)))
        else:
            texts = [str(n) for n in range(1, len(images) + 1)]
            pictures = iter(images)
        sheet = contact_sheet(pictures, texts if labels else [""] * len(texts), columns or None, cell or None)
        return io.NodeOutput(sheet.unsqueeze(0))


NODES: list[type[io.ComfyNode]] = [RunImages, OpenRun, ContactSheet]
