"""Fixtures: the real ComfyUI in this process, and real models small enough for a test."""

import atexit
import os
import shutil
import tempfile
import zlib
from pathlib import Path

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "2")  # one thread count, so that results are bit-equal

import torch

from .harness import Host
from .tiny import tiny_clip, tiny_model, tiny_vae

# Booted before the test modules are collected, so that they can import the pack's host room at their top.
BASE = Path(tempfile.mkdtemp(prefix="isi-comfyui-"))
atexit.register(shutil.rmtree, BASE, ignore_errors=True)
BOOTED = Host(BASE)


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
