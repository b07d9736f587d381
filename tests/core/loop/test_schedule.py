"""Denoise curves, seeds, and the plan that a script makes."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from isi.core.language.script import parse
from isi.core.loop.schedule import CURVES, SEED_MODES, denoise_curve, make_plan, parse_denoise, seeds

SHARE = st.floats(0, 1)


def plan(text, steps=20, cfg=7.0, denoise=0.75, final=0.75, curve="constant", seed=0, mode="increment"):
    return make_plan(parse(text), steps, cfg, denoise, final, curve, seed, mode)


@given(st.sampled_from(CURVES), SHARE, SHARE, st.integers(1, 60))
def test_curves_begin_at_start_end_at_final_and_stay_between(kind, start, final, count):
    values = denoise_curve(kind, start, final, count)
    assert len(values) == count
    assert values[0] == start
    assert all(min(start, final) <= v <= max(start, final) for v in values)
    if kind == "constant":
        assert set(values) == {start}
    elif count > 1:
        assert values[-1] == final
        assert values == sorted(values, reverse=start > final)


def test_curves_are_the_published_ones():
    assert denoise_curve("linear", 0.8, 0.4, 3) == pytest.approx([0.8, 0.6, 0.4])
    half = math.sqrt(0.5)
    assert denoise_curve("aggressive", 0.8, 0.4, 3) == pytest.approx([0.8, 0.8 - 0.4 * half, 0.4])
    assert denoise_curve("lazy", 0.8, 0.4, 3) == pytest.approx([0.8, 0.4 + 0.4 * half, 0.4])


@given(st.sampled_from(SEED_MODES), st.integers(0, 2**64 - 1), st.integers(0, 40))
def test_seeds_are_64_bit_and_do_not_depend_on_how_many_follow(mode, seed, count):
    values = seeds(seed, mode, count)
    assert all(0 <= s < 2**64 for s in values)
    assert values == seeds(seed, mode, count + 5)[:count]


def test_seed_modes():
    top = 2**64 - 1
    assert seeds(top, "increment", 3) == [top, 0, 1]
    assert seeds(7, "fixed", 3) == [7, 7, 7]
    near = [seeds(s, "hashed", 100) for s in range(20)]
    assert len({s for run in near for s in run}) == 2000


def test_the_plan_of_a_script():
    made = plan(
        "{oil} dawn; (noon:1.5) @steps=5 @seed=9; @cfg=2 @denoise=.1; (dusk:2) @cfg=3",
        denoise=0.8, final=0.2, curve="linear", seed=100,
    )  # fmt: skip
    rows = [(s.prompt, s.label, s.steps, s.cfg, s.seed) for s in made.steps]
    assert rows == [
        ("oil, dawn", "dawn", 20, 7, 100),
        ("oil, noon", "noon", 5, 10.5, 9),
        ("oil", "", 20, 2, 102),
        ("oil, dusk", "dusk", 20, 6, 103),
    ]
    assert [s.denoise for s in made.steps] == pytest.approx([0.8, 0.6, 0.1, 0.2])


def test_repeats_get_a_seed_and_a_denoise_each():
    made = plan("a *3", denoise=0.6, final=0.2, curve="linear", seed=4)
    assert [s.seed for s in made.steps] == [4, 5, 6]
    assert [s.denoise for s in made.steps] == pytest.approx([0.6, 0.4, 0.2])


@pytest.mark.parametrize("text", ["", " \n ", "{}"])
def test_no_steps_is_an_error(text):
    with pytest.raises(ValueError, match="no steps"):
        plan(text)


def test_weight_may_not_push_cfg_out_of_the_sampler_range():
    assert plan("(a:14)").steps[0].cfg == 98
    with pytest.raises(ValueError, match="Step 2.*105"):
        plan("a; (b:15)")


def test_denoise_is_one_number_or_one_a_step():
    assert parse_denoise("0.4") == (0.4,)
    assert parse_denoise(" .5, 0.35;") == (0.5, 0.35)
    for text in ("", "much", "1.5", "0.4 0.3", "-0.1", "nan"):
        with pytest.raises(ValueError, match="from 0 to 1"):
            parse_denoise(text)
