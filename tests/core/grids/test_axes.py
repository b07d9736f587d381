"""The language of axes: against tables, itertools, and rules that say what they mean beside their text."""

import itertools
import random
import time

import pytest
from isi.core.grids import cells as cells_of
from isi.core.grids.axes import read_axes
from isi.core.language.mistakes import ScriptError


def values(line):
    return [value.text for value in read_axes(f"K.a = {line}").axes[0].values]


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("3, 5 .. 11", "3 5 7 9 11"),
        ("3, 5, ..., 11", "3 5 7 9 11"),
        ("1, 2, .., 5", "1 2 3 4 5"),
        ("5 .. 8", "5 6 7 8"),
        ("8 .... 5", "8 7 6 5"),
        ("10, 7 .. 0", "10 7 4 1"),
        ("0.1, 0.2 .. 0.5", "0.1 0.2 0.3 0.4 0.5"),
        (".5, .75 .. 1.5", ".5 .75 1 1.25 1.5"),
        ("-1, -.5 .. 1", "-1 -.5 0 0.5 1"),
        ("1 .. 3, 10 .. 12", "1 2 3 10 11 12"),
        ("7 .. 7", "7"),
        ("euler, dpmpp_2m,", "euler dpmpp_2m"),
        ("1..3", "1 2 3"),
        ("a..b", "a..b"),
        ("v1.5/model.safetensors", "v1.5/model.safetensors"),
    ],
)
def test_lists_and_ranges(line, wanted):
    assert values(line) == wanted.split()


def test_ranges_of_decimals_are_the_decimals_that_are_meant():
    """Adding 0.1 to floats would give 0.30000000000000004."""
    assert [float(text) for text in values("0, 0.1 .. 2")] == [k / 10 for k in range(21)]


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("old, gnarled pine || young birch", ["old, gnarled pine", "young birch"]),
        ('"oak", "birch" || "old, gnarled pine"', ["oak", "birch", "old, gnarled pine"]),
        ('"a, b", "", c', ["a, b", "", "c"]),
        (r'"say \"hi\" || bye", "#1 | label: x"', ['say "hi" || bye', "#1 | label: x"]),
        ('5" nail, 6" nail', ['5" nail', '6" nail']),
        ("matrix snow | fog", ["", "snow", "fog", "snow, fog"]),
        ("a dawn  # the best", ["a dawn"]),
        ("#1, C#", ["#1", "C#"]),
    ],
)
def test_quotes_and_separators(line, wanted):
    assert values(line) == wanted


def test_a_matrix_is_every_subset_in_the_parts_own_order():
    parts = ["snow", "fog", "at night", "from above"]
    (axis,) = read_axes(f"matrix = {' | '.join(parts)} | label: Weather").axes
    wanted = {", ".join(each) for size in range(5) for each in itertools.combinations(parts, size)}
    told = [value.text for value in axis.values]
    assert len(told) == 16 and set(told) == wanted and told[0] == "" and axis.title == "Weather"


def test_kinds_of_lines_names_and_labels():
    axes = read_axes(
        "# a comment\n\nISI Script.cfg = 3, 5\n"
        "KSampler#12.sampler_name = euler | label: Sampler\r\n"
        '"a = b".text = replace "oak": "birch" | label: "Tree | big"\n'
        'seeds = 1 .. 3\nprompt = replace "a|b": c || d, e'
    ).axes
    assert [(axis.name, axis.way, axis.old, axis.title, len(axis.values)) for axis in axes] == [
        ("ISI Script.cfg", "widget", "", "ISI Script.cfg", 2),
        ("KSampler#12.sampler_name", "widget", "", "Sampler", 1),
        ("a = b.text", "replace", "oak", "Tree | big", 1),
        ("seeds", "seeds", "", "seeds", 3),
        ("prompt", "replace", "a|b", "a|b", 2),
    ]


@pytest.mark.parametrize(
    ("text", "line", "column", "key"),
    [
        ("", 1, 1, "no_axes"),
        ("# only this", 1, 1, "no_axes"),
        ("K.a = 1\n  KSampler", 2, 3, "no_equals"),
        (" = 3", 1, 2, "no_equals"),
        ("K.a = 1, , 2", 1, 10, "no_value"),
        ("K.a =", 1, 6, "no_value"),
        ('K.a = 1\nK.b = "x', 2, 7, "open_quote"),
        ('K.a = "x" y', 1, 11, "after_quote"),
        ("K.a = 1, 2 .. 0", 1, 12, "range_away"),
        ("K.a = 1, 1 .. 2", 1, 12, "range_away"),
        ("K.a = 0.5 .. 0.9", 1, 11, "range_step"),
        ("K.a = 1, .., x", 1, 10, "range_ends"),
        ("K.a = .. 5", 1, 7, "range_ends"),
        ("K.a = 1 .. 10000000000", 1, 9, "too_many_values"),
        ("matrix = a | | b", 1, 14, "no_part"),
        (f"matrix = {'|'.join('abcdefghijklmnopq')}", 1, 10, "too_many_values"),
        ("prompt = oak, birch", 1, 10, "no_replace"),
        ('seeds = replace "1": 2', 1, 9, "odd_replace"),
        ('K.a = replace "": x', 1, 7, "odd_replace"),
        ("K.cfg = 1\nskip = cgf > 3", 2, 8, "rule_no_axis"),
        ("K.cfg = 1\nskip = cfg > high", 2, 14, "rule_number"),
        ("K.cfg = 1\nskip = cfg 3", 2, 8, "rule_no_axis"),
        ("K.cfg = 1\nskip = cfg", 2, 11, "rule_sign"),
        ("K.cfg = 1\nskip = cfg > 3 and", 2, 19, "rule_axis"),
        ("K.cfg = 1\nskip = (cfg > 3", 2, 16, "rule_open"),
        ("K.cfg = 1\nskip = cfg > 3)", 2, 15, "rule_end"),
        ("K.cfg = 1\nskip = cfg >", 2, 13, "rule_value"),
        ("K.cfg = 1\nL.cfg = 2\nskip = cfg > 1", 3, 8, "rule_two_axes"),
        (f"K.cfg = 1\nskip = {'(' * 60}cfg > 1", 2, 58, "rule_deep"),
    ],
)
def test_mistakes_have_their_place(text, line, column, key):
    with pytest.raises(ScriptError) as caught:
        read_axes(text)
    error = caught.value
    assert (error.line, error.column, error.key) == (line, column, key)
    assert str(error).startswith(f"Axes, line {line}, column {column}: ") and str(error).endswith("^")


def rule(rng, depth):
    """The text of a rule, and what it says of a cell's values, cfg and sampler."""
    if depth == 0 or rng.random() < 0.3:
        if rng.random() < 0.5:
            sign, limit = rng.choice(["<", "<=", ">", ">=", "=", "!="]), rng.choice([3, 5, 7.5])
            says = {
                "<": float.__lt__, "<=": float.__le__, ">": float.__gt__, ">=": float.__ge__,
                "=": float.__eq__, "!=": float.__ne__,
            }[sign]  # fmt: skip
            return f"{rng.choice(['cfg', 'K.cfg'])} {sign}{limit}", lambda c, s: says(float(c), float(limit))
        name = rng.choice(["euler", "dpmpp 2m"])
        written = rng.choice([name, f'"{name}"'])
        if rng.random() < 0.5:
            return f"Sampler = {written}", lambda c, s: s == name
        return f"Sampler!={written}", lambda c, s: s != name
    if rng.random() < 0.25:
        text, says = rule(rng, depth - 1)
        return f"not ({text})", lambda c, s: not says(c, s)
    (a, left), (b, right) = rule(rng, depth - 1), rule(rng, depth - 1)
    if rng.random() < 0.5:
        return f"({a}) and ({b})", lambda c, s: left(c, s) and right(c, s)
    return f"(({a}) or ({b}))", lambda c, s: left(c, s) or right(c, s)


def test_rules_say_what_they_mean():
    cfgs, samplers = ["3", "5", "7.5", "9"], ["euler", "dpmpp 2m", "heun"]
    text = f"K.cfg = {','.join(cfgs)}\nK.sampler_name = {','.join(samplers)} | label: Sampler\nskip = "
    rng = random.Random(5)
    for _ in range(200):
        written, says = rule(rng, 4)
        left = {
            cell
            for cell in itertools.product(range(4), range(3))
            if not says(cfgs[cell[0]], samplers[cell[1]])
        }
        assert set(cells_of.cells(read_axes(text + written))) == left, written


def test_and_binds_closer_than_or():
    axes = read_axes("a = 0, 1\nb = 0, 1\nc = 0, 1\nskip = a = 1 or b = 1 and c = 1\nskip = c = 0")
    assert list(cells_of.cells(axes)) == [(0, 0, 1)]


def test_cells_come_in_the_order_that_is_asked_for_and_know_their_place():
    axes = read_axes("a = 1, 2, 3\nb = 1, 2\nc = 1, 2\nskip = a = 2 and b = 2")
    found = list(cells_of.cells(axes))
    everything = [cell[::-1] for cell in itertools.product(range(2), range(2), range(3))]
    assert cells_of.count(axes) == 12
    assert found == [cell for cell in everything if cell[:2] != (1, 1)]
    assert [everything[cells_of.place(axes, cell)] for cell in found] == found
    order = list(cells_of.cells(axes, [1, 0, 2]))
    assert sorted(order) == sorted(found) and order == sorted(
        order, key=lambda cell: (cell[1], cell[0], cell[2])
    )


def test_a_million_cells_are_refused_and_none_is_made():
    axes = read_axes("a = 1 .. 1000\nb = 1 .. 1000")
    began = time.process_time()
    with pytest.raises(ScriptError, match=r"1000 x 1000 = 1,000,000 cells, and a grid has at most 20,000"):
        cells_of.count(axes)
    assert next(cells_of.cells(axes)) == (0, 0)  # lazily
    assert time.process_time() - began < 5


def test_random_texts_are_read_or_refused_with_their_place():
    rng = random.Random(3)
    pieces = [*'"|,=-( )<:# \n\\\r９\ufeff', "||", "..", "...", "1", "0.5", "cfg", "K.cfg", "skip", "prompt"]
    pieces += ["matrix", "not", "and", "replace", "label", "e9"]
    read = 0
    for _ in range(3000):
        text = "a = 1\n" + "".join(rng.choice(pieces) for _ in range(rng.randrange(14)))
        try:
            read += bool(read_axes(text))
        except ScriptError as error:
            assert 0 <= error.offset <= len(text)
    assert 300 < read < 2700
