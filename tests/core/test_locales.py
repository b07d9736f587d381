"""The front end's texts outside the schemas: js/isi.js's English is in locales/en."""

import pytest

from tools.locales import REWRITE, load, page_texts


@pytest.mark.parametrize("part", ["settings", "commands"])
def test_english_is_what_the_page_registers(part):
    assert load("en", part) == page_texts(part), f"Words changed: {REWRITE}"
