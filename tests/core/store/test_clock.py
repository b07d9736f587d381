"""The system's clock is set back and forth while runs go on: nothing is lost, the oldest still go first."""

import random

import pytest
import torch
from isi.core.loop.engine import Job, Sampled, iterate
from isi.core.loop.keys import root_key, step_keys
from isi.core.loop.plan import Plan, Step
from isi.core.store import store as store_module
from isi.core.store.store import Store

STEPS = 30
PICTURE = torch.rand(1, 16, 16, 3, generator=torch.Generator().manual_seed(1))
BYTES = 6_000
"""About what an iteration takes here."""


@pytest.fixture
def clock(monkeypatch):
    """A clock that jumps by up to thirty years, back or forth, each time that it is asked."""
    rng = random.Random(0)
    monkeypatch.setattr(store_module.time, "time_ns", lambda: rng.randrange(0, 10**18))


def run(store, seeds):
    """The last picture, and which steps were made, not found."""
    plan, made = Plan(tuple(Step("p", seed=seed) for seed in seeds)), []

    def sample(index, step, view, latent):
        made.append(index)
        grain = torch.randn(view.pixels.shape, generator=torch.Generator().manual_seed(step.seed))
        return Sampled(view.pixels * 0.5 + grain, view.pixels[..., 0] * 0.5, view.pixels)

    keys = step_keys(root_key(None), plan)
    return iterate(Job(plan, PICTURE), keys, sample, store, lambda iteration: None).picture, made, keys


def test_every_iteration_is_found_again(tmp_path, clock):
    store = Store(tmp_path, 1 << 30)
    first, made, keys = run(store, range(STEPS))
    assert len(made) == STEPS and all(map(store.has, keys))
    again, made, _ = run(store, range(STEPS))
    assert made == [] and torch.equal(first, again)


def test_the_run_of_last_stays_and_the_one_before_goes(tmp_path, clock):
    """Twice as much is written as there is room for; the first run is used once more before that."""
    store = Store(tmp_path, 3 * STEPS * BYTES)
    _, _, used = run(store, range(STEPS))
    _, _, unused = run(store, range(100, 100 + STEPS))
    for key in used:
        assert store.get(key)
    _, _, last = run(store, range(200, 200 + 2 * STEPS))
    kept = {key for key in [*used, *unused, *last] if store.has(key)}
    assert set(last) <= kept and not all(map(store.has, unused))
    in_order = [store.has(key) for key in [*unused, *used]]
    assert in_order == sorted(in_order)
