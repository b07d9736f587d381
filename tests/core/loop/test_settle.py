"""Stopping a loop that has settled: at the right step, and never for nothing."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from isi.core.loop.settle import Settle, change, settled


@given(st.lists(st.floats(0, 1), max_size=30), st.floats(0, 1), st.integers(1, 5))
def test_stops_exactly_when_the_last_steps_were_all_quiet(changes, threshold, patience):
    quiet = 0
    for value in changes:
        quiet = quiet + 1 if value < threshold else 0
    assert settled(Settle(threshold, patience), changes) == (quiet >= patience)


@pytest.mark.parametrize("patience", [1, 2, 4])
def test_a_loop_that_halves_its_change_stops_at_the_predicted_step(patience):
    settle, changes = Settle(0.01, patience), []
    picture = torch.zeros(1, 8, 8, 3)
    while not settled(settle, changes):
        moved = picture + 0.5 ** len(changes)
        changes.append(change(picture, moved))
        picture = moved
    first_quiet = math.ceil(math.log2(100)) + 1  # 0.5 ** 7 < 0.01
    assert len(changes) == first_quiet + patience - 1


def test_change_is_the_rms_difference_of_the_liveliest_picture():
    before = torch.zeros(2, 4, 5, 3)
    after = before.clone()
    after[1, 0, 0, 0] = 0.6
    assert change(before, after) == pytest.approx(0.6 / math.sqrt(60))
    assert change(before, before) == 0


def test_growing_and_broken_pictures_never_settle():
    settle = Settle(0.5, 1)
    assert not settled(settle, [change(torch.zeros(1, 4, 4, 3), torch.zeros(1, 4, 8, 3))])
    assert not settled(settle, [change(torch.zeros(1, 4, 4, 3), torch.full((1, 4, 4, 3), math.nan))])
    assert not settled(settle, [])
