"""What Python says: each sentence in each language, with the same holes, and none that is no longer said."""

import json
import re

import pytest

from tools.locales import LETTERS, ROOT, releasing
from tools.sentences import (
    SENTENCES,
    UNSAID,
    WORDS,
    all_texts,
    holes,
    literals,
    node_names,
    templates,
    translations,
)

languages = pytest.mark.parametrize("language", LETTERS)


def file_of(language: str) -> str:
    return (SENTENCES / f"{language}.json").relative_to(ROOT).as_posix()


def test_no_language_is_unchecked():
    assert {file.stem for file in SENTENCES.iterdir()} == set(LETTERS)


def test_the_tool_finds_what_is_said_in_each_way():
    """One of each: an error, a note on a node, what stands in a hole, what a file is, a heading, a name."""
    said = templates()
    for text in (
        "The mask has NaN values: check the node that made it (a division by zero?).",
        "{0} of {1} pictures come from the PNG files of the run (8 bits a channel): the store has dropped "
        "them (iteration {2} to {3}).",
        "add less room, or start from a smaller picture",
        "{0} is empty (0 bytes); download it again.",
        "stage",
        "ISI Script",
    ):
        assert text in said


@languages
def test_every_sentence_is_translated(language):
    known = translations(language)
    missing = [
        f'add "{language}" of {json.dumps(template)} ({where}) to {file_of(language)}'
        for template, where in templates().items()
        if template not in known and (releasing() or template not in node_names("en"))
    ]
    assert not missing, (
        "\n".join(missing) + "\nOr, where no one is shown that text, add it to UNSAID in tools/sentences.py."
    )


@languages
def test_no_translation_is_left_of_what_is_not_said(language):
    stale = [
        f"remove {json.dumps(key)} from {file_of(language)}"
        for key in translations(language).keys() - templates().keys()
    ]
    assert not stale, "\n".join(stale)


@languages
def test_holes_agree(language):
    wrong = {
        key: text
        for key, text in translations(language).items()
        if sorted(set(holes(text))) != sorted(holes(key))
    }
    assert wrong == {}, f"holes of these translations in {file_of(language)} are not those of the template"


@languages
def test_translations_are_in_their_language(language):
    """What has words in English has letters of the language; names of settings and signs may stay."""
    left = [
        key
        for key, text in translations(language).items()
        if len(re.findall(r"(?<![@\w])\w+", "".join(literals(key)))) > 2
        and not LETTERS[language].search(text)
    ]
    assert left == []


@languages
def test_nodes_are_called_as_on_the_page(language):
    known = translations(language)
    for english, name in zip(node_names("en"), node_names(language), strict=True):
        assert known.get(english, name) == name


def test_lists_of_the_tool_hold_nothing_that_is_gone():
    assert sorted((UNSAID | WORDS) - all_texts()) == []
