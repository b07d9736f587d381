"""The front end's texts: the page's English is in locales/en, and Chinese and Korean say all of it."""

import re

import pytest

from tools.locales import LETTERS, LOCALES, MESSAGE_SYNTAX, REWRITE, flat, load, page_texts, releasing

FILES = ("nodeDefs", "settings", "commands", "main")
ESCAPED = re.compile(r"\{'[{}@|]'\}")
# What people type or look for: paths and files, ids and input names, node classes, settings of the script.
FIXED = re.compile(r"\w+/[\w.]*\w|[\w-]+\.pt\b|\b\w+_\w+\b|\b[A-Z]\w*?[a-z][A-Z]\w+|\{'@'\}\w+=")
texts = pytest.mark.parametrize("language", LETTERS)
files = pytest.mark.parametrize("name", FILES)


def words(language: str, name: str) -> dict[str, str]:
    return flat(load(language, name))


@pytest.mark.parametrize("part", ["settings", "commands"])
def test_english_is_what_the_page_registers(part):
    assert load("en", part) == page_texts(part), f"Words changed: {REWRITE}"


def test_no_language_is_unchecked():
    assert {folder.name for folder in LOCALES.iterdir()} == {"en", *LETTERS}


@files
def test_languages_have_the_same_keys(name):
    """English leaves out only tooltips that the front end can't carry; the others say those in words."""
    english, chinese, korean = (words(language, name).keys() for language in ("en", "zh", "ko"))
    assert chinese == korean
    assert english <= chinese
    assert {key.rsplit(".", 1)[1] for key in chinese - english} <= {"tooltip"}


@texts
@files
def test_everything_is_translated(language, name):
    left = [
        key
        for key, text in words(language, name).items()
        if not text.strip() or not (key.endswith(".name") or LETTERS[language].search(text))
    ]
    if not releasing():
        said = words("en", name)  # English stands in until a release
        left = [
            key for key in left if words(language, name)[key] != said.get(key, words(language, name)[key])
        ]
    # What is the same in every language: a node that is called after a model.
    assert [key for key in left if not key.endswith("ICLight.display_name")] == []


@texts
@files
def test_names_of_things_are_kept(language, name):
    english, translated = words("en", name), words(language, name)
    lost = [
        (key, token)
        for key, text in english.items()
        if not key.endswith(".name")
        for token in FIXED.findall(text)
        if token.removesuffix("s") not in translated[key]
    ]
    assert lost == []


@texts
def test_display_names_keep_the_prefix(language):
    names = {key: text for key, text in words(language, "nodeDefs").items() if key.endswith(".display_name")}
    assert [text for text in names.values() if not text.startswith("ISI ")] == []
    assert len(set(names.values())) == len(names)


@pytest.mark.parametrize("language", ["en", *LETTERS])
@files
def test_the_front_end_can_read_every_text(language, name):
    """Descriptions are compiled as messages; tooltips by some versions only, so they hold no escapes."""
    broken = [
        key
        for key, text in words(language, name).items()
        if MESSAGE_SYNTAX.search(ESCAPED.sub("", text) if key.endswith(".description") else text)
    ]
    assert broken == []
