"""A prompt that is carried over to ISI Script says the same there."""

import pytest
from isi.core.infotext.script_text import as_group
from isi.core.language.script import parse

from .corpus import CORPUS


@pytest.mark.parametrize(
    ("prompt", "group"),
    [
        ("oak, (tall:1.2), [day:night:.5]", "oak, (tall:1.2), [day:night:.5]"),
        ("a; b {c|d} @seed=4 *3", r"a\; b \{c|d\} \@seed=4 \*3"),
        ("(oak, tree:1.3)", "(oak, tree:1.3),"),
        ("a :) b", r"a :\) b"),
        ("two\nlines  of it", "two lines of it"),
        (r"a \{ b \(c\)", r"a \{ b \(c\)"),
        ("", ""),
    ],
)
def test_marks_become_text(prompt, group):
    assert as_group(prompt) == group


def test_it_is_one_step_with_the_same_words():
    for _, prompt, *_ in CORPUS:
        if prompt:
            (group,) = parse(as_group(prompt)).groups
            assert (group.weight, group.seed, group.parts) == (1, None, ())
            assert group.text.rstrip(",").replace("\\", "") == " ".join(prompt.split()).replace("\\", "")
