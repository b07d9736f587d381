"""A run leaves the random state of its device as it was."""

from types import SimpleNamespace

import pytest
import torch


@pytest.mark.parametrize("kind", ["cuda", "xpu", "mps"])
def test_random_state_of_any_device_that_can_tell_it_is_kept(booted, monkeypatch, kind):
    from isi.host.loop.sampling import global_rng_kept

    # None of these devices is here: the part of their torch modules that matters stands in for them.
    state = {"now": "before"}
    module = SimpleNamespace(
        get_rng_state=lambda device: state["now"], set_rng_state=lambda new, device: state.update(now=new)
    )
    monkeypatch.setattr(torch, kind, module, raising=False)
    before = torch.get_rng_state()
    with global_rng_kept(SimpleNamespace(type=kind)):
        torch.rand(3)
        state["now"] = "drawn from"
    assert state["now"] == "before" and torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("kind", ["cpu", "privateuseone"])
def test_without_such_a_state_the_cpus_is_kept(booted, kind):
    from isi.host.loop.sampling import global_rng_kept

    before = torch.get_rng_state()
    with global_rng_kept(SimpleNamespace(type=kind)):
        torch.rand(3)
    assert torch.equal(torch.get_rng_state(), before)
