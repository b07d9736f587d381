"""A click and a fill remove an object: the known ground behind it comes back, and nothing else is changed."""

import math
from itertools import islice

import pytest
from isi.bench.remove import TARGETS, removed, scenes


@pytest.mark.parametrize("ground", TARGETS)
def test_what_is_behind_a_clicked_object_comes_back(ground):
    errors = []
    for picture, truth, click in islice(scenes(ground), 4):
        made, hole = removed(picture, click, "blur")
        assert hole.any() and (made == picture)[~hole].all()
        errors.append(float(((made - truth)[hole] ** 2).mean()))
    assert -10 * math.log10(sum(errors) / len(errors)) >= TARGETS[ground]
