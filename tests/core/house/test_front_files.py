"""What the page's scripts are made of: small, and without the means by which text becomes code or markup."""

import re
from pathlib import Path

import pytest

JS = Path(__file__).parents[3] / "js"
MODULES = sorted(JS.rglob("*.*js"))
# A way for text to become markup or code, a change to what others own, a request to elsewhere.
FORBIDDEN = re.compile(
    r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|\beval\(|new Function\("
    r"|\.prototype\.\w+\s*=[^=]|\b(?:window|globalThis)\.\w+\s*=[^=]|[\"'`]https?://"
)


def test_scripts_are_small():
    """ComfyUI's page loads every .js file when it starts; an .mjs file waits until it is asked for.

    The tables of words are texts, one for each language, and no scripts.
    """
    scripts = [path for path in MODULES if path.parent.name != "words"]
    sizes = {
        suffix: sum(path.stat().st_size for path in scripts if path.suffix == suffix)
        for suffix in (".js", ".mjs")
    }
    assert 0 < sizes[".js"] <= 150_000 and 0 < sizes[".mjs"] <= 180_000, sizes


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.name)
def test_text_never_becomes_markup_and_nothing_of_others_is_changed(path):
    assert FORBIDDEN.findall(path.read_text("utf-8")) == []
