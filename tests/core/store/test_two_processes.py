"""Two processes on one store, either killed at any moment: nothing lost, no error, no partial file."""

import os
import random
import time

import pytest
import torch
from isi.core.loop.engine import Job, Sampled, iterate
from isi.core.loop.keys import root_key, step_keys
from isi.core.loop.plan import Plan, Step
from isi.core.store.store import Store

from ...forks import Child

STEPS = 12
PICTURE = torch.rand(1, 32, 32, 3, generator=torch.Generator().manual_seed(1))


def run(store, number):
    """A run of its own for each two numbers, whose first steps all of them have in common."""
    seeds = [k if k < 4 else number // 2 * 100 + k for k in range(STEPS)]
    plan = Plan(tuple(Step("p", seed=seed) for seed in seeds))

    def sample(index, step, view, latent):
        grain = torch.randn(view.pixels.shape, generator=torch.Generator().manual_seed(step.seed))
        return Sampled(view.pixels * 0.5 + grain, view.pixels[..., 0] * 0.5, view.pixels)

    job = Job(plan, PICTURE)
    return iterate(job, step_keys(root_key(None), plan), sample, store, lambda iteration: None).picture


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("limit", [1 << 30, 40 * 13_000], ids=["all fits", "evicting"])
@pytest.mark.parametrize("runs", [20, pytest.param(200, marks=pytest.mark.slow)])
def test_two_processes_on_one_store_and_either_is_killed(tmp_path, runs, limit):
    expected = {number: run(Store(tmp_path / "none", 0), number) for number in range(0, runs, 2)}
    done = [tmp_path / "done 0", tmp_path / "done 1"]

    def work(mine):
        for number in range(len(done[mine].read_bytes()), runs):
            picture = run(Store(tmp_path / "store", limit), number)
            assert torch.equal(picture, expected[number // 2 * 2])
            with done[mine].open("ab") as file:
                file.write(b"x")

    rng, killed = random.Random(runs), 0
    for path in done:
        path.touch()
    children = [Child(lambda mine=mine: work(mine)) for mine in (0, 1)]
    while killed < runs // 4:
        time.sleep(rng.uniform(0, 0.05))
        mine = rng.randrange(2)
        children[mine].kill()
        killed += children[mine].wait() == -9
        if len(done[mine].read_bytes()) == runs:
            done[mine].write_bytes(b"")
        children[mine] = Child(lambda mine=mine: work(mine))
    assert [child.wait() for child in children] == [0, 0]
    store = Store(tmp_path / "store", limit)
    store.sweep()
    files = [path for path in store.root.rglob("*") if path.is_file()]
    assert not [path for path in files if path.name.endswith(".part")]
    entries = [path.stem for path in files if path.suffix == ".safetensors"]
    assert entries and all(store.get(key) for key in entries)
    assert sum(path.stat().st_size for path in files) <= 1.25 * limit
