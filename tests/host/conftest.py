"""Fixtures: the real ComfyUI in this process, and real models small enough for a test."""

import atexit
import os
import shutil
import tempfile
from pathlib import Path

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "2")  # one thread count, so that results are bit-equal

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
