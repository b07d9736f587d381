"""Runs a plan on ComfyUI: checks what came in, names the result, and connects the engine to the host."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

import comfy.cli_args
import torch
from torch import Tensor

from ...core.loop.drift import DriftLock
from ...core.loop.engine import Iteration, Job, iterate, root_key, step_keys
from ...core.loop.lens import Masked, Whole
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
from .moment import Extras, chain
from .notes import with_shown
from .progress import Progress, say_on_node, send_event
from .sampling import Models, Sampling, StepSampler

log = logging.getLogger("isi")


@dataclass(frozen=True)
class Request:
    """What the user connected to ISI_Iterate. All but the last three fields decide what the pictures are."""

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


@dataclass(frozen=True)
class Result:
    """The last picture, its latent, the handle to all iterations, and where the picture is on disk."""

    image: Tensor
    latent: dict[str, Tensor]
    run: Run
    shown: dict[str, str]


def run_plan(request: Request, extras: Extras, notes: Mapping[str, str]) -> Result:
    """Does what ISI_Iterate is asked to do. `extras` is the table of `host.extras`; `notes` go into each
    picture's metadata.

    Raises ValueError before anything is sampled for input that can't work.
    """
    check_run_name(request.run_name)
    picture = check_picture(request.image)
    plan = masked_plan(request.plan, picture, request.mask)
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
    progress = Progress(sum(counts), models.model)
    sampler = StepSampler(plan, models, sampling, extras, progress)
    sampler.check(picture)

    store = open_store()
    files = files_of(store.root.parent / "files.json")
    connected = _fields(models) | {"sampler": sampling.own_sampler}
    known = identities(
        {name: value for name, value in connected.items() if value is not None},
        files,
        {"conditioner": [one.identity() for one in chain(models.conditioner)]},
    )
    environment = describe(request, picture, known, files_in(sampling.negative, files))
    root = root_key(environment)
    keys = step_keys(root, plan, [files_in(step.to_json(), files) for step in plan.steps])
    # What an unnamed run does names it: its last key holds all the others. Its versions are those of all
    # unnamed runs that start alike, so that an edit finds what was there before.
    named = request.run_name
    run = Run(
        named or f"run-{keys[-1][:16]}", tuple(keys), request.plan, named or f"@{root[:16]}", environment
    )
    again = () if store.has(keys[0]) else tuple(why_again(environment, plan))
    if again:
        log.info("%s is made from its first step on, since this changed: %s", run.name, "; ".join(again))
    run = replace(run, changed=again)
    if notice := sampler.notice():
        say_on_node(notice)
    reporter = Reporter(run, plan, counts, progress, notes, environment)
    sweep_leftovers(run)
    reporter.save_run(run)
    outcome = iterate(job, keys, sampler, store, reporter, request.redo_from)
    if outcome.count < len(keys):
        run = replace(run, keys=run.keys[: outcome.count])
        reporter.save_run(run)
    shown = picture_name(run.name, outcome.count - 1, keys[outcome.count - 1])
    return Result(outcome.picture, {"samples": outcome.latent}, run, shown)


class Reporter:
    """The engine's `Listener`: writes each iteration's picture and tells the front end about it."""

    def __init__(
        self,
        run: Run,
        plan: Plan,
        counts: Sequence[int],
        progress: Progress,
        notes: Mapping[str, str],
        environment: Any,
    ):
        self.run, self.plan, self.counts, self.progress = run, plan, counts, progress
        self.notes, self.environment = notes, environment
        self.version = run.keys[-1]
        self.steps_done = 0
        self.writable = True

    def __call__(self, iteration: Iteration) -> None:
        self.steps_done += self.counts[iteration.index]
        name = picture_name(self.run.name, iteration.index, iteration.key)
        if not iteration.reused or not picture_path(name).exists():
            self._write(name, iteration)
        self.progress.advance(self.steps_done)
        send_event(
            "isi.iteration",
            {
                "run": self.run.name,
                "iteration": iteration.index + 1,
                "of": len(self.plan),
                "label": (iteration.step.label or iteration.step.prompt)[:200],
                "reused": iteration.reused,
                "seconds": round(iteration.seconds, 3),
                "picture": name,
                "changed": self.run.changed if iteration.index == 0 else (),
                "key": iteration.key,
            },
        )

    def save_run(self, run: Run) -> None:
        """Writes the run's manifest; a disk that does not take it costs the name, not the run."""
        try:
            run.save(self.version)
        except OSError as error:
            log.warning("The run %r can't be written down (%s): going on without.", run.name, error)

    def _write(self, name: Mapping[str, str], iteration: Iteration) -> None:
        pictures = iteration.picture() if self.writable else None
        if pictures is None:
            return
        story = {
            "version": 1,
            "run": self.run.name,
            "iteration": iteration.index + 1,
            "of": len(self.plan),
            "key": iteration.key,
            "step": iteration.step.to_json(),
            "environment": self.environment,
            "seconds": round(iteration.seconds, 3),
        }
        notes = {**with_shown(self.notes, self.run.name, iteration.key), "isi": json.dumps(story)}
        try:
            # The host's own nodes that save pictures obey this switch too.
            save_pictures(name, pictures, {} if comfy.cli_args.args.disable_metadata else notes)
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
            name: live.fingerprint([value]) if isinstance(value, Tensor) else value
            for name, value in _fields(request.drift).items()
        },
    }


def _fields(value: Any) -> dict[str, Any]:
    """The fields of a dataclass as they are: tensors and models are not copied."""
    return {field.name: getattr(value, field.name) for field in fields(value)}
