"""Fixtures: the real ComfyUI in this process, and real models small enough for a test."""

import atexit
import gc
import os
import shutil
import tempfile
import zlib
from pathlib import Path

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")  # as tools.test has it: results are bit-equal at one count

import torch

from .harness import Host
from .tiny import tiny_clip, tiny_model, tiny_vae

# Booted before the test modules are collected, so that they can import the pack's host room at their top.
BASE = Path(tempfile.mkdtemp(prefix="isi-comfyui-"))
atexit.register(shutil.rmtree, BASE, ignore_errors=True)
BOOTED = Host(BASE)


def pytest_collection_finish():
    """What is loaded by now stays: ComfyUI looks for garbage whenever a model has gone, at each test here,
    and would go through the million objects of its own and of torch each time, for half a second."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def booted() -> Host:
    return BOOTED


@pytest.fixture
def host(booted) -> Host:
    """The host with fresh caches and no recorded events."""
    booted.new_executor()
    booted.events.clear()
    return booted


@pytest.fixture(scope="session")
def model(booted):
    return tiny_model()


@pytest.fixture(scope="session")
def clip(booted):
    return tiny_clip()


@pytest.fixture(scope="session")
def vae(booted):
    return tiny_vae()


@pytest.fixture
def picture(request):
    """A picture of this test's own, so that no test finds the iterations of another in the store."""
    seed = zlib.crc32(request.node.name.encode())
    return torch.rand(1, 64, 64, 3, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def bench(host, model, clip, vae):
    from .loop.test_iterate import Bench

    return Bench(host, model, clip, vae)


@pytest.fixture
def calls(monkeypatch):
    """Counts the host's sampler runs."""
    import comfy.sample

    count = []
    real = comfy.sample.sample

    def counted(*args, **kwargs):
        count.append(1)
        return real(*args, **kwargs)

    monkeypatch.setattr(comfy.sample, "sample", counted)
    return count


@pytest.fixture
def noises(monkeypatch):
    """The noise of each run of the host's sampler."""
    import comfy.sample

    found, real = [], comfy.sample.sample

    def watched(model, noise, *args, **kwargs):
        found.append(noise)
        return real(model, noise, *args, **kwargs)

    monkeypatch.setattr(comfy.sample, "sample", watched)
    return found


@pytest.fixture
def deleted_model(booted):
    """The host lists a model whose patcher was deleted while something still holds its weights."""
    import comfy.model_management
    import comfy.model_patcher

    cpu = torch.device("cpu")
    gone = comfy.model_patcher.ModelPatcher(torch.nn.Linear(1, 1), load_device=cpu, offload_device=cpu)
    weights = gone.model
    comfy.model_management.load_models_gpu([gone])
    del gone
    gc.collect()
    listed = comfy.model_management.current_loaded_models
    assert any(one.model is None for one in listed)
    yield weights
    listed[:] = [one for one in listed if one.real_model() is not weights]
