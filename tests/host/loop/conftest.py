"""Fixtures of a run: a picture, the nodes on the tiny models, a count of what is sampled."""

import zlib

import pytest
import torch


@pytest.fixture
def picture(request):
    """A picture of this test's own, so that no test finds the iterations of another in the store."""
    seed = zlib.crc32(request.node.name.encode())
    return torch.rand(1, 64, 64, 3, generator=torch.Generator().manual_seed(seed))


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
def bench(host, model, clip, vae):
    from .test_iterate import Bench

    return Bench(host, model, clip, vae)
