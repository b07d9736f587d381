"""Choices: a table that other parsers share; every combination; draws against their weights."""

import itertools
import json
import random
from collections import Counter
from pathlib import Path

import pytest
from isi.core.language.choices import (
    MOST_COMBINATIONS,
    Choice,
    ChoiceError,
    Option,
    Wildcard,
    WildcardError,
    combinations,
    count,
    draw,
    draws,
    read_choices,
)
from scipy.stats import chisquare

TABLE = json.loads((Path(__file__).parents[2] / "vectors/choices.json").read_text("utf-8"))["cases"]


class Lists:
    """Wildcards from a dict of lines."""

    def __init__(self, **lists):
        self.lists = lists

    def options(self, name):
        if name not in self.lists:
            raise WildcardError("unknown_wildcard", f"no {name}")
        return tuple(Option(1.0, read_choices(line)) for line in self.lists[name])


def plain(part):
    """A part as the table writes it."""
    if isinstance(part, Wildcard):
        return {"at": part.at, "name": part.name}
    if isinstance(part, Choice):
        options = [{"weight": one.weight, "parts": list(map(plain, one.parts))} for one in part.options]
        return {
            "at": part.at,
            "options": options,
            "least": part.least,
            "most": part.most,
            "joint": part.joint,
        }
    return part


@pytest.mark.parametrize("case", TABLE, ids=lambda case: repr(case["input"])[:60])
def test_table(case):
    if "error" in case:
        with pytest.raises(ChoiceError) as caught:
            read_choices(case["input"])
        assert {"offset": caught.value.offset, "key": caught.value.key} == case["error"]
    else:
        assert list(map(plain, read_choices(case["input"]))) == case["parts"]


def test_offsets_count_from_where_the_text_begins():
    (choice, words, wildcard) = read_choices("{a|b} and __c__", 100)
    assert (choice.at, words, wildcard.at) == (100, " and ", 110)


@pytest.mark.parametrize("text", ["a cat", "a {cat}", r"\{a|b\} [c|d] (e:1.2)", "x__", "_a_ $$ a|b"])
def test_a_text_without_choices_is_the_very_same(text):
    (same,) = read_choices(text)
    assert same is text or same == text
    assert not draws(text, (same,))


ALL = [
    ("{a|b} __c__", [f"{x} {y}" for x in "ab" for y in ("c1", "c2", "c3")]),
    ("{2$$a|b|c}", [", ".join(two) for two in itertools.combinations("abc", 2)]),
    (
        "{0-2$$+$$a|b|c}",
        ["+".join(some) for n in range(3) for some in itertools.combinations("abc", n)],
    ),
    ("{x|{y|z}} {1|2}", [f"{x} {n}" for x in "xyz" for n in "12"]),
    ("{2$$ & $$__c__}", [" & ".join(two) for two in itertools.combinations(("c1", "c2", "c3"), 2)]),
    ("{2$$a {1|2}|b}", ["a 1, b", "a 2, b"]),
    ("{5$$a|b}", ["a, b"]),
    ("__n__!", ["one 1!", "one 2!", "two!"]),
]


@pytest.mark.parametrize(("text", "texts"), ALL)
def test_every_combination_in_order_and_their_number(text, texts):
    lists = Lists(c=["c1", "c2", "c3"], n=["one {1|2}", "two"])
    parts = read_choices(text)
    assert list(combinations(parts, lists)) == texts
    assert count(parts, lists) == len(texts)
    assert {draw(parts, seed, "x", lists) for seed in range(300)} <= {
        *texts,
        *(", ".join(reversed(t.split(", "))) for t in texts),
        *("+".join(reversed(t.split("+"))) for t in texts),
        *(" & ".join(reversed(t.split(" & "))) for t in texts),
    }


def test_a_huge_number_of_combinations_is_known_without_making_them():
    assert count(read_choices("{a|b}" * 2000), Lists()) > MOST_COMBINATIONS
    assert count(read_choices("{100$$" + "|".join(map(str, range(2000))) + "}"), Lists()) > MOST_COMBINATIONS
    assert count(read_choices("{a|b}" * 13), Lists()) == 2**13


WEIGHED = [
    ("{a|b|c}", {"a": 1, "b": 1, "c": 1}),
    ("{.5::a|2::b|c|0::d}", {"a": 0.5, "b": 2, "c": 1}),
    ("{3::a|{b|c}}", {"a": 6, "b": 1, "c": 1}),
    ("{1-2$$a|b}", {"a": 1, "b": 1, "a, b": 1, "b, a": 1}),
    ("__w__", {"x": 1, "y": 1, "z": 1, "u": 1}),
]


@pytest.mark.parametrize(("text", "weights"), WEIGHED)
@pytest.mark.parametrize("step", [1, 2**40 + 1])
def test_draws_over_ten_thousand_seeds_fit_the_weights(text, weights, step):
    lists, parts = Lists(w=["x", "y", "z", "u"]), read_choices(text)
    seen = Counter(draw(parts, seed * step, "local", lists) for seed in range(10_000))
    assert seen.keys() == weights.keys()
    expected = [10_000 * weight / sum(weights.values()) for weight in weights.values()]
    assert chisquare([seen[word] for word in weights], expected).pvalue > 1e-4


def test_two_choices_of_one_text_are_drawn_apart():
    seen = Counter(draw(read_choices("{a|b}{c|d}"), seed, "x", Lists()) for seed in range(4000))
    assert chisquare(list(seen.values())).pvalue > 1e-4 and len(seen) == 4


def test_a_draw_is_of_its_seed_and_place_alone():
    texts = ["{a|b|c|d|e|f}, {g|h|i|j}", "{a|b|c|d|e|f}, {g|h|i|j} and more", "{a|b|c|d|e|f}, {g|h|i|j|k}"]
    for seed in range(50):
        first, longer, other = (draw(read_choices(text), seed, "x", Lists()) for text in texts)
        assert longer == first + " and more"
        assert other[0] == first[0]
    assert len({draw(read_choices(texts[0]), 7, place, Lists()) for place in "abcdefgh"}) > 3


PIECES = [*"{}|()[]\\ a:$_", "2$$", "1-2$$", "__w__", ".5::", "0::", "{a|b}", "猫"]


def test_random_text_is_read_and_drawn_or_refused():
    pick, lists, refused = random.Random(3), Lists(**dict.fromkeys(("w", "a", "猫"), ["x {y|z}"])), 0
    for _ in range(20_000):
        text = "".join(pick.choices(PIECES, k=pick.randrange(20)))
        try:
            parts = read_choices(text)
        except ChoiceError as error:
            refused += 1
            assert 0 <= error.offset < len(text)
            continue
        try:
            many = count(parts, lists)
        except ChoiceError as error:
            assert error.key == "unknown_wildcard"
            continue
        if many <= 50:
            every = list(combinations(parts, lists))
            assert len(every) == many
        assert isinstance(draw(parts, 5, "x", lists), str)
    assert 0 < refused < 10_000


@pytest.mark.parametrize(
    "piece", ["{", "{a|", "}", "|", "{a|b}", "__", "__a__", "[", "{(", "{[|", "\\", "{2$$", "{a|b"]
)
def test_a_hundred_thousand_characters(piece):
    """Quadratic work on these would take minutes."""
    text = piece * (100_000 // len(piece))
    try:
        parts = read_choices(text)
        draw(parts, 1, "x", Lists(a=["1"]))
    except ChoiceError as error:
        assert error.key == "choices_too_deep"
