"""Prompts by sampler step: A1111's own examples, nested ones worked out by hand, and what can be wrong."""

import json
import random
from pathlib import Path

import pytest
from isi.core.language.mistakes import ScriptError
from isi.core.language.prompts import Lora, Said, chunks, read_prompt

TABLE = json.loads((Path(__file__).parents[2] / "vectors/prompts.json").read_text("utf-8"))["cases"]


def merged(texts):
    """[last step, text] of texts by step."""
    found = []
    for step, text in enumerate(texts, 1):
        if found and found[-1][1] == text:
            found[-1][0] = step
        else:
            found.append([step, text])
    return found


def one(said: Said) -> str:
    ((text, weight),) = said.parts
    assert weight == 1
    return text


@pytest.mark.parametrize("case", TABLE, ids=lambda case: case["input"])
def test_table(case):
    prompt = read_prompt(case["input"])
    assert merged(map(one, prompt.by_step(case["steps"]))) == case["says"]
    assert merged(one(prompt.at(i, case["steps"])) for i in range(case["steps"])) == case["says"]


@pytest.mark.parametrize(
    "text",
    ["", "a cat", "a [b]", "[a:b] (c:1.2)", r"\[a:b:4\] x", "[[x", "AND", "x]:3]", "a|b", "SAND, ANDES"],
)
def test_a_text_without_markup_is_the_very_same_object(text):
    prompt = read_prompt(text)
    if text != "AND":
        assert prompt.plain and all(one(said) is text for said in prompt.by_step(3))
        assert chunks(text)[0] is text
    else:
        assert [part for part, _ in prompt.at(0, 1).parts] == [""]


PARTS = [
    ("a AND b", [("a", 1), ("b", 1)]),
    ("a AND b :0.7 AND c :-1", [("a", 1), ("b", 0.7), ("c", -1)]),
    ("a:.5 AND b : 2.", [("a", 0.5), ("b", 2)]),
    ("photo 16:9", [("photo 16:9", 1)]),
    ("(a AND b) c", [("(a AND b) c", 1)]),
    ("[a AND b] AND c", [("[a AND b]", 1), ("c", 1)]),
    ("(a [b) c] AND d", [("(a [b) c]", 1), ("d", 1)]),
    ("a AND (b:1.2)", [("a", 1), ("(b:1.2)", 1)]),
    ("a AND (b:1.2):.3", [("a", 1), ("(b:1.2)", 0.3)]),
    ("a ANDb AND c", [("a ANDb", 1), ("c", 1)]),
    ("a AND  AND b", [("a", 1), ("b", 1)]),
    ("a AND", [("a", 1)]),
    ("a:.5 AND", [("a", 0.5)]),
    (r"a \AND b", [(r"a \AND b", 1)]),
]


@pytest.mark.parametrize(("text", "parts"), PARTS)
def test_parts_and_their_weights(text, parts):
    assert list(read_prompt(text).at(0, 1).parts) == parts


def test_schedules_in_parts():
    prompt = read_prompt("[a:b:1] AND c:2")
    assert [said.parts for said in prompt.by_step(2)] == [(("a", 1), ("c", 2)), (("b", 1), ("c", 2))]


LORAS = [
    ("x <lora:ink>", "x ", [Lora("ink")]),
    ("<lora:ink:.8> x", " x", [Lora("ink", 0.8, 0.8)]),
    ("<LoRA: a/b c.safetensors : -1 : 0.5 >", "", [Lora("a/b c.safetensors", -1, 0.5)]),
    ("<lora:a:1><lora:b:2>", "", [Lora("a"), Lora("b", 2, 2)]),
    (r"\<lora:a:1> x", r"\<lora:a:1> x", []),
    ("<lora:> <b:1>", "<lora:> <b:1>", []),
]


@pytest.mark.parametrize(("text", "said", "loras"), LORAS)
def test_loras(text, said, loras):
    found = read_prompt(text).at(0, 1)
    assert (one(found), list(found.loras)) == (said, loras)


def test_a_lora_acts_where_it_stands():
    prompt = read_prompt("x [<lora:a:1>:<lora:b:1>:2] AND y <lora:c:.5>")
    names = [[lora.name for lora in said.loras] for said in prompt.by_step(4)]
    assert names == [["a", "c"], ["a", "c"], ["b", "c"], ["b", "c"]]


@pytest.mark.parametrize("written", ["x", "1:2:3", "200", "nan", ""])
def test_a_strength_that_is_none_is_said_with_its_place(written):
    with pytest.raises(ScriptError, match=r"Prompt of step 3, line 2, column 3: A LoRA's strength") as caught:
        read_prompt(f"a\nb <lora:ink:{written}>", "Prompt of step 3")
    assert caught.value.key == "lora_strength"


BREAKS = [
    ("a BREAK b", ("a", "b")),
    ("a\nBREAK\n b BREAK c", ("a", "b", "c")),
    ("(a BREAK b) BREAK c", ("(a BREAK b)", "c")),
    ("a BREAK", ("a", "")),
    ("BREAKFAST a", ("BREAKFAST a",)),
    (r"a \BREAK b", (r"a \BREAK b",)),
]


@pytest.mark.parametrize(("text", "found"), BREAKS)
def test_chunks(text, found):
    assert chunks(text) == found


def test_shares_of_a_schedule():
    prompt = read_prompt("[a:[b:c:.75]:.25] [d::.5]")
    shares = [(start, end, one(said)) for start, end, said in prompt.by_share()]
    assert shares == [(0, 0.25, "a d"), (0.25, 0.5, "b d"), (0.5, 0.75, "b "), (0.75, 1, "c ")]
    assert [s[:2] for s in read_prompt("[a:b:1.5] [c:0]").by_share()] == [(0, 1)]


PIECES = [
    "[",
    "]",
    "(",
    ")",
    ":",
    "|",
    "\\",
    " AND ",
    " BREAK ",
    ".5",
    "3",
    "a",
    " ",
    "<lora:x:1>",
    "<lora:",
    ">",
]


def test_random_text_is_read_at_every_step():
    pick, refused = random.Random(5), 0
    for _ in range(20_000):
        text = "".join(pick.choices(PIECES, k=pick.randrange(24)))
        try:
            prompt = read_prompt(text)
        except ScriptError as error:
            refused += 1
            assert error.key == "lora_strength"
            continue
        steps = pick.choice((1, 2, 7))
        by_step = prompt.by_step(steps)
        assert by_step == [prompt.at(i, steps) for i in range(steps)]
        if prompt.plain and "AND" not in text:
            assert one(by_step[0]) == text
        for said in by_step:
            for part, _ in said.parts:
                assert "".join(chunks(part)).count("a") == part.count("a")
    assert refused < 2000


HARD = [*PIECES, "[a:", ":3]", "[a|", "[(", "(:[", "[a:b:3]", "[a|b]", "AND:1 ", "a AND (", "[[]", "\\["]


@pytest.mark.parametrize("piece", HARD)
def test_a_hundred_thousand_characters(piece):
    """Quadratic work on these would take minutes."""
    text = piece * (100_000 // len(piece))
    read_prompt(text).by_step(3)
    read_prompt("[" + text + ":b:2]").by_step(3)


def test_nesting_has_a_limit():
    for most in (20, 21):
        text = "[a:" * most + "b" + ":2]" * most
        if most == 20:
            assert one(read_prompt(text).at(3, 4)) == "b"
            continue
        with pytest.raises(ScriptError, match="at most 20 deep"):
            read_prompt(text)
