"""A door for a test, and one for a module."""

import pytest

from .doors import door


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """A door with one stand-in; tests leave no job waiting."""
    with door(tmp_path_factory.mktemp("data")) as running:
        yield running
