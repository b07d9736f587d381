"""Which step a sigma lies in, against a search through the schedule as numbers."""

import bisect

import torch
from hypothesis import given
from hypothesis import strategies as st
from isi.core.loop.sigmas import step_of


@given(
    gaps=st.lists(st.floats(0.01, 3), min_size=1, max_size=30),
    ends_at_zero=st.booleans(),
    at=st.floats(-0.2, 1.2),
    rises=st.booleans(),
)
def test_a_step_reaches_from_its_own_sigma_to_before_the_next_ones(gaps, ends_at_zero, at, rises):
    rising = torch.tensor([0.0 if ends_at_zero else 0.03, *gaps], dtype=torch.float64).cumsum(0)
    sigmas = (rising if rises else rising.flip(0)).float()
    steps, values = len(sigmas) - 1, sigmas.tolist()
    for step in range(steps):  # the starts themselves, off by a float or two
        for wobble in (1 - 1e-6, 1, 1 + 1e-6):
            assert step_of(sigmas[step] * wobble, sigmas) == step
        middle = (values[step] + values[step + 1]) / 2
        assert step_of(torch.tensor(middle), sigmas) == step
    sigma = values[0] + at * (values[-1] - values[0])
    order = values if rises else [-value for value in values]
    found = bisect.bisect_right(order, sigma if rises else -sigma) - 1
    near = min(abs(sigma - value) for value in values) < 1e-3 * max(values)
    if not near:
        assert step_of(torch.tensor(sigma), sigmas) == min(max(found, 0), steps - 1)


def test_a_batch_of_sigmas_is_asked_at_once():
    sigmas = torch.tensor([14.0, 9.0, 5.0, 1.0, 0.0])
    asked = torch.tensor([[14.0, 9.1], [9.0, 0.2]])
    assert step_of(asked, sigmas).tolist() == [[0, 0], [1, 3]]
