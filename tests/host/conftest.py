"""Fixtures: the real ComfyUI in this process, and real models small enough for a test."""

import os

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "2")  # one thread count, so that results are bit-equal

from .harness import Host
from .tiny import tiny_clip, tiny_model, tiny_vae


@pytest.fixture(scope="session")
def booted(tmp_path_factory) -> Host:
    return Host(tmp_path_factory.mktemp("comfyui"))


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
