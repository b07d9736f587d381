"""A few thousand broken files and plans of every kind, from a seed; more with `python run.py bench fuzz`."""

import random
import tempfile
from pathlib import Path

import pytest

from ...fuzzing import TARGETS
from ...inside import kept_inside

COUNT = 500


@pytest.mark.parametrize("target", TARGETS)
def test_every_input_is_read_or_refused_in_a_sentence(target):
    TARGETS[target](random.Random(0))  # what is imported at the first call touches files of its own
    with kept_inside(Path(tempfile.gettempdir())) as outside:
        for number in range(COUNT):
            try:
                TARGETS[target](random.Random(f"{target} {number}"))
            except Exception as error:
                raise AssertionError(f"{target}, input {number}: {error!r}") from error
            assert not outside, f"{target}, input {number}: {outside[:3]}"
