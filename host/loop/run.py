"""Runs a plan on ComfyUI: checks what came in, names the result, and connects the engine to the host."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

import comfy.cli_args
import torch
from torch import Tensor

from ...core.choosing.answers import AnswerFile
from ...core.choosing.course import Course, Selection, candidates, has_candidates, with_candidates
from ...core.loop.drift import DriftLock, PixelLock
from ...core.loop.engine import Iteration, Job, iterate
from ...core.loop.keys import root_key
from ...core.loop.lens import Masked, Whole, widened
from ...core.loop.memory import Memory
from ...core.loop.plan import Plan, content_hash
from ...core.loop.settle import Settle
from ...core.pictures.masks import as_mask
from ..keys import live
from ..keys.environment import environment
from ..keys.identity import Identity, files_in, files_of, identities
from .again import why_again
from .gallery import (
    Run,
    check_run_name,
    open_store,
    picture_name,
    picture_path,
    save_pictures,
    sweep_leftovers,
)
from .manifest import answers_path, in_progress
from .moment import Extras, chain
from .notes import Notes
from .progress import Progress, say_on_node, send_event
from .sampling import Models, Sampling, StepSampler

log = logging.getLogger("isi")


@dataclass(frozen=True)
class Request:
    """What the user connected to ISI_Iterate. Fields from `settle` on decide what is made, not what it
    looks like; `choosing` does by the seeds that it chooses."""

    models: Models
    sampling: Sampling
    plan: Plan
    image: Tensor | None = None
    mask: Tensor | None = None
    memory: Memory = field(default_factory=Memory)
    drift: DriftLock | None = None
    settle: Settle | None = None
    run_name: str = ""
    redo_from: int = 0
    choosing: Selection = field(default_factory=Selection)


@dataclass(frozen=True)
class Result:
    """The last picture, its latent, the handle to all iterations, and where what is to be seen is on disk.

    A run that waits for a choice has no last picture: `shown` has its iteration so far, and its candidates,
    and `waiting` says which choice, and where it is to be posted.
    """

    image: Tensor | None
    latent: dict[str, Tensor | None]
    run: Run
    shown: list[dict[str, str]]
    waiting: dict[str, Any] | None = None


def run_plan(request: Request, extras: Extras, notes: Mapping[str, str]) -> Result:
    """Does what ISI_Iterate is asked to do. `extras` is the table of `host.extras`; `notes` go into each
    picture's metadata.

    Raises ValueError before anything is sampled for input that can't work.
    """
    check_run_name(request.run_name)
    # In half precision the picture would be rounded at each step.
    picture = widened(check_picture(request.image))
    asked_for = with_candidates(request.plan, request.choosing.candidates)
    request.choosing.check(asked_for)
    plan = masked_plan(asked_for, picture, request.mask)
    job = Job(plan, picture, request.memory, request.drift, request.settle)
    job.check()
    if request.redo_from > len(plan):
        raise ValueError(
            f"redo_from is {request.redo_from}, but the plan has {len(plan)} steps: set it to one of them, "
            "or to 0."
        )
    models = request.models
    sampling = request.sampling
    sampling.check()
    counts = [sampling.steps(step, not at and picture is None) for at, step in enumerate(plan.steps)]
    store = open_store()
    if request.choosing.rule == "by hand" and not store.limit and has_candidates(plan):
        raise ValueError(
            "Candidates wait in ISI's store to be chosen by hand, but the store is off: set its size in "
            "ComfyUI's settings, or choose by a rule."
        )
    progress = Progress(sum(counts), models.model)
    sampler = StepSampler(plan, models, sampling, extras, progress)
    sampler.check(picture)

    files = files_of(store.root.parent / "files.json")
    connected = _fields(models) | {"sampler": sampling.own_sampler}
    if sampling.noise is not None and sampling.noise.recovery is not None:
        connected["noise"] = sampling.noise
    known = identities(
        {name: value for name, value in connected.items() if value is not None},
        files,
        {"conditioner": [one.identity() for one in chain(models.conditioner)]},
    )
    environment = describe(request, picture, known, files_in(sampling.negative, files))
    root = root_key(environment)
    facts = [files_in(step.to_json(), files) for step in plan.steps]
    # What an unnamed run does names it: its last key holds all the others. Its versions are those of all
    # unnamed runs that start alike, so that an edit finds what was there before.
    named = request.run_name
    family = named or f"@{root[:16]}"
    course = Course(root, plan, facts, request.choosing, AnswerFile(answers_path(family)))
    version = course.name()
    run = Run(named or f"run-{version[:16]}", (), asked_for, family, environment)
    first = course.keys[0] if course.keys else course.options()[0][1]
    again = () if store.has(first) else tuple(why_again(environment, plan))
    if again:
        log.info("%s is made from its first step on, since this changed: %s", run.name, "; ".join(again))
    run = replace(run, changed=again)
    if notice := sampler.notice():
        say_on_node(notice)
    story = Notes(notes, run.name, len(plan), environment, sampling, picture is not None)
    reporter = Reporter(run, version, course, counts, progress, story)
    course.hear, sampler.known = reporter.candidate, course.steps
    progress.total += sum(
        counts[at] * (len(candidates(plan.steps[at])) - 1) for at in range(len(course.keys), len(plan))
    )
    sweep_leftovers(run)
    with in_progress(run.name):
        reporter.save_run()
        outcome = iterate(job, course.keys, sampler, store, reporter, request.redo_from, course)
        if outcome.count < len(course.keys):
            reporter.save_run(outcome.count)
    waits, run = outcome.picture is None, reporter.run
    shown = [picture_name(run.name, at, run.keys[at]) for at in range(len(run))[-1:]]
    if not waits:
        return Result(outcome.picture, {"samples": outcome.latent}, run, shown)
    asked = run.asked[-1]
    pictures = [picture_name(run.name, asked.index, key) for key in asked.keys]
    say_on_node(
        f"Iteration {asked.index + 1} has {len(pictures)} candidates: choose one in the strip, and the run "
        "goes on with it."
    )
    waiting = {"iteration": asked.index + 1, "candidates": pictures, "post": f"/isi/runs/{run.name}/choose"}
    return Result(None, {"samples": None}, run, [*shown, *pictures], waiting)


class Reporter:
    """The engine's `Listener`: writes each iteration's picture and tells the front end about it."""

    def __init__(
        self,
        run: Run,
        version: str,
        course: Course,
        counts: Sequence[int],
        progress: Progress,
        notes: Notes,
    ):
        self.run, self.plan, self.version, self.course = run, run.plan, version, course
        self.counts, self.progress, self.notes = counts, progress, notes
        self.steps_done = 0
        self.writable = True
        self.picked = -1
        """The step whose candidates were made."""

    def __call__(self, iteration: Iteration) -> None:
        if iteration.index == self.picked:
            self.save_run()
        else:
            self.steps_done += self.counts[iteration.index]
        self._show("isi.iteration", iteration, {"changed": self.run.changed if iteration.index == 0 else ()})

    def candidate(self, made: Iteration, number: int, count: int) -> None:
        """Hears of a candidate, by its number from 0, of a step that has `count`."""
        self.picked = made.index
        self.steps_done += self.counts[made.index]
        more = {"candidate": number + 1, "candidates": count, "seed": str(made.step.seed)}
        self._show("isi.candidate", made, more)

    def _show(self, event: str, iteration: Iteration, more: Mapping[str, Any]) -> None:
        name = picture_name(self.run.name, iteration.index, iteration.key)
        if not iteration.reused or not picture_path(name).exists():
            self._write(name, iteration)
        self.progress.advance(self.steps_done)
        send_event(
            event,
            {
                "run": self.run.name,
                "iteration": iteration.index + 1,
                "of": len(self.plan),
                "label": (iteration.step.label or iteration.step.prompt)[:200],
                "reused": iteration.reused,
                "seconds": round(iteration.seconds, 3),
                "picture": name,
                "key": iteration.key,
                **more,
            },
        )

    def save_run(self, count: int | None = None) -> None:
        """Writes the run's manifest, with its first `count` iterations (all that are known).

        A disk that does not take it costs the name, not the run.
        """
        course = self.course
        asked = tuple(course.asked if count is None else [one for one in course.asked if one.index < count])
        self.run = replace(
            self.run, keys=tuple(course.keys[:count]), plan=course.resolved(self.plan), asked=asked,
            open=course.open and count is None,
        )  # fmt: skip
        try:
            self.run.save(self.version)
        except OSError as error:
            log.warning("The run %r can't be written down (%s): going on without.", self.run.name, error)

    def _write(self, name: Mapping[str, str], iteration: Iteration) -> None:
        pictures = iteration.picture() if self.writable else None
        if pictures is None:
            return
        try:
            # The host's own nodes that save pictures obey this switch too.
            silent = comfy.cli_args.args.disable_metadata
            save_pictures(name, pictures, {} if silent else self.notes.of(iteration, pictures))
        except OSError as error:
            self.writable = False
            log.warning("Pictures of %r can't be written (%s): going on without.", self.run.name, error)


def check_picture(image: Tensor | None) -> Tensor | None:
    """The input as `[B, H, W, 3 or 4]`; grey becomes RGB. Raises ValueError for what is no picture."""
    if image is None:
        return None
    if image.ndim != 4 or image.shape[-1] not in (1, 3, 4):
        raise ValueError(
            f"The image must be [batch, height, width, 1, 3 or 4 channels], but is {list(image.shape)}: "
            "connect an IMAGE."
        )
    if not image.numel():
        raise ValueError(
            f"The image is an empty batch ({list(image.shape)}): connect at least one picture, or none to "
            "start from text."
        )
    if not torch.isfinite(image).all():
        raise ValueError("The image has NaN or infinite values: connect another picture.")
    return image.repeat(1, 1, 1, 3) if image.shape[-1] == 1 else image


def masked_plan(plan: Plan, picture: Tensor | None, mask: Tensor | None) -> Plan:
    """The plan with each step bound to `mask` (1 = may change). Raises ValueError where the two don't fit."""
    if mask is None:
        return plan
    if picture is None:
        raise ValueError("A mask needs a picture that it lies on: connect an image, or no mask.")
    height, width = picture.shape[1:3]
    mask = as_mask(mask, height, width, len(picture))
    if any(step.lens != Whole() for step in plan.steps):
        raise ValueError("This plan brings its own masks, crops or sizes: disconnect the mask.")
    name = content_hash(mask)
    lens = Masked(name, name)
    return Plan(tuple(replace(step, lens=lens) for step in plan.steps), {**plan.assets, name: mask})


def describe(
    request: Request, picture: Tensor | None, known: Mapping[str, Identity], negative: list[str]
) -> dict[str, Any]:
    """All but the steps that the pictures of a run depend on, as a JSON value.

    It is made of the fields of what the sampler and the engine are given, whatever fields these have. `known`
    are the identities of what is connected, `negative` the files that the negative prompt names.
    """
    sampling, size = _fields(request.sampling), request.sampling.size
    del sampling["size"], sampling["own_sampler"]
    if request.sampling.sigmas is not None:
        sampling["sigmas"] = live.fingerprint([request.sampling.sigmas])
    if request.sampling.noise is not None:
        sampling["noise"] = request.sampling.noise.to_json()
    return {
        "environment": environment(request.models.model.load_device),
        **sampling,
        # A connected SAMPLER is known in the place of the named one.
        **{name: {"key": identity.key, **identity.parts} for name, identity in known.items()},
        "files of negative": negative,
        "start": list(size) if picture is None else content_hash(picture),
        "memory": request.memory.to_json(),
        "drift": request.drift
        and {
            name: live.fingerprint([value]) if isinstance(value, Tensor | PixelLock) else value
            for name, value in _fields(request.drift).items()
        },
    }


def _fields(value: Any) -> dict[str, Any]:
    """The fields of a dataclass as they are: tensors and models are not copied."""
    return {field.name: getattr(value, field.name) for field in fields(value)}
