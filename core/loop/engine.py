"""The one loop: carries a picture through the steps of a plan.

    carry = input picture (or nothing)
    for step in plan:
        view  = step.lens.get(carry)
        carry = step.lens.put(carry, sample(view, step))

Memory, drift lock, store, resume and early stop live here and nowhere else. The loop knows nothing of
ComfyUI: a `Sampler` samples, a `Listener` hears what happened.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol

from torch import Tensor

from ..store.entries import DamagedEntry, Entry
from ..store.store import Store
from .drift import DriftLock, match_statistics
from .lens import View, planar
from .memory import Memory, blend
from .plan import Plan, Step
from .settle import Settle, change, settled


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


class Chooser(Protocol):
    """Knows the first `steps` of a run and their `keys`: up to one with candidates of which none is chosen.

    `options` are that step's candidates with their keys. Each is made, `score`d (higher is better; `start` is
    what the picture is where sampling changes nothing, None in a text-to-image step) and `made` hears of it.
    `choose` the best of them, by its number: then more is known, or False is said, since a person chooses.
    """

    @property
    def steps(self) -> Sequence[Step]: ...
    @property
    def keys(self) -> Sequence[str]: ...
    def options(self) -> Sequence[tuple[Step, str]]: ...
    def score(self, start: Tensor | None, picture: Tensor) -> float: ...
    def made(self, candidate: Iteration, number: int) -> None: ...
    def choose(self, best: int) -> bool: ...


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
        if self.drift is None or (self.drift.strength == 0 and self.drift.pixels is None):
            return
        if self.memory.carry == "latent":
            who = "ISI Drift Lock" if self.drift.pixels is None else "ISI Edit Lock"
            raise ValueError(
                f"{who} corrects pictures, but ISI Memory carries latents: set `carry` to image."
            )
        if self.drift.pixels is not None and self.picture is not None:
            batch, *size = self.picture.shape[:3]
            for lens in lenses:
                self.drift.pixels.check(*lens.view_size(*size), batch)
                size = lens.size(*size)
        if self.drift.strength == 0:
            return
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
    """The last iteration of a run (None: it waits for a choice) and their number (fewer if it settled)."""

    picture: Tensor | None
    latent: Tensor | None
    count: int


@dataclass(frozen=True)
class _All:
    """A run of which all is known from the start."""

    steps: Sequence[Step]
    keys: Sequence[str]


@dataclass(frozen=True)
class _State:
    """What the next step starts from (`picture`, `latent`), and what memory and drift lock remember."""

    picture: Tensor | None
    latent: Tensor | None = None
    init: Tensor | None = None
    reference: Tensor | None = None


def iterate(
    job: Job, keys: Sequence[str], sample: Sampler, store: Store, listen: Listener, redo_from: int = 0,
    chooser: Chooser | None = None,
) -> Outcome:  # fmt: skip
    """Runs a checked job, reusing what the store can prove.

    From step `redo_from` on (counted from 1; 0: nowhere) all is sampled anew, whatever the store has: the
    same key gives the same bits unless something changed that no key knows of, such as a driver. What it
    gives takes the place of what was there.

    With a `chooser` steps may have candidates; `keys` are those that it knows at first.

    Whatever `sample` raises (an interrupt, out of memory) passes through: every finished iteration is in
    the store by then.
    """
    known, end = chooser or _All(job.plan.steps, keys), len(job.plan.steps)
    done, entry = resume(job, keys, store, redo_from)
    changes = [_change(store, key) for key in keys[:done]] if job.settle else []
    for count in range(1, done):
        if job.settle and settled(job.settle, changes[:count]):
            # It came to rest before what the store has: a gentler threshold made that.
            keys, end = keys[:count], count
            done, entry = resume(job, keys, store)
            changes = changes[:done]
            break
    state = _first_state(job) if entry is None else _load_state(job, entry)
    for index, key in enumerate(keys[:done]):
        held = entry if index == done - 1 else None
        listen(Iteration(index, known.steps[index], key, True, 0.0, _picture(store, key, held)))
    count, chosen = done, False
    while count < end and not (job.settle and settled(job.settle, changes)):
        began, reused, anew = time.perf_counter(), False, 0 < redo_from <= count + 1
        if chooser is not None and count == len(known.keys):
            best, entry, state = _best(job, count, state, sample, store, chooser, anew)
            if not chooser.choose(best):
                return Outcome(None, None, count)
            chosen = True
        else:
            # What follows a choice may have been made before.
            step, key = known.steps[count], known.keys[count]
            entry, state, reused = _made(job, count, step, key, state, sample, store, anew or not chosen)
        key, seconds = known.keys[count], 0.0 if reused else time.perf_counter() - began
        listen(Iteration(count, known.steps[count], key, reused, seconds, _picture(store, key, entry)))
        changes.append(entry.facts["change"])
        count += 1
    if entry is None:
        raise ValueError("A run needs at least one step.")
    return Outcome(entry.tensors["picture"], entry.tensors["latent"], count)


def _best(
    job: Job, index: int, state: _State, sample: Sampler, store: Store, chooser: Chooser, anew: bool
) -> tuple[int, Entry, _State]:
    """Makes all candidates of a step; the number of the first with the highest score, and what `_made` gives.

    No more than two are in memory at once.
    """
    best, high, start, options = None, -math.inf, None, chooser.options()
    if state.picture is not None:
        lens = options[0][0].lens
        start = lens.put(state.picture, lens.get(state.picture, job.plan.assets).pixels, job.plan.assets)
    for number, (step, key) in enumerate(options):
        began = time.perf_counter()
        entry, following, reused = _made(job, index, step, key, state, sample, store, anew)
        seconds = 0.0 if reused else time.perf_counter() - began
        made = entry.tensors["picture"]
        chooser.made(Iteration(index, step, key, reused, seconds, _picture(store, key, entry)), number)
        score = chooser.score(start, made)
        if best is None or score > high:
            best, high = (number, entry, following), score
    assert best is not None
    return best


def _made(
    job: Job, index: int, step: Step, key: str, state: _State, sample: Sampler, store: Store, anew: bool
) -> tuple[Entry, _State, bool]:
    """A step's entry and what follows from it, and whether the store could prove it (never if `anew`)."""
    size = None if state.picture is None else step.lens.size(*state.picture.shape[1:3])
    if not anew and (entry := _proven(job, store, key, size)):
        return entry, _load_state(job, entry), True
    entry, following = _advance(job, index, step, state, sample)
    store.put(key, entry)
    return entry, following, False


def resume(job: Job, keys: Sequence[str], store: Store, redo_from: int = 0) -> tuple[int, Entry | None]:
    """How many first steps need no sampling, and the entry to go on from: the last that the store can prove.

    With `redo_from` (from 1; 0: nowhere) it is one before that step. Only this entry is read whole, and what
    proves damaged is removed. Entries before it may be gone: a run larger than the store is not made over
    and over again.
    """
    sizes = _sizes(job)
    for count in range(min(redo_from - 1, len(keys)) if redo_from else len(keys), 0, -1):
        if entry := _proven(job, store, keys[count - 1], sizes[count - 1] if sizes else None):
            return count, entry
    return 0, None


def _proven(job: Job, store: Store, key: str, size: tuple[int, int] | None) -> Entry | None:
    """The entry of a key, if it is whole and this job can go on from it; what is not is removed."""
    with suppress(DamagedEntry):
        entry = store.get(key)
        if entry is None or _suits(job, entry, size):
            return entry
        store.remove(key)
    return None


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
    pixels = sampled.pixels
    if view is not None and job.drift and job.drift.pixels:
        pixels = job.drift.pixels.hold(view.pixels, pixels)
    after = pixels if before is None else step.lens.put(before, pixels, job.plan.assets)
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
