"""What rules think of candidates, against closed forms and NumPy."""

import numpy as np
import pytest
import torch
from isi.core.choosing.course import MOST_CHOICES, Selection, candidates, with_candidates
from isi.core.choosing.rules import distance, score, sharpness
from isi.core.loop.plan import Plan, Step


def test_sharpness_is_the_variance_of_the_laplacian():
    pictures = torch.rand(2, 9, 7, 3, generator=torch.Generator().manual_seed(0))
    expected = []
    for picture in pictures.numpy().astype(float):
        grey = np.pad(picture @ [0.2126, 0.7152, 0.0722], 1, mode="edge")
        around = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:]
        expected.append(np.var(around - 4 * grey[1:-1, 1:-1]))
    assert sharpness(pictures) == pytest.approx(np.mean(expected), rel=1e-5)
    assert sharpness(torch.full((1, 8, 8, 4), 0.3)) == pytest.approx(0, abs=1e-12)


def test_change_is_the_mean_of_each_pictures_rms():
    start = torch.zeros(2, 4, 4, 3)
    pictures = torch.stack([torch.full((4, 4, 3), 0.1), torch.full((4, 4, 3), 0.5)])
    assert distance(start, pictures) == pytest.approx(0.3)
    assert score("most change", start, pictures) == pytest.approx(0.3)
    assert score("least change", start, pictures) == pytest.approx(-0.3)
    assert score("least change", None, pictures) == score("first", start, pictures) == 0


def test_candidates_are_the_step_itself_and_it_with_seeds_that_no_plan_has():
    step = Step("a", seed=2**64 - 1, candidates=64)
    first, *others = candidates(step)
    assert first == Step("a", seed=2**64 - 1)
    seeds = {one.seed for one in others}
    assert len(seeds) == 63 and all(0 <= seed < 2**64 for seed in seeds)
    # Those of the next steps of a plan that counts up would be sampled with the same noise twice.
    assert not seeds & {(step.seed + k) % 2**64 for k in range(200)}
    assert candidates(Step("a", candidates=3)) == candidates(Step("a", candidates=5))[:3]
    assert candidates(Step("a")) == candidates(Step("a", candidates=1)) == [Step("a")]


def test_a_step_that_says_how_many_keeps_it():
    plan = Plan((Step("a"), Step("b", candidates=2), Step("c", candidates=1)))
    assert [step.candidates for step in with_candidates(plan, 4).steps] == [4, 2, 1]
    assert with_candidates(plan, 1) is plan


def test_what_can_not_be_asked_is_said():
    plan = Plan((Step("a", candidates=2),) * (MOST_CHOICES + 1))
    with pytest.raises(ValueError, match="at most 1,000 steps, but came 1,001"):
        Selection().check(plan)
    Selection().check(Plan(plan.steps[1:]))
