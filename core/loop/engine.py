"""The one loop: carries a picture through the steps of a plan.

    carry = input picture (or nothing)
    for step in plan:
        view  = step.lens.get(carry)
        carry = step.lens.put(carry, sample(view, step))

Memory, drift lock, store, resume and early stop live here and nowhere else. The loop knows nothing of
ComfyUI: a `Sampler` samples, a `Listener` hears what happened.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol

from torch import Tensor

from ..store.entries import DamagedEntry, Entry
from ..store.store import Store
from .drift import DriftLock, match_statistics
from .lens import View
from .memory import Memory, blend
from .plan import Plan, Step, canonical
from .settle import Settle, change, settled

VERSION = 1
"""Part of every key: raise it when the same job would give other pictures than before."""


@dataclass(frozen=True)
class Sampled:
    """What the sampler made of one view.

    `pixels` `[B, h, w, C]` of the view, the `latent` they were decoded from, and the latent that sampling
    started from (`start`, None in a text-to-image step).
    """

    pixels: Tensor
    latent: Tensor
    start: Tensor | None


class Sampler(Protocol):
    """Samples one step. `view` is None in a text-to-image step; `latent` is what a latent carry holds."""

    def __call__(self, index: int, step: Step, view: View | None, latent: Tensor | None) -> Sampled: ...


@dataclass(frozen=True)
class Iteration:
    """A finished iteration. `picture()` loads `[B, H, W, C]`, or None where the store has dropped it."""

    index: int
    step: Step
    key: str
    reused: bool
    seconds: float
    picture: Callable[[], Tensor | None]


class Listener(Protocol):
    """Hears of every iteration in order, reused ones too."""

    def __call__(self, iteration: Iteration) -> None: ...


@dataclass(frozen=True)
class Job:
    """All that decides the pictures of a run.

    `picture` is the input `[B, H, W, C]` or None for text-to-image.
    """

    plan: Plan
    picture: Tensor | None = None
    memory: Memory = field(default_factory=Memory)
    drift: DriftLock | None = None
    settle: Settle | None = None

    def check(self) -> None:
        """Raises ValueError for what can't work, before anything is sampled."""
        if not self.plan.steps:
            raise ValueError("The plan has no steps: write at least one group in ISI Script.")
        lenses = [step.lens for step in self.plan.steps]
        if self.memory.carry == "latent" and not all(lens.in_place for lens in lenses):
            raise ValueError(
                "ISI Memory carries latents, but this plan crops, pads or resizes the picture: "
                "set `carry` to image."
            )
        if self.drift is None:
            return
        if self.memory.carry == "latent":
            raise ValueError(
                "ISI Drift Lock corrects pictures, but ISI Memory carries latents: set `carry` to image."
            )
        if not all(lens.whole for lens in lenses):
            raise ValueError(
                "ISI Drift Lock works on whole pictures, but this plan crops or pads: disconnect it."
            )
        batch = 1 if self.picture is None else len(self.picture)
        given = self.drift.picture
        if given is not None and len(given) not in (1, batch):
            raise ValueError(
                f"ISI Drift Lock's image has {len(given)} pictures, but the run has {batch}: "
                f"connect 1 or {batch}."
            )


@dataclass(frozen=True)
class Outcome:
    """The last iteration of a run, and how many iterations it has (fewer than planned if it settled)."""

    picture: Tensor
    latent: Tensor
    count: int


@dataclass(frozen=True)
class _State:
    """What the next step starts from (`picture`, `latent`), and what memory and drift lock remember."""

    picture: Tensor | None
    latent: Tensor | None = None
    init: Tensor | None = None
    reference: Tensor | None = None


def root_key(environment: Any) -> str:
    """The key that a run's first step builds on. `environment` is a JSON value of all but the steps."""
    return _hash(["isi", VERSION, environment])


def step_keys(root: str, plan: Plan, facts: Sequence[Any] = ()) -> list[str]:
    """A key a step: H(previous key, step, its facts). Equal keys mean equal pictures; labels do not count.

    `facts` has a JSON value a step of what its words stand for, such as the contents of files that it names.
    """
    keys, previous = [], root
    for index, step in enumerate(plan.steps):
        known = {k: v for k, v in step.to_json().items() if k != "label"}
        previous = _hash([previous, known, facts[index] if facts else None])
        keys.append(previous)
    return keys


def iterate(
    job: Job, keys: Sequence[str], sample: Sampler, store: Store, listen: Listener, redo_from: int = 0
) -> Outcome:
    """Runs a checked job, reusing what the store can prove.

    From step `redo_from` on (counted from 1; 0: nowhere) all is sampled anew, whatever the store has: the
    same key gives the same bits unless something changed that no key knows of, such as a driver. What it
    gives takes the place of what was there.

    Whatever `sample` raises (an interrupt, out of memory) passes through: every finished iteration is in
    the store by then.
    """
    done, entry = resume(job, keys, store, redo_from)
    changes = [_change(store, key) for key in keys[:done]] if job.settle else []
    for count in range(1, done):
        if job.settle and settled(job.settle, changes[:count]):
            # It came to rest before what the store has: a gentler threshold made that.
            keys = keys[:count]
            done, entry = resume(job, keys, store)
            changes = changes[:done]
            break
    state = _first_state(job) if entry is None else _load_state(job, entry)
    for index, key in enumerate(keys[:done]):
        held = entry if index == done - 1 else None
        listen(Iteration(index, job.plan.steps[index], key, True, 0.0, _picture(store, key, held)))
    for index, key in enumerate(keys[done:], done):
        if job.settle and settled(job.settle, changes):
            keys = keys[:index]
            break
        began, step = time.perf_counter(), job.plan.steps[index]
        entry, state = _advance(job, index, step, state, sample)
        store.put(key, entry)
        seconds = time.perf_counter() - began
        listen(Iteration(index, step, key, False, seconds, _picture(store, key, entry)))
        changes.append(entry.facts["change"])
    if entry is None:
        raise ValueError("A run needs at least one step.")
    return Outcome(entry.tensors["picture"], entry.tensors["latent"], len(keys))


def resume(job: Job, keys: Sequence[str], store: Store, redo_from: int = 0) -> tuple[int, Entry | None]:
    """How many first steps need no sampling, and the entry to go on from: the last that the store can prove.

    With `redo_from` (from 1; 0: nowhere) it is one before that step. Only this entry is read whole, and what
    proves damaged is removed. Entries before it may be gone: a run larger than the store is not made over
    and over again.
    """
    sizes = _sizes(job)
    for count in range(redo_from - 1 if redo_from else len(keys), 0, -1):
        with suppress(DamagedEntry):
            entry = store.get(keys[count - 1])
            if entry is None:
                continue
            if _suits(job, entry, sizes[count - 1] if sizes else None):
                return count, entry
            store.remove(keys[count - 1])
    return 0, None


def _sizes(job: Job) -> list[tuple[int, int]]:
    """Height and width of the picture after each step; empty where only the sampler knows."""
    if job.picture is None:
        return []
    sizes, size = [], (job.picture.shape[1], job.picture.shape[2])
    for step in job.plan.steps:
        size = step.lens.size(*size)
        sizes.append(size)
    return sizes


def _suits(job: Job, entry: Entry, size: tuple[int, int] | None) -> bool:
    """Whether an entry has all that this job's next step starts from, in the right size."""
    needed = {"next_picture"}
    if job.memory.carry == "latent":
        needed.add("next_latent")
    if job.memory.blend == "anchor" and _own_init(job):
        needed.add("init")
    if job.drift and _first_state(job).reference is None:
        needed.add("reference")
    fits = size is None or tuple(entry.tensors["picture"].shape[1:3]) == size
    return fits and needed <= entry.tensors.keys()


def _advance(job: Job, index: int, step: Step, state: _State, sample: Sampler) -> tuple[Entry, _State]:
    """One step: view, sample, put back, correct, blend."""
    before = state.picture
    view = None if before is None else step.lens.get(before, job.plan.assets)
    sampled = sample(index, step, view, state.latent)
    after = sampled.pixels if before is None else step.lens.put(before, sampled.pixels, job.plan.assets)
    after = planar(after)

    reference = state.reference
    if job.drift and reference is None:
        reference = after
    corrected = _correct(job, step, before, after, reference)
    saved = corrected if job.drift and job.drift.save_corrected else after

    if job.memory.carry == "latent":
        out, came_from = sampled.latent, sampled.start
    else:
        out, came_from = corrected, before
    init = state.init if state.init is not None else (out if came_from is None else came_from)
    carried = blend(job.memory, came_from, out, init)

    latent = carried if job.memory.carry == "latent" else None
    following = _State(saved if latent is not None else planar(carried), latent, init, reference)
    facts = {"change": math.inf if before is None else change(before, after)}
    return _entry(job, saved, sampled.latent, following, facts), following


def _correct(job: Job, step: Step, before: Tensor | None, after: Tensor, reference: Tensor | None) -> Tensor:
    """The picture with the drift lock's correction; pixels that the step may not touch stay as they were."""
    if job.drift is None or reference is None or reference is after or job.drift.strength == 0:
        return after
    corrected = match_statistics(after, reference, job.drift.strength, job.drift.mask)
    if before is None:
        return corrected
    # Seen and put back once more, so that the lens keeps what the step may not touch.
    return step.lens.put(before, step.lens.get(corrected, job.plan.assets).pixels, job.plan.assets)


def _first_state(job: Job) -> _State:
    if job.drift and job.drift.reference == "given image":
        return _State(job.picture, reference=job.drift.picture)
    if job.drift and job.drift.reference == "initial image":
        return _State(job.picture, reference=job.picture)
    return _State(job.picture)


def _entry(job: Job, picture: Tensor, latent: Tensor, following: _State, facts: dict) -> Entry:
    """What must be on disk to show this iteration and to go on from it; the store writes nothing twice."""
    tensors = {"picture": picture, "latent": latent}
    if following.picture is not None:
        tensors["next_picture"] = following.picture
    if following.latent is not None:
        tensors["next_latent"] = following.latent
    if job.memory.blend == "anchor" and following.init is not None and _own_init(job):
        tensors["init"] = following.init
    if job.drift and following.reference is not None and _first_state(job).reference is None:
        tensors["reference"] = following.reference
    return Entry(tensors, facts)


def _own_init(job: Job) -> bool:
    """Whether the picture that memory is anchored to is one that the run made."""
    return job.memory.carry == "latent" or job.picture is None


def _load_state(job: Job, entry: Entry) -> _State:
    """The state that `_entry` wrote."""
    pictures = {"picture", "next_picture", "reference"} | ({"init"} if job.memory.carry == "image" else set())
    tensors = {name: planar(t) if name in pictures else t for name, t in entry.tensors.items()}
    carries_latent = job.memory.carry == "latent"
    return _State(
        tensors.get("next_picture", tensors["picture"]),
        tensors.get("next_latent", tensors["latent"]) if carries_latent else None,
        tensors.get("init", None if carries_latent else job.picture),
        tensors.get("reference", _first_state(job).reference),
    )


def planar(picture: Tensor) -> Tensor:
    """`[B, H, W, C]` laid out in memory as a VAE's decoder leaves it, a plane a channel.

    Convolutions round differently in another memory format, and a picture from the store must give the
    same next one as a picture that never left memory.
    """
    return picture.movedim(-1, 1).contiguous().movedim(1, -1)


def _picture(store: Store, key: str, held: Entry | None) -> Callable[[], Tensor | None]:
    def load() -> Tensor | None:
        try:
            entry = held or store.get(key, ["picture"])
        except DamagedEntry:
            return None
        return entry.tensors["picture"] if entry else None

    return load


def _change(store: Store, key: str) -> float:
    """How much an iteration changed the picture; infinite where the store no longer knows."""
    try:
        change = (store.facts(key) or {}).get("change")
    except DamagedEntry:
        change = None
    return change if isinstance(change, float) else math.inf


def _hash(value: Any) -> str:
    return hashlib.blake2b(canonical(value).encode(), digest_size=16).hexdigest()
