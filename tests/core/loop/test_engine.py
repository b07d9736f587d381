"""The loop with a closed-form sampler: formulas of memory, resume, early stop, and its cost at any length."""

import dataclasses
import itertools
import tracemalloc
from typing import ClassVar

import pytest
import torch
from isi.core.loop.drift import DriftLock
from isi.core.loop.engine import Job, Sampled, iterate, resume
from isi.core.loop.keys import root_key, step_keys
from isi.core.loop.lens import Lens, Resize, View
from isi.core.loop.memory import Memory
from isi.core.loop.plan import Plan, Step
from isi.core.loop.settle import Settle
from isi.core.store.entries import Entry
from isi.core.store.store import Store


def plan(count: int, **changes) -> Plan:
    return Plan(tuple(Step(f"p{k}", seed=k, **changes) for k in range(count)))


class Affine:
    """A sampler that maps x to a x + b + noise(seed): what k steps make is known in closed form."""

    def __init__(self, a=0.5, b=0.25, noise=0.0, stop_at=None):
        self.a, self.b, self.noise, self.stop_at, self.calls = a, b, noise, stop_at, []

    def __call__(self, index, step, view, latent):
        if index == self.stop_at:
            raise KeyboardInterrupt
        self.calls.append(index)
        start = None if view is None else (view.pixels if latent is None else latent)
        size = (1, 8, 8, 3) if start is None else start.shape
        grain = torch.randn(size, generator=torch.Generator().manual_seed(step.seed)) * self.noise
        out = (torch.full(size, 0.5) if start is None else self.a * start + self.b) + grain
        return Sampled(out, out, start)


def go(job: Job, sample, store: Store, environment=None):
    job.check()
    heard = []
    outcome = iterate(job, step_keys(root_key(environment), job.plan), sample, store, heard.append)
    return outcome, heard


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path, 1 << 28)


@pytest.fixture
def picture():
    return torch.rand(1, 8, 8, 3, generator=torch.Generator().manual_seed(0))


def expected(picture, count, a, b, memory):
    """out_k and in_k written out as the formulas stand."""
    m, out = picture, None
    for _ in range(count):
        out = a * m + b
        if memory.blend == "ema":
            m = (1 - memory.amount) * m + memory.amount * out
        elif memory.blend == "anchor":
            m = (1 - memory.amount) * out + memory.amount * picture
        else:
            m = out
    return out


@pytest.mark.parametrize("carry", ["image", "latent"])
@pytest.mark.parametrize("blend, amount", [("last", 0), ("ema", 0.3), ("ema", 1), ("anchor", 0.4)])
@pytest.mark.parametrize("broken_at", [None, 4])
def test_memory_follows_its_formula_also_across_a_crash(store, picture, carry, blend, amount, broken_at):
    job = Job(plan(7), picture, Memory(carry, blend, amount))
    if broken_at is not None:
        with pytest.raises(KeyboardInterrupt):
            go(job, Affine(stop_at=broken_at), store)
    sampler = Affine()
    outcome, heard = go(job, sampler, store)
    assert sampler.calls == list(range(broken_at or 0, 7))
    assert torch.allclose(outcome.picture, expected(picture, 7, 0.5, 0.25, job.memory), atol=1e-6)
    assert [i.index for i in heard] == list(range(7))
    assert [i.reused for i in heard] == [k < (broken_at or 0) for k in range(7)]


@pytest.mark.parametrize(
    "memory", [Memory(), Memory("latent"), Memory("image", "anchor", 0.5), Memory("image", "ema", 0.5)]
)
@pytest.mark.parametrize("text_to_image", [False, True])
@pytest.mark.parametrize("locked", [False, True])
def test_interrupted_anywhere_gives_the_same_bits(tmp_path, picture, memory, text_to_image, locked):
    if locked and memory.carry == "latent":
        pytest.skip("refused")
    drift = DriftLock("first result" if text_to_image else "initial image", 0.7) if locked else None
    job = Job(plan(5), None if text_to_image else picture, memory, drift)
    whole, _ = go(job, Affine(noise=0.1), Store(tmp_path / "whole", 1 << 28))
    for at in range(1, 5):
        store = Store(tmp_path / str(at), 1 << 28)
        with pytest.raises(KeyboardInterrupt):
            go(job, Affine(noise=0.1, stop_at=at), store)
        sampler = Affine(noise=0.1)
        again, _ = go(job, sampler, store)
        assert torch.equal(again.picture, whole.picture) and sampler.calls == list(range(at, 5))


def test_an_edit_costs_the_steps_from_it_on(store, picture):
    first = plan(6)
    go(Job(first, picture), Affine(), store)
    for edited, cost in [(5, 1), (2, 4), (0, 6)]:
        steps = list(first.steps)
        steps[edited] = dataclasses.replace(steps[edited], prompt=f"edited {edited}")
        sampler = Affine()
        go(Job(Plan(tuple(steps)), picture), sampler, store)
        assert len(sampler.calls) == cost
    sampler = Affine()
    go(Job(Plan((*first.steps, Step("new"))), picture), sampler, store)
    assert sampler.calls == [6]


def test_keys_see_everything_but_labels():
    base = plan(2)
    keys = step_keys(root_key({"model": "a"}), base)
    assert keys != step_keys(root_key({"model": "b"}), base)
    for change in ({"cfg": 1.0}, {"seed": 9}, {"denoise": 0.1}, {"steps": 3}, {"lens": Resize(8, 8)}):
        other = step_keys(
            root_key({"model": "a"}), Plan((dataclasses.replace(base.steps[0], **change), base.steps[1]))
        )
        assert not set(other) & set(keys)
    labelled = Plan(tuple(dataclasses.replace(s, label="x") for s in base.steps))
    assert step_keys(root_key({"model": "a"}), labelled) == keys


@pytest.mark.parametrize("redo_from", [0, 1, 3])
@pytest.mark.parametrize("states", list(itertools.product(["good", "missing", "damaged"], repeat=4)))
def test_sampling_goes_on_after_the_newest_good_one_and_nothing_before_it_is_looked_at(
    tmp_path, states, redo_from
):
    """Against the rule spelled out; damaged entries on the way are gone."""
    store, job, keys = Store(tmp_path, 1 << 28), Job(plan(4)), [f"{i:032x}" for i in range(4)]
    tensors = {name: torch.rand(1, 4, 4, 3) for name in ("picture", "latent", "next_picture")}
    for key, state in zip(keys, states, strict=True):
        if state != "missing":
            store.put(key, Entry(tensors, {"change": 0.0}))
        if state == "damaged":
            path = tmp_path / key[:2] / f"{key}.safetensors"
            path.write_bytes(path.read_bytes()[:-1] + b"x")
    end = redo_from - 1 if redo_from else 4
    good = [i for i in range(end) if states[i] == "good"]
    wanted = good[-1] + 1 if good else 0
    done, entry = resume(job, keys, store, redo_from)
    assert done == wanted and (entry is not None) == bool(good)
    for i, state in enumerate(states):
        assert store.has(keys[i]) == (state == "good" or (state == "damaged" and not wanted <= i < end))


class Counted(Store):
    """Notes which entries are read whole, and which by their header."""

    def __init__(self, *args):
        super().__init__(*args)
        self.whole, self.heads = [], []

    def get(self, key, *more, **named):
        self.whole.append(key)
        return super().get(key, *more, **named)

    def facts(self, key):
        self.heads.append(key)
        return super().facts(key)


@pytest.mark.parametrize("settle", [None, Settle(1e-9, 3)])
def test_two_hundred_stored_steps_are_not_read_to_make_the_next_one(tmp_path, picture, settle):
    stored, longer = plan(200), plan(201)
    go(Job(stored, picture), Affine(noise=0.1), Store(tmp_path, 1 << 28))
    store, read = Counted(tmp_path, 1 << 28), []

    class First(Affine):
        def __call__(self, *args):
            read.append(len([key for key in store.whole if store.has(key)]))
            return super().__call__(*args)

    sampler = First(noise=0.1)
    _, heard = go(Job(longer, picture, settle=settle), sampler, store)
    assert sampler.calls == [200] and [i.reused for i in heard] == [True] * 200 + [False]
    assert read == [1]
    assert len(store.heads) == (200 if settle else 0)


def test_what_leaves_the_store_under_way_is_not_missed(tmp_path, picture):
    """Another process may remove any entry at any moment after the first look."""
    whole, _ = go(Job(plan(6), picture), Affine(noise=0.1), Store(tmp_path / "a", 1 << 28))
    store = Store(tmp_path / "b", 1 << 28)
    go(Job(plan(4), picture), Affine(noise=0.1), store)

    def listen(iteration):
        for path in (tmp_path / "b").glob("*/*.safetensors"):
            path.unlink()

    sampler = Affine(noise=0.1)
    outcome = iterate(Job(plan(6), picture), step_keys(root_key(None), plan(6)), sampler, store, listen)
    assert torch.equal(outcome.picture, whole.picture) and sampler.calls == [4, 5]


@pytest.mark.parametrize("limit", [0, 4000, 12_000])
def test_a_run_larger_than_its_store_gives_its_last_picture(tmp_path, picture, limit):
    whole, _ = go(Job(plan(30), picture), Affine(noise=0.1), Store(tmp_path / "a", 1 << 28))
    for _ in range(2):
        outcome, heard = go(Job(plan(30), picture), Affine(noise=0.1), Store(tmp_path / "b", limit))
        assert torch.equal(outcome.picture, whole.picture) and len(heard) == 30


STRANGE = {
    "another size": {"picture": torch.rand(1, 4, 4, 3), "next_picture": torch.rand(1, 4, 4, 3)},
    "nothing to go on from": {"next_picture": None},
    "no latent to carry": {"next_latent": None},
    "no anchor": {"init": None},
}


@pytest.mark.parametrize("how", STRANGE)
def test_an_entry_that_this_job_cannot_have_made_is_made_again(tmp_path, picture, how):
    """One who knows the format can make a sound entry under any key; it is not gone on from."""
    job = Job(plan(3), picture, Memory("latent", "anchor", 0.5))
    whole, _ = go(job, Affine(noise=0.1), store := Store(tmp_path, 1 << 28))
    key = step_keys(root_key(None), job.plan)[-1]
    tensors = {**store.get(key).tensors, **STRANGE[how]}
    store.put(key, Entry({name: t for name, t in tensors.items() if t is not None}, {"change": 0.0}))
    again, _ = go(job, sampler := Affine(noise=0.1), store)
    assert sampler.calls == [2] and torch.equal(again.picture, whole.picture)


@pytest.mark.parametrize("evicted", [False, True])
def test_a_gentler_threshold_ends_a_stored_run_where_it_would_have(tmp_path, picture, evicted):
    """The iteration it now ends with is read, or made again if it is gone."""
    fresh, _ = go(Job(plan(20), picture, settle=Settle(0.02, 2)), Affine(), Store(tmp_path / "a", 1 << 28))
    store = Store(tmp_path / "b", 1 << 28)
    go(Job(plan(20), picture), Affine(), store)
    if evicted:  # its header tells that the run settled there, and its picture is gone
        key = step_keys(root_key(None), plan(20))[fresh.count - 1]
        path = tmp_path / "b" / key[:2] / f"{key}.safetensors"
        path.write_bytes(path.read_bytes()[:-1] + b"x")
    sampler = Affine()
    again, heard = go(Job(plan(20), picture, settle=Settle(0.02, 2)), sampler, store)
    assert sampler.calls == ([fresh.count - 1] if evicted else [])
    assert torch.equal(again.picture, fresh.picture) and len(heard) == again.count == fresh.count


def test_stops_when_settled_and_only_then(store, picture):
    job = Job(plan(50), picture, settle=Settle(1e-3, 2))
    outcome, heard = go(job, Affine(), store)
    changes, x = [], picture
    for _ in range(50):
        y = 0.5 * x + 0.25
        changes.append((y - x).square().mean().sqrt().item())
        x = y
    first = next(k for k in range(1, 50) if changes[k] < 1e-3 and changes[k - 1] < 1e-3)
    assert outcome.count == len(heard) == first + 1
    again, _ = go(job, sampler := Affine(), store)
    assert again.count == outcome.count and not sampler.calls
    assert torch.equal(again.picture, outcome.picture)
    noisy, _ = go(Job(plan(20), picture, settle=Settle(1e-3, 2)), Affine(noise=0.1), store, "noisy")
    assert noisy.count == 20


def test_drift_lock_holds_colours_over_fifty_steps(tmp_path, picture):
    """A sampler that adds 1/255 a step: with the lock the mean stays, without it it runs away."""
    drifting = Affine(1.0, 1 / 255)
    locked, _ = go(
        Job(plan(50), picture, drift=DriftLock(save_corrected=True)), drifting, Store(tmp_path / "a", 1 << 28)
    )
    free, _ = go(Job(plan(50), picture), drifting, Store(tmp_path / "b", 1 << 28))
    assert (locked.picture.mean() - picture.mean()).abs() <= 0.5 / 255
    assert 0.98 <= locked.picture.std() / picture.std() <= 1.02
    assert (free.picture.mean() - picture.mean()).abs() > 40 / 255


def test_the_uncorrected_picture_is_saved_unless_asked(tmp_path, picture):
    drifting = Affine(1.0, 0.1)
    saved, _ = go(Job(plan(3), picture, drift=DriftLock()), drifting, Store(tmp_path, 1 << 28))
    assert torch.allclose(saved.picture, picture + 0.1, atol=1e-5)


def test_two_thousand_iterations_in_flat_memory(tmp_path, picture):
    size = 64 * 64 * 3 * 4
    big = picture.repeat(1, 8, 8, 1)
    job = Job(plan(2000), big)
    marks = []

    def sample(index, step, view, latent):
        if index in (500, 1999):
            marks.append(tracemalloc.get_traced_memory()[0])
        return Sampled(view.pixels * 0.9, view.pixels[:, :8, :8], view.pixels)

    tracemalloc.start()
    try:
        iterate(job, step_keys(root_key(0), job.plan), sample, Store(tmp_path, 0), lambda i: None)
    finally:
        tracemalloc.stop()
    assert (marks[1] - marks[0]) / 1499 <= 0.01 * size


def test_hundred_identity_steps_shift_nothing(store, picture):
    outcome, _ = go(Job(plan(100), picture), Affine(1.0, 0.0), store)
    assert torch.equal(outcome.picture, picture)


def test_sizes_may_grow_on_the_way(store, picture):
    grow = Plan((Step("a"), Step("b", lens=Resize(16, 12)), Step("c")))
    outcome, _ = go(Job(grow, picture, Memory("image", "ema", 0.5)), Affine(), store)
    assert outcome.picture.shape == (1, 16, 12, 3)


REFUSED = {
    "no steps": (Job(Plan(())), "no steps"),
    "latents through a crop": (Job(plan(2, lens=Resize(16, 16)), memory=Memory("latent")), "carry"),
    "drift lock on latents": (Job(plan(2), memory=Memory("latent"), drift=DriftLock()), "carry"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_work_is_refused(case):
    job, match = REFUSED[case]
    with pytest.raises(ValueError, match=match):
        job.check()


@dataclasses.dataclass(frozen=True)
class Mirror(Lens):
    """A stranger's lens: the whole picture, but not pixel for pixel."""

    kind: ClassVar[str] = "test mirror"
    whole: ClassVar[bool] = True

    def view_size(self, height, width):
        return height, width

    def get(self, picture, assets):
        return View(picture.flip(2))

    def put(self, picture, pixels, assets):
        return pixels.flip(2)


@dataclasses.dataclass(frozen=True)
class LeftHalf(Lens):
    """A stranger's lens: the picture itself, whose right half stays as it is."""

    kind: ClassVar[str] = "test left half"
    in_place: ClassVar[bool] = True

    def view_size(self, height, width):
        return height, width

    def get(self, picture, assets):
        return View(picture)

    def put(self, picture, pixels, assets):
        half = picture.shape[2] // 2
        return torch.cat([pixels[:, :, :half], picture[:, :, half:]], 2)


def test_drift_lock_works_through_a_strangers_lens(tmp_path, picture):
    drifting, lock = Affine(1.0, 0.1), DriftLock(save_corrected=True)
    mirrored, _ = go(
        Job(plan(3, lens=Mirror()), picture, drift=lock), drifting, Store(tmp_path / "a", 1 << 28)
    )
    assert (mirrored.picture - picture).abs().max() < 1e-5
    half, _ = go(Job(plan(3, lens=LeftHalf()), picture, drift=lock), drifting, Store(tmp_path / "b", 1 << 28))
    assert torch.equal(half.picture[:, :, 4:], picture[:, :, 4:])
    assert not torch.equal(half.picture[:, :, :4], picture[:, :, :4])


def test_latents_are_carried_through_a_strangers_lens_that_leaves_pixels_in_place(store, picture):
    outcome, _ = go(Job(plan(2, lens=LeftHalf()), picture, Memory("latent")), Affine(), store)
    assert torch.allclose(outcome.latent, expected(picture, 2, 0.5, 0.25, Memory()), atol=1e-6)
    with pytest.raises(ValueError, match="carry"):
        Job(plan(2, lens=Mirror()), picture, Memory("latent")).check()
