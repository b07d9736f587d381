"""A few thousand broken files and plans of every kind, from a seed; more with `python run.py bench fuzz`."""

import random

import pytest

from ...fuzzing import TARGETS

COUNT = 500


@pytest.mark.parametrize("target", TARGETS)
def test_every_input_is_read_or_refused_in_a_sentence(target):
    for number in range(COUNT):
        try:
            TARGETS[target](random.Random(f"{target} {number}"))
        except Exception as error:
            raise AssertionError(f"{target}, input {number}: {error!r}") from error
