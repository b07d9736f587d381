"""Candidates beside what else a loop may have: the chosen seeds, written by hand, make the same."""

import pytest
import torch

from .test_choosing import SCRIPT, plain, seeds_of


def batch(bench, picture):
    return {"image": torch.cat([picture, picture.roll(9, 2)])}


def walk(bench, picture):
    noise = {"seed": 0, "variation_seed": 0, "variation_strength": 0.0, "walk": 0.2}
    noise |= {"resize_from_width": 0, "resize_from_height": 0}
    return {"image": picture, "noise": bench.host.call("ISI_Noise", **noise)[0]}


def lock(bench, picture):
    (drift,) = bench.host.call("ISI_EditLock", strength=1.0, floor=0.05, min_area=32)
    return {"image": picture, "drift": drift}


def latent(bench, picture):
    (memory,) = bench.host.call("ISI_Memory", carry="latent", blend="last", amount=0.5)
    return {"image": picture, "memory": memory}


@pytest.mark.parametrize("beside", [batch, walk, lock, latent])
def test_the_chosen_seeds_make_the_same_alone(bench, picture, calls, beside):
    inputs = beside(bench, picture)
    chosen, carried, run = bench.run(bench.plan(SCRIPT), choose="most change", **inputs)
    made = len(calls)
    image = inputs.pop("image")
    again, latents, same = plain(bench, seeds_of(run), image, **inputs)
    assert seeds_of(run) != seeds_of(bench.run(bench.plan(SCRIPT), choose="first", image=image, **inputs)[2])
    assert torch.equal(again, chosen) and torch.equal(latents["samples"], carried["samples"])
    assert same.keys == run.keys
    # The store knew every step of it.
    bench.host.new_executor()
    calls.clear()
    plain(bench, seeds_of(run), image, **inputs)
    assert not calls and made
