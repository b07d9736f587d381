"""The script language: a table of cases that other parsers share, and properties under random text."""

import contextlib
import json
import random
from dataclasses import asdict
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from isi.core.language.script import Group, Script, ScriptError, parse

CASES = json.loads((Path(__file__).parents[2] / "vectors/script.json").read_text("utf-8"))["cases"]
KEYS = {case["error"]["key"] for case in CASES if "error" in case}


def written(group: Group) -> dict:
    """A group without what its choices are made of."""
    return {name: value for name, value in asdict(group).items() if not name.endswith("parts")}


def group(value) -> dict:
    """The expected fields of a group of the table."""
    return written(Group("")) | ({"text": value} if isinstance(value, str) else value)


@pytest.mark.parametrize("case", CASES, ids=lambda case: repr(case["input"])[:60])
def test_table(case):
    if "error" in case:
        with pytest.raises(ScriptError) as caught:
            parse(case["input"])
        error = caught.value
        assert {"line": error.line, "column": error.column, "key": error.key} == case["error"]
        return
    script = parse(case["input"])
    assert script.global_prompt == case.get("global", "")
    if "hints" in case:
        assert [{"line": h.line, "column": h.column, "key": h.key} for h in script.hints] == case["hints"]
    assert [g.text for g in script.groups] == [group(g)["text"] for g in case["groups"]]
    for found, wanted in zip(script.groups, case["groups"], strict=True):
        assert written(found) == pytest.approx(group(wanted) | {"text": found.text})


def test_the_table_is_large_and_has_each_input_once():
    assert len(CASES) >= 200
    assert len({case["input"] for case in CASES}) == len(CASES)


def test_prompts_join_global_and_local():
    script = parse(r"{oil, (sea:1.2)} cat \(pet\); ; (dog:2)")
    assert [g.prompt(script.global_prompt) for g in script.groups] == [
        r"oil, (sea:1.2), cat \(pet\)",
        "oil, (sea:1.2)",
        "oil, (sea:1.2), dog",
    ]
    assert Group("cat").prompt("") == "cat"


@pytest.mark.parametrize("text", ["{oil}, cat", "{oil,} cat", "{oil ,}, cat", "{oil}\n, , cat"])
def test_there_is_one_comma_between_global_and_local(text):
    script = parse(text)
    assert script.groups[0].prompt(script.global_prompt) == "oil, cat"


def test_the_largest_seed_is_exact():
    assert parse(f"a @seed={2**64 - 1}").groups[0].seed == 2**64 - 1


@pytest.mark.parametrize(
    ("text", "excerpt"),
    [
        ("one;\n\ttwo (x\nthree", "\ttwo (x\n\t    ^"),
        ("猫猫)", "猫猫)\n\u3000\u3000^"),
        ("a" * 1000 + ")" + "b" * 1000, "…" + "a" * 36 + ")" + "b" * 35 + "…\n" + " " * 37 + "^"),
    ],
)
def test_message_shows_the_line_and_a_caret(text, excerpt):
    with pytest.raises(ScriptError) as caught:
        parse(text)
    first, _, rest = str(caught.value).partition("\n")
    assert rest == excerpt
    assert f"line {caught.value.line}, column {caught.value.column}" in first
    assert caught.value.reason in first


PIECES = [
    *"{}();:@*=\\ \n.,abc123",
    "｛｝；（）：",
    "(x:1.3)",
    "@cfg=6",
    "@seed=",
    "*3",
    "猫",
    "\x00",
    "😀",
    "-",
]


def test_random_text_gives_a_script_or_a_script_error():
    pick = random.Random(0)
    outcomes = {"error": 0, "script": 0}
    for _ in range(100_000):
        text = "".join(pick.choices(PIECES, k=pick.randrange(14)))
        try:
            script = parse(text)
        except ScriptError as error:
            outcomes["error"] += 1
            assert error.key in KEYS
            line = text.replace("\r", "\n").split("\n")[error.line - 1]
            assert 1 <= error.column <= len(line) + 1
        else:
            outcomes["script"] += 1
            assert all(0.01 <= g.weight <= 100 for g in script.groups)
    assert min(outcomes.values()) > 10_000


@settings(max_examples=300, deadline=None)
@given(st.text())
def test_any_unicode_gives_a_script_or_a_script_error(text):
    with contextlib.suppress(ScriptError):
        assert isinstance(parse(text), Script)


WORDS = st.text("abc ,.猫:é", max_size=8)


@st.composite
def written_groups(draw):
    """A group as written, and as it must be read."""
    text = draw(WORDS).strip()
    pairs = draw(st.integers(0, 3))
    weight = draw(st.none() | st.floats(0.1, 5))
    written, expected = text, 1.0
    if weight is not None:
        written, expected = f"({written}:{weight!r})", weight
    elif pairs and text[-1:] == ":":
        text, written = text + "x", written + "x"
    if weight is not None or ":" not in text:
        written, expected = "(" * pairs + written + ")" * pairs, expected * 1.1**pairs
    fields = {
        "denoise": draw(st.none() | st.floats(0, 1)),
        "cfg": draw(st.none() | st.floats(0, 100)),
        "seed": draw(st.none() | st.integers(0, 2**64 - 1)),
        "steps": draw(st.none() | st.integers(1, 10_000)),
        "control": draw(st.none() | st.floats(0, 10)),
    }
    repeat = draw(st.integers(1, 3))
    tail = [f"@{k}={v!r}" for k, v in fields.items() if v is not None]
    tail += [f"*{repeat}"] if repeat > 1 else []
    if candidates := draw(st.none() | st.integers(1, 64)):
        fields["candidates"] = candidates
        tail.append(f"*{candidates}" + draw(st.sampled_from("?\uff1f")))
    return " ".join([written, *draw(st.permutations(tail))]), [Group(text, expected, **fields)] * repeat


@settings(max_examples=300, deadline=None)
@given(st.lists(written_groups(), min_size=1, max_size=5), st.lists(WORDS, max_size=2), st.data())
def test_what_is_written_is_read(groups, global_texts, data):
    parts = [written for written, _ in groups]
    for text in global_texts:  # a brace may stand in front of any group
        at = data.draw(st.integers(0, len(parts) - 1))
        parts[at] = f"{{{text}}} {parts[at]}"
    script = parse(" ; ".join(parts) + ";")
    expected = [g for _, repeated in groups for g in repeated]
    assert len(script.groups) == len(expected)
    for found, wanted in zip(script.groups, expected, strict=True):
        assert written(found) == pytest.approx(written(wanted) | {"text": found.text})
        assert found.text == wanted.text
    assert sorted(script.global_prompt) == sorted(", ".join(t.strip() for t in global_texts if t.strip()))


ESCAPED = str.maketrans({c: "\\" + c for c in "{}();@*"})


@settings(max_examples=300, deadline=None)
@given(st.text("ab{}();@*=:1 ", max_size=20))
def test_escaped_text_is_one_group_of_itself(text):
    text = text.strip()
    script = parse(text.translate(ESCAPED))
    kept = text.replace("(", r"\(").replace(")", r"\)")
    assert script == Script("", (Group(kept),) if text else ())


HARD = ["(", "{", ")", " ", ":", "@", "@a ", "*1 ", "\\", "@cfg=6 ", "\n ", "(a:", "x;", "x*9;"]


@pytest.mark.parametrize("piece", HARD)
def test_a_hundred_thousand_characters(piece):
    """Quadratic work on these would take minutes."""
    try:
        parse(piece * (100_000 // len(piece)))
    except ScriptError as error:
        assert len(str(error)) < 400


def test_deep_and_long_scripts():
    text = "(" * 40 + "x" + ")" * 40
    assert parse(text).groups[0].weight == pytest.approx(1.1**40)
    assert len(parse("a;" * 50_000).groups) == 50_000
    with pytest.raises(ScriptError, match="weight"):
        parse("(" * 50_000 + "x" + ")" * 50_000)
    assert len(parse("x (" * 30_000 + ")" * 30_000).groups) == 1


@pytest.mark.parametrize("text", ["x" * 1_000_001, "x;\n" * 2_000_000, "猫" * 1_000_001])
def test_a_script_that_is_too_long_is_said_at_once(text):
    with pytest.raises(
        ScriptError, match=f"at most 1,000,000 characters, and this one has {len(text):,}"
    ) as caught:
        parse(text)
    assert (caught.value.line, caught.value.column, caught.value.key) == (1, 1, "too_long")
    assert len(parse(text[:1_000_000]).groups) >= 1
