"""The front end's texts: English is the schemas' own, and every language says all that there is to say."""

import pytest

from tools.locales import REWRITE, category_texts, english, flat, load, node_texts


def test_english_is_what_the_schemas_say(host):
    assert load("en", "nodeDefs") == english(node_texts(host.nodes)), f"Words changed: {REWRITE}"


@pytest.mark.parametrize("language", ["zh", "ko"])
def test_other_languages_say_all_of_it(host, language):
    assert flat(load(language, "nodeDefs")).keys() == flat(node_texts(host.nodes)).keys()


def test_folders_have_names(host):
    assert load("en", "main") == category_texts(host.nodes), f"Words changed: {REWRITE}"
