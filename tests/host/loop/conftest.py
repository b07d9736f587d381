"""A count of what is sampled."""

import pytest


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
